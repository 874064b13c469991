"""How still the swap stands on the head, and how still its light is: smoothing off and on.

    python benchmarks/flicker.py --model ada.dfm --faces DST_FACES [FOOTAGE] [--sheet strips.png]
                                 [--disturb none grain passer exposure]

Every frame of ben_dst is merged in several settings. The exact landmarks of the footage lay each
picture into a square that is fixed to the head, so that whatever still moves there is not the
head's. Between neighbouring frames optical flow (DIS: Kroeger et al. 2016) is measured in the swap
and in `ada_as_ben_truth`; what they differ by is the swap's own motion. Four numbers per setting:

  slip    RMS over frames of the whole face's own step, in permille of the square
  boil    RMS over frames and pixels of the rest: parts of the face that move by themselves
  light   RMS over frames of the face's own step in mean luma, in thousandths
  edge    RMS over frames and pixels of the matte's step, in thousandths

beside those of the clip itself against the truth, which moves with the head and so shows how well
this measures. The clip's light is steady and its picture clean, so a fit of each frame by itself is
as good as any; --disturb lays something known on the clip that spoils single frames (`disturb.py`).
Light is not measured where something passes in front of the face. The square's own unrest (before
any network) is printed first: the step in place, size and tilt of the square that the landmarks lay
out, against the exact ones. Frames where the hand hides the face are left out. Without FOOTAGE the
benchmark says so and ends.
"""

import argparse
import json
import math
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import cv2
import numpy as np
from disturb import KINDS, Disturbed, passer

from facegraft.array_store import ArrayStore
from facegraft.faces.align import align_matrix, compose, invert, warp_image
from facegraft.faces.faceset import Faceset
from facegraft.faces.landmarks import hull_mask
from facegraft.inference import SwapModel
from facegraft.media.images import write_image
from facegraft.media.open import open_source
from facegraft.media.source import FrameSource
from facegraft.merge.animation import Animation
from facegraft.merge.clip.faces import ClipFaces, faces_from_set
from facegraft.merge.clip.params import ClipParams
from facegraft.merge.clip.steady import steadied
from facegraft.merge.frame import merge_frame
from facegraft.merge.job import MergeJob
from facegraft.merge.over_time import fit_clip, looks_along
from facegraft.merge.params import MergeParams
from facegraft.model_spec import FaceType
from facegraft.progress import Silent

FOOTAGE = Path(__file__).parent.parent.parent / "shared" / "footage"
FILES = ("ben_dst.mp4", "ada_as_ben_truth.mp4", "ben_dst_landmarks.json")
SIDE = 256  # px of the square that is fixed to the head
INNER = 24  # px that the face's region shrinks by: its edge shows the clip, which does not slip
LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32)  # Rec.709
SLIT = 0.36  # of the square's width: a line down through an eye and the corner of the mouth
BASE = replace(MergeParams(), erode=10.0, blur=60.0)
SETTINGS: dict[str, tuple[ClipParams, MergeParams]] = {
    "all off": (ClipParams(steady=0.0), BASE),
    "steady 1": (ClipParams(steady=1.0), BASE),
    "steady 1, crop 2": (ClipParams(steady=1.0, steady_crop=2.0), BASE),
    "steady 1, color 6": (ClipParams(steady=1.0), replace(BASE, smooth_color=6.0)),
    "steady 1, mask 3": (ClipParams(steady=1.0), replace(BASE, smooth_mask=3.0)),
}
SQUARES = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0)  # frames of `steady` whose squares are compared


@dataclass(frozen=True, slots=True)
class Unrest:
    """See the module."""

    slip: float
    boil: float
    light: float
    edge: float


@dataclass(frozen=True, slots=True, eq=False)
class Laid:
    """A frame in the head's square, (SIDE, SIDE) uint8 each."""

    luma: np.ndarray
    matte: np.ndarray


def main() -> None:
    args = arguments()
    missing = [name for name in FILES if not (args.footage / name).exists()]
    if missing:
        print(f"skipped: {args.footage} lacks {', '.join(missing)}")
        return
    exact, hidden = read_landmarks(args.footage / "ben_dst_landmarks.json")
    squares = [align_matrix(points, FaceType.FULL, 1) for points in exact]
    exact, hidden = exact[: args.frames], hidden[: args.frames]
    with (
        tempfile.TemporaryDirectory() as folder,
        open_source(args.footage / "ben_dst.mp4") as clip,
        open_source(args.footage / "ada_as_ben_truth.mp4") as truth_clip,
    ):
        # settings that lay out the same squares share what the network makes of them
        model = SwapModel.open(args.model, store=ArrayStore(Path(folder)))
        faces = faces_from_set(Faceset.open(args.faces), clip, 1)
        for sigma in SQUARES:
            smooth = steadied(faces, ClipParams(steady=sigma))
            report_square(f"steady {sigma:g}", smooth, exact, hidden)
        matrices = [align_matrix(points, FaceType.FULL, SIDE) for points in exact]
        regions = [region(points, m) for points, m in zip(exact, matrices, strict=True)]
        truth = laid(truth_clip, matrices)
        plate = laid(clip, matrices)
        report("the clip itself", measure(plate, truth, regions, regions, hidden))
        strips = [strip(truth)]
        for kind in args.disturb:
            disturbed = Disturbed(clip, kind, squares)
            answer = truth
            if kind == "exposure":
                answer = laid(Disturbed(truth_clip, kind, squares), matrices)
            lit = [clear(kind, i, m, regions[i]) for i, m in enumerate(matrices)]
            for name, (clip_params, params) in SETTINGS.items():
                swaps = merged(disturbed, steadied(faces, clip_params), model, params, matrices)
                report(f"{kind}, {name}", measure(swaps, answer, regions, lit, hidden))
                strips.append(strip(swaps))
    if args.sheet:
        write_image(args.sheet, np.concatenate(strips))
        print(f"{args.sheet}: a line down the face over time, truth first, then as above")


def laid(clip: FrameSource | Disturbed, matrices: list[np.ndarray]) -> list[Laid]:
    """The clip's own frames in the head's square, without a matte."""
    nothing = np.zeros((SIDE, SIDE), np.uint8)
    return [Laid(lay(clip[i].image, matrix), nothing) for i, matrix in enumerate(matrices)]


def clear(kind: str, index: int, matrix: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """(SIDE, SIDE) bool: the region without what passes in front of it, and a little around that:
    the network spreads what it sees."""
    square = np.array([[1 / SIDE, 0, 0], [0, 1 / SIDE, 0]])
    front = passer(kind, index, square, (SIDE, SIDE)) > 0
    wide = cv2.dilate(front.astype(np.uint8), np.ones((2 * INNER + 1,) * 2, np.uint8)) > 0
    return inside & ~wide


def read_landmarks(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """(T, 68, 2) exact points, and (T,) whether something hides a part of the face."""
    values = json.loads(path.read_text())["frames"]
    points = np.array([frame["points"] for frame in values], np.float64)
    return points, np.array([any(frame["occluded_by_object"]) for frame in values])


def report_square(name: str, faces: ClipFaces, exact: np.ndarray, hidden: np.ndarray) -> None:
    """Prints the RMS step between frames of the square's error, away from the hand."""
    rows = []
    for index, points in enumerate(exact):
        true = align_matrix(points, FaceType.FULL, 1)
        found = align_matrix(faces.at(index)[0].landmarks, FaceType.FULL, 1)
        moved = compose(found, invert(true))
        x, y = (moved[:, :2] @ (0.5, 0.5) + moved[:, 2] - 0.5) * 1000
        size = 100 * (math.sqrt(np.linalg.det(moved[:, :2])) - 1)
        rows.append((x, y, size, math.degrees(math.atan2(moved[1, 0], moved[0, 0]))))
    steps = np.diff(rows, axis=0)[~(hidden[1:] | hidden[:-1])]
    x, y, size, tilt = np.sqrt((steps**2).mean(axis=0))
    print(
        f"square, {name}: place {math.hypot(x, y):.2f} permille, size {size:.2f} %, "
        f"tilt {tilt:.2f} degrees"
    )


def merged(
    clip: Disturbed,
    faces: ClipFaces,
    model: SwapModel,
    params: MergeParams,
    matrices: list[np.ndarray],
) -> list[Laid]:
    """The merged frames in the head's square."""
    job = MergeJob(model, Animation.constant(params), faces)
    if looks_along(params):
        source = cast(FrameSource, clip)  # it is asked for frames by index alone
        job = replace(job, steady=fit_clip(source, job, range(len(matrices)), Silent()))
    results = []
    for index, matrix in enumerate(matrices):
        frame = clip[index]
        found = job.faces(frame)
        extras = job.extras(frame, found, params)
        done = merge_frame(frame.image, found, model, params, extras)
        matte = lay(np.repeat(done.matte[..., None], 3, axis=2), matrix)
        results.append(Laid(lay(done.result, matrix), matte))
    return results


def lay(image: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """(SIDE, SIDE) uint8 luma of the head's square: what flow and light are measured in."""
    square = np.clip(warp_image(image, matrix, SIDE, SIDE), 0, 1)
    return np.rint(square @ LUMA * 255).astype(np.uint8)


def region(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """(SIDE, SIDE) bool: the face without its edge."""
    square = (points @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32)
    hull = (hull_mask(square, SIDE, SIDE) > 0.5).astype(np.uint8)
    return cv2.distanceTransform(hull, cv2.DIST_L2, 5) > INNER


def measure(
    swaps: list[Laid],
    truth: list[Laid],
    regions: list[np.ndarray],
    lit: list[np.ndarray],
    hidden: np.ndarray,
) -> Unrest:
    """`lit`: where light is measured, `regions`: where motion is; (SIDE, SIDE) bool each."""
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    slips, boils, lights, mattes = [], [], [], []
    for n in range(1, len(swaps)):
        if hidden[n] or hidden[n - 1]:
            continue
        inside = regions[n] & regions[n - 1]
        still = np.zeros((SIDE, SIDE, 2), np.float32)  # where the search begins
        own = flow.calc(swaps[n - 1].luma, swaps[n].luma, still.copy())
        own = np.asarray(own) - flow.calc(truth[n - 1].luma, truth[n].luma, still)
        steps = own[inside] * (1000 / SIDE)
        mean = steps.mean(axis=0)
        slips.append((mean**2).sum())
        boils.append(((steps - mean) ** 2).sum(axis=1).mean())
        shown = lit[n] & lit[n - 1]
        now, before = (float((swaps[i].luma[shown] / 0.255).mean()) for i in (n, n - 1))
        true_now, true_before = (float((truth[i].luma[shown] / 0.255).mean()) for i in (n, n - 1))
        lights.append((now - before - true_now + true_before) ** 2)
        step = (swaps[n].matte.astype(np.float32) - swaps[n - 1].matte) / 0.255
        mattes.append((step**2).mean())
    values = (math.sqrt(float(np.mean(v))) for v in (slips, boils, lights, mattes))
    return Unrest(*values)


def report(name: str, unrest: Unrest) -> None:
    print(
        f"{name}: slip {unrest.slip:.2f} permille, boil {unrest.boil:.2f} permille, "
        f"light {unrest.light:.2f}, edge {unrest.edge:.2f} thousandths",
        flush=True,
    )


def strip(squares: list[Laid]) -> np.ndarray:
    """(SIDE, 8 T, 3) uint8: one column of each square, 8 px wide, side by side."""
    column = round(SLIT * SIDE)
    lines = np.stack([square.luma[:, column] for square in squares], axis=1)
    wide = np.repeat(lines, 8, axis=1)
    return np.repeat(wide[..., None], 3, axis=2)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Unrest of a swap, smoothing off and on")
    parser.add_argument("footage", nargs="?", type=Path, default=FOOTAGE)
    parser.add_argument("--model", type=Path, default=Path("build/fidelity/model.dfm"))
    parser.add_argument("--faces", type=Path, default=Path("build/fidelity/dst"))
    parser.add_argument("--frames", type=int, help="look only at so many, from the first")
    parser.add_argument("--disturb", choices=KINDS, nargs="+", default=KINDS)
    parser.add_argument("--sheet", type=Path, help="write a picture of a line over time here")
    return parser.parse_args()


if __name__ == "__main__":
    main()
