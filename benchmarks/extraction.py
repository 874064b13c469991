"""Frames a second of an extraction, from movie to faceset.

    python benchmarks/extraction.py [CLIP]

Decodes CLIP (default ben_dst of the footage with ground truth; without a clip
it says so and ends), detects alone, then extracts, so that one sees where the time goes.
"""

import argparse
import tempfile
import time
from pathlib import Path

from facegraft.extract import ExtractParams, extract_faces
from facegraft.faces.detect import FaceDetector
from facegraft.media.open import open_source

CLIP = Path(__file__).parent.parent.parent / "shared" / "footage" / "ben_dst.mp4"


def main() -> None:
    parser = argparse.ArgumentParser(description="Frames a second of an extraction")
    parser.add_argument("clip", nargs="?", type=Path, default=CLIP)
    clip = parser.parse_args().clip
    if not clip.exists():
        print(f"skipped: there is no {clip}")
        return
    with open_source(clip) as source, tempfile.TemporaryDirectory() as folder:
        info = source.info
        started = time.perf_counter()
        frames = [frame.image_u8 for frame in source]
        decoded = time.perf_counter() - started
        detector = FaceDetector(threads=1)
        detector.detect(frames[0])
        started = time.perf_counter()
        for image in frames:
            detector.detect(image)
        detected = time.perf_counter() - started
        report = extract_faces(source, Path(folder), ExtractParams(), detector)
    count = report.frame_count
    print(f"{clip.name}, {info.width}x{info.height}, {count} frames, {report.face_count} faces")
    print(f"decode alone, one thread      {count / decoded:8.1f} frames/s")
    print(f"detect alone, one thread      {count / detected:8.1f} frames/s")
    print(f"whole extraction to 512 px    {count / report.seconds:8.1f} frames/s")


if __name__ == "__main__":
    main()
