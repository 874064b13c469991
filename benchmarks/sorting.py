"""How long the orders of `facegraft faceset sort` take, and how the time grows with the set.

    python benchmarks/sorting.py [1000 3000 10000] [--size 256] [--keys blur hist ...]

Sets of drawn faces, each of its own pose, light, colour, noise and sharpness, are written into a
temporary folder and deleted afterwards. Printed, a row for each key: seconds of the sort itself
for each count, processor seconds of the largest, and the exponent by which processor time grows
from the smallest set to the largest (1: twice the faces, twice the time; 2: four times). `open` is
the listing of the set with its metadata, `measure` the one look at all pictures, which the first
sort that needs them pays; the keys' own times are those of every later sort, of measures that the
set keeps.
"""

import argparse
import math
import shutil
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np

from facegraft.faces.align import align_matrix
from facegraft.faces.face import Face, Origin
from facegraft.faces.faceset import Faceset, write_aligned
from facegraft.faces.landmarks import HEAD_3D, INNER_LIPS, LEFT_EYE, RIGHT_EYE, hull_mask
from facegraft.model_spec import FaceType
from facegraft.sets.measures import measure_pictures
from facegraft.sets.report import make_report
from facegraft.sets.sort import SORTS, sort_faces

FRAME = 400  # px
KEYS = [key for key in SORTS if key != "identity"]  # that one is as fast as the user's network


def draw_face(folder: Path, n: int, side: int) -> None:
    """Face number `n`, the same at every call, as a JPEG of `side` px."""
    rng = np.random.default_rng(n)
    yaw, pitch = np.radians(rng.normal(0, (25, 10)))
    x = HEAD_3D[:, 0] * np.cos(yaw) - HEAD_3D[:, 2] * np.sin(yaw)
    z = HEAD_3D[:, 0] * np.sin(yaw) + HEAD_3D[:, 2] * np.cos(yaw)
    y = HEAD_3D[:, 1] * np.cos(pitch) - z * np.sin(pitch)
    points = (np.stack([x, y], axis=1) * (200 / 147) + FRAME / 2).astype(np.float32)
    matrix = align_matrix(points, FaceType.FULL, side)
    inside = points @ matrix[:, :2].T.astype(np.float32) + matrix[:, 2].astype(np.float32)
    skin = np.array([210, 160, 130]) * rng.uniform(0.4, 1.1) + rng.normal(0, 10, 3)
    hull = hull_mask(inside, side, side)[..., None]
    picture = np.clip(hull * skin + (1 - hull) * rng.uniform(0, 120, 3), 0, 255)
    picture = np.ascontiguousarray(picture.astype(np.uint8))
    for part in (RIGHT_EYE, LEFT_EYE, INNER_LIPS):
        cv2.fillConvexPoly(picture, np.rint(inside[part]).astype(np.int32), (40, 25, 30))
    noise = rng.integers(0, 40, (side, side, 1), dtype=np.uint8)
    picture = cv2.add(picture, np.repeat(noise, 3, axis=2))
    picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.3, 3))
    low, high = points.min(axis=0), points.max(axis=0)
    face = Face(points, (*low.tolist(), *high.tolist()), float(rng.uniform(0.5, 1)), track=0)
    origin = Origin("drawn", f"{n:06d}", n, f"{n}/25", FRAME, FRAME, "drawn 1")
    write_aligned(folder / f"{n:06d}_0.jpg", picture, face, FaceType.FULL, matrix, origin)


def write_sets(folder: Path, counts: list[int], side: int) -> list[Path]:
    """A set for each count; smaller ones are links to the largest's faces."""
    largest = folder / f"{max(counts)}"
    largest.mkdir()
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda n: draw_face(largest, n, side), range(max(counts))))
    sets = []
    for count in counts:
        one = folder / f"{count}"
        if one != largest:
            one.mkdir()
            for n in range(count):
                name = f"{n:06d}_0.jpg"
                (one / name).hardlink_to(largest / name)
        sets.append(one)
    return sets


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds by the clock, and of the processor."""
    start, used = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - start, time.process_time() - used


def print_row(name: str, times: list[tuple[float, float]], counts: list[int]) -> None:
    """One line of the table."""
    grown = math.log(max(times[-1][1], 1e-6) / max(times[0][1], 1e-6))
    exponent = grown / math.log(counts[-1] / counts[0]) if len(counts) > 1 else math.nan
    cells = " | ".join(f"{clock:.2f}" for clock, _ in times)
    print(f"| {name} | {cells} | {times[-1][1]:.2f} | {exponent:.2f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Times of sorting.")
    parser.add_argument("counts", nargs="*", type=int, default=[1000, 3000, 10000])
    parser.add_argument("--size", type=int, default=256, help="px, side of the faces")
    parser.add_argument("--keys", nargs="+", default=KEYS, choices=KEYS)
    arguments = parser.parse_args()
    counts = sorted(arguments.counts)
    folder = Path(tempfile.mkdtemp(prefix="sorting-"))
    try:
        sets = write_sets(folder, counts, arguments.size)
        print(f"| key | {' | '.join(f'{n} s' for n in counts)} | CPU s of {counts[-1]} | growth |")
        print("|---" * (len(counts) + 3) + "|")
        print_row("open", [timed(lambda one=one: Faceset.open(one)) for one in sets], counts)
        facesets = [Faceset.open(one) for one in sets]
        looked = [timed(lambda s=s: measure_pictures(s)) for s in facesets]
        print_row("measure", looked, counts)
        for key in arguments.keys:
            times = [timed(lambda s=s, key=key: sort_faces(s, key)) for s in facesets]
            print_row(key, times, counts)
        print_row("report", [timed(lambda s=s: make_report(s)) for s in facesets], counts)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
