"""Time and memory of opening huge facesets, as folder and as pack.

    python benchmarks/listing.py [--count 100000] [--packed 20000]

The folder holds `count` names of twenty real faces (hard links): every one is opened and its head
read and parsed as it would be for as many different files, which here lie in the system's cache.
Each figure comes from a process of its own; memory is what that process holds more than one that
only imports.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from facegraft.faces.align import align_matrix, warp_image
from facegraft.faces.face import Face, Origin
from facegraft.faces.faceset import Faceset, aligned_paths, read_image, write_aligned
from facegraft.faces.landmarks import HEAD_3D
from facegraft.model_spec import FaceType
from facegraft.sets.pack import pack_faceset

SEEDS = 20
SIZE = 32  # px: the pictures are not read, so they may be small


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--packed", type=int, default=20_000)
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        measure(arguments.measure)
        return
    with tempfile.TemporaryDirectory() as work:
        seeds = [write_seed(Path(work) / "seeds" / f"{n}.jpg", n) for n in range(SEEDS)]
        for count in (arguments.count // 10, arguments.count):
            run(link_many(seeds, Path(work) / f"folder{count}", count))
        packed = link_many(seeds, Path(work) / "to pack", arguments.packed)
        start = time.perf_counter()
        pack_faceset(packed, Path(work) / "set.facepack")
        print(f"packing {arguments.packed:,} faces: {time.perf_counter() - start:.1f} s")
        run(Path(work) / "set.facepack")


def write_seed(path: Path, number: int) -> Path:
    """One face with 68 landmarks, smoothed and raw, as extraction writes it."""
    points = (HEAD_3D[:, :2] * (2 + number / 50) + 500.123).astype(np.float32)
    matrix = align_matrix(points, FaceType.WHOLE_FACE, SIZE)
    image = warp_image(np.full((1000, 1000, 3), 128, np.uint8), matrix, SIZE, SIZE)
    (x0, y0), (x1, y1) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
    face = Face(points, (x0, y0, x1, y1), 0.9, points, 0)
    origin = Origin("clip.mov", f"{number:06d}", number, f"{number}/25", 1000, 1000, "drawn 1")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_aligned(path, image, face, FaceType.WHOLE_FACE, matrix, origin)
    return path


def link_many(seeds: list[Path], folder: Path, count: int) -> Path:
    """`count` names of the seeds; a new copy now and then, since a file has a limit of links."""
    folder.mkdir()
    for n in range(count):
        path = folder / f"{n:06d}_0.jpg"
        if n % 20_000 < len(seeds):
            path.write_bytes(seeds[n % len(seeds)].read_bytes())
        else:
            os.link(folder / f"{n // 20_000 * 20_000 + n % len(seeds):06d}_0.jpg", path)
    return folder


def run(place: Path) -> None:
    told = subprocess.run(
        [sys.executable, __file__, "--measure", str(place)], capture_output=True, text=True
    )
    print(told.stdout + told.stderr, end="")


def measure(place: Path) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    paths = aligned_paths(place)
    listed = time.perf_counter()
    cpu = time.process_time()
    faceset = Faceset.open(place)
    opened, cpu = time.perf_counter(), time.process_time() - cpu
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    read_image(faceset[len(faceset) // 2])
    kind = "pack" if place.is_file() else "folder"
    print(
        f"{kind} of {len(paths):,}: names {listed - start:.2f} s, opened {opened - listed:.2f} s "
        f"({cpu:.2f} s of processor), {grown:.0f} MB, one image "
        f"{(time.perf_counter() - opened) * 1000:.1f} ms"
    )


if __name__ == "__main__":
    main()
