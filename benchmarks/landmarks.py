"""How well faces are found and how near the landmarks are to the truth.

Runs the detector over clips that come with exact landmarks and prints, per clip, the share of
frames with a face among those that show one, the mean distance to the truth in percent of the
distance between the eyes for each group of points (visible points only), as the network gives
them and smoothed, and the detector's time. A clip NAME.mp4 needs NAME_landmarks.json beside it:
{"frames": [{"points": [[x, y] * 68], "visible": [0 or 1] * 68}]}.

    python benchmarks/landmarks.py [FOLDER] [--overlays FOLDER]
"""

import argparse
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from facegraft.faces.detect import FaceDetector
from facegraft.faces.face import Face
from facegraft.faces.landmarks import JAW, LEFT_BROW, LEFT_EYE, MOUTH, NOSE, RIGHT_BROW, RIGHT_EYE
from facegraft.faces.track import track_faces
from facegraft.media.images import write_image
from facegraft.media.open import open_source

FOOTAGE = Path(__file__).resolve().parents[2] / "shared" / "footage"
CLIPS = ("ada_src", "ben_dst")
GROUPS = {
    "jaw": np.r_[JAW],
    "brow": np.r_[RIGHT_BROW, LEFT_BROW],
    "nose": np.r_[NOSE],
    "eyes": np.r_[RIGHT_EYE, LEFT_EYE],
    "mouth": np.r_[MOUTH],
}
LEAST_SHARE = 0.98  # of the frames that show a face
SHEET_TILES = 12  # overlays on one sheet
SHEET_COLUMNS = 4
TRUTH, FOUND = (255, 80, 80), (90, 255, 90)  # RGB


@dataclass(frozen=True)
class Result:
    clip: str
    frames: int
    shown: int  # frames that show a face
    found: int  # of these, with a face found
    ms: float  # per frame, detector only
    raw: dict[str, float]  # percent of the eye distance
    smooth: dict[str, float]


def measure(clip: Path, detector: FaceDetector, overlays: Path | None) -> Result:
    truth: list[dict[str, Any]] = json.loads(
        clip.with_name(f"{clip.stem}_landmarks.json").read_text()
    )["frames"]
    found: list[list[Face]] = []
    images = []
    spent = 0.0
    with open_source(clip) as source:
        for frame in source:
            start = time.perf_counter()
            found.append(detector.detect(frame.image_u8))
            spent += time.perf_counter() - start
            images.append(frame.image_u8)
    smoothed = track_faces(found)
    errors: dict[str, list[np.ndarray]] = {"raw": [], "smooth": []}
    visible = []
    shown = hits = 0
    for entry, faces in zip(truth, smoothed, strict=True):
        points = np.array(entry["points"], np.float64)
        seen = np.array(entry["visible"], bool)
        if not seen.any():
            continue
        shown += 1
        eyes = points[RIGHT_EYE].mean(axis=0) - points[LEFT_EYE].mean(axis=0)
        face = min(
            faces, key=lambda f: np.linalg.norm(f.landmarks - points, axis=1).mean(), default=None
        )
        # a box on a cushion is no hit: the face must lie on the true one
        if face is None or np.linalg.norm(face.landmarks.mean(0) - points.mean(0)) > np.hypot(
            *eyes
        ):
            continue
        hits += 1
        visible.append(seen)
        assert face.raw_landmarks is not None
        for name, own in (("raw", face.raw_landmarks), ("smooth", face.landmarks)):
            distance = np.linalg.norm(own - points, axis=1)
            errors[name].append(100 * distance / np.hypot(*eyes))
    if overlays is not None:
        write_sheet(overlays / f"{clip.stem}_landmarks.png", images, smoothed, truth)
    raw, smooth = (by_group(errors[name], visible) for name in ("raw", "smooth"))
    return Result(clip.stem, len(found), shown, hits, 1000 * spent / len(found), raw, smooth)


def by_group(errors: list[np.ndarray], visible: list[np.ndarray]) -> dict[str, float]:
    """Mean over frames and visible points, for each group and all 68."""
    table, seen = np.array(errors), np.array(visible)
    means = {name: float(table[:, i][seen[:, i]].mean()) for name, i in GROUPS.items()}
    return means | {"inner 51": float(table[:, 17:][seen[:, 17:]].mean()),
                    "all 68": float(table[seen].mean())}  # fmt: skip


def write_sheet(
    path: Path, images: list[np.ndarray], faces: list[list[Face]], truth: list[dict[str, Any]]
) -> None:
    """A contact sheet: the truth in red, ours in green."""
    tiles = []
    for i in np.linspace(0, len(images) - 1, SHEET_TILES).round().astype(int):
        tile = cv2.resize(images[i], None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
        groups = [(np.array(truth[i]["points"]), TRUTH)]
        groups += [(face.landmarks, FOUND) for face in faces[i]]
        for points, color in groups:
            for x, y in np.rint(points * 2 - 0.5).astype(int).tolist():
                cv2.circle(tile, (x, y), 3, color, -1, cv2.LINE_AA)
        tiles.append(tile)
    rows = [np.hstack(tiles[i : i + SHEET_COLUMNS]) for i in range(0, len(tiles), SHEET_COLUMNS)]
    write_image(path, np.vstack(rows))


def main() -> int:
    parser = argparse.ArgumentParser(description="Landmarks against the truth.")
    parser.add_argument("folder", type=Path, nargs="?", default=FOOTAGE)
    parser.add_argument("--overlays", type=Path, help="folder for a contact sheet of each clip")
    arguments = parser.parse_args()
    clips = [arguments.folder / f"{name}.mp4" for name in CLIPS]
    if not all(clip.is_file() for clip in clips):
        print(f"skipped: no {' and '.join(CLIPS)} in {arguments.folder}; name their folder")
        return 0
    if arguments.overlays is not None:
        arguments.overlays.mkdir(parents=True, exist_ok=True)
    detector = FaceDetector()
    results = [measure(clip, detector, arguments.overlays) for clip in clips]
    print(f"detector {detector.name}; distance to the truth in % of the eye distance")
    columns = list(results[0].raw)
    print(f"{'clip':<10}{'':<9}{'found':>9}{'ms':>7}" + "".join(f"{c:>10}" for c in columns))
    for result in results:
        share = result.found / max(1, result.shown)
        for name, values, head in (
            ("raw", result.raw, f"{share:9.1%}{result.ms:7.1f}"),
            ("smoothed", result.smooth, f"{'':16}"),
        ):
            row = "".join(f"{values[column]:10.2f}" for column in columns)
            print(f"{result.clip:<10}{name:<9}{head}{row}")
    low = [r.clip for r in results if r.found < LEAST_SHARE * r.shown]
    if low:
        print(f"fewer than {LEAST_SHARE:.0%} of the frames that show a face: {', '.join(low)}")
    return 1 if low else 0


if __name__ == "__main__":
    sys.exit(main())
