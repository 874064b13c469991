"""How near the swap comes to the truth: ada's face on ben's performance, against a rendered answer.

    python benchmarks/fidelity.py [FOOTAGE] [--preset quick96] [--minutes 10 20 40] [--rate IT/S]
                                  [--work FOLDER]

Extracts both clips, trains, and after each of the given minutes of training exports, merges and
compares inside the true face region, where `ada_as_ben_truth` is the answer: PSNR, SSIM and edge
sharpness of the swap beside those of doing nothing (the dst clip itself). Outside the region the
swap must equal the clip. Random warp is on for the first WARM of the longest time, then training
goes on without it and with lower rates, as the field trains. With --rate, minutes are counted in
iterations at that rate, so that other work beside does not change what they bring: give what
`benchmarks/train.py` prints for the setting on the idle machine. Work is kept in FOLDER, so that a
later call trains on, or scores what is there; `curve.png` shows every score. FOOTAGE holds
ada_src.mp4, ben_dst.mp4, ada_as_ben_truth.mp4 and ben_dst_facemask.zip; without it the benchmark
says so and ends. `fidelity_curves.py` draws the scores of several FOLDERs in one picture.
"""

import argparse
import json
import time
import zipfile
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
from fidelity_curves import SCORES_NAME, draw_curves
from skimage.metrics import structural_similarity

from facegraft.extract import ExtractParams, extract_faces
from facegraft.faces.detect import FaceDetector
from facegraft.faces.faceset import Faceset
from facegraft.inference import SwapModel
from facegraft.media.images import write_image
from facegraft.media.open import open_source
from facegraft.merge.clip.faces import faces_from_set
from facegraft.merge.clip.seat import seat
from facegraft.merge.frame import merge_frame
from facegraft.merge.params import ColorTransfer, MergeParams
from facegraft.model_spec import FaceType, ModelRecord
from facegraft.progress import Progress, Request
from facegraft.training.checkpoint import load_checkpoint
from facegraft.training.export import export_run
from facegraft.training.loop import train
from facegraft.training.presets import Preset
from facegraft.training.run_params import resolve
from facegraft_cli.report import TerminalProgress, terminal_progress

FOOTAGE = Path(__file__).parent.parent.parent / "shared" / "footage"
FILES = ("ada_src.mp4", "ben_dst.mp4", "ada_as_ben_truth.mp4", "ben_dst_facemask.zip")
SHEET_FRAMES = 4  # rows of the picture
# shares of the longest time, and what is trained otherwise than the preset says until then
WARM, CALM, LAST = 0.65, 0.9, 1.0
NO_WARP = {"random_warp": False, "lr_dropout": False}
PHASES = (
    (WARM, {}),
    (CALM, {**NO_WARP, "learning_rate": 5e-5}),
    (LAST, {**NO_WARP, "learning_rate": 2e-5}),
)
INNER = 0.6  # share of the face region's depth that the inner score keeps: its edge is a blend


@dataclass(frozen=True, slots=True)
class Score:
    """Means over all frames with a visible face, of the swap and of doing nothing."""

    minutes: float  # of training
    iterations: int
    psnr: float  # dB, in the face region
    idle_psnr: float
    ssim: float
    idle_ssim: float
    inner_psnr: float  # dB, where the truth is the src face alone
    idle_inner_psnr: float
    sharpness: float  # edge energy by the truth's, 1 is as sharp
    nearer: float  # share of frames whose PSNR is above doing nothing


class Until:
    """A Progress that asks to stop at an iteration, or when a time has passed."""

    def __init__(self, progress: TerminalProgress, seconds: float, rate: float | None) -> None:
        self.inner, self.seconds, self.rate = progress, seconds, rate
        self.late = float("inf")  # time.monotonic() at which to stop
        self.left = float("inf")  # iterations

    def start(self, total: int | None, unit: str, done: int = 0) -> None:
        self.inner.start(total, unit, done)
        if unit == "iterations" and self.rate is None:
            self.late = time.monotonic() + self.seconds
        elif unit == "iterations" and self.rate is not None:
            self.left = round(self.seconds * self.rate)

    def advance(self, count: int = 1, note: str = "") -> None:
        self.inner.advance(count, note)
        self.left -= count

    def note(self, text: str) -> None:
        self.inner.note(text)

    def take_requests(self) -> list[Request]:
        late = self.left <= 0 or time.monotonic() >= self.late
        return [*self.inner.take_requests(), *([Request.STOP] if late else [])]

    @property
    def cancelled(self) -> bool:
        return self.inner.cancelled


def main() -> None:
    args = arguments()
    missing = [name for name in FILES if not (args.footage / name).exists()]
    if missing:
        print(f"skipped: {args.footage} lacks {', '.join(missing)}")
        return
    run, scores = args.work / "run", read_scores(args.work)
    given = {"save_minutes": 5.0, "precision": args.precision, "uniform_yaw": True}
    with terminal_progress() as progress:
        src = faceset(args.footage / "ada_src.mp4", args.work / "src", args.fps, progress)
        dst = faceset(args.footage / "ben_dst.mp4", args.work / "dst", 0, progress)
        for minutes in sorted(args.minutes):
            for share, changes in PHASES:
                end = min(minutes, share * max(args.minutes)) * 60
                left = end - trained_seconds(run, progress, args.rate)
                if left > 0.5 / (args.rate or 1.0):
                    params = resolve({**given, **changes}, Preset(args.preset))
                    train(src, dst, run, params, Until(progress, left, args.rate))
                if progress.cancelled:
                    return
            export_run(run, args.work / "model.dfm", ModelRecord(name="ada"), progress.note)
            model = SwapModel.open(args.work / "model.dfm")
            assert model.record is not None  # written just now
            shot = controls(model, args.footage, dst, args.light_size)
            trained = trained_seconds(run, progress, args.rate) / 60
            score = compare_all(
                args.footage, model, dst, args.work, shot, trained, model.record.iterations
            )
            scores.append(score)
            (args.work / SCORES_NAME).write_text(json.dumps([asdict(s) for s in scores], indent=1))
            report(score)
    write_image(args.work / "curve.png", draw_curves({args.preset: args.work}))
    print(f"{args.work / 'curve.png'}; clip | matte | swap | truth: {args.work / 'sheet.png'}")


def read_scores(work: Path) -> list[Score]:
    path = work / SCORES_NAME
    return [Score(**values) for values in json.loads(path.read_text())] if path.exists() else []


def trained_seconds(run: Path, progress: Progress, rate: float | None) -> float:
    checkpoint = load_checkpoint(run, progress.note, groups=())
    if checkpoint is None:
        return 0.0
    return checkpoint.seconds if rate is None else checkpoint.iteration / rate


def faceset(clip: Path, folder: Path, fps: float, progress: Progress) -> Faceset:
    params = ExtractParams(face_type=FaceType.WHOLE_FACE, image_size=320, max_faces=1, fps=fps)
    with open_source(clip) as source:
        extract_faces(source, folder, params, FaceDetector(threads=1), progress)
    return Faceset.open(folder)


def controls(model: SwapModel, footage: Path, dst: Faceset, light_size: float) -> MergeParams:
    """The controls of this shot, found without the truth: the face seated by its own landmarks, as
    `facegraft merge --seat` does it, in the frame's light."""
    params = MergeParams(
        erode=10.0,
        blur=60.0,
        color_transfer=ColorTransfer.NONE,
        light_match=1.0,
        light_size=light_size,
    )
    with open_source(footage / "ben_dst.mp4") as clip:
        found = seat(model, clip, faces_from_set(dst, clip), FaceDetector(threads=1), params)
    print(f"seat: {found.to_values()}")
    return found.added_to(params)


def compare_all(
    footage: Path,
    model: SwapModel,
    dst: Faceset,
    work: Path,
    params: MergeParams,
    minutes: float,
    iterations: int,
) -> Score:
    """Merge every frame and score it; writes `sheet.png`."""
    faces = dst.by_frame_index()
    masks = zipfile.ZipFile(footage / "ben_dst_facemask.zip")
    swap: list[tuple[float, float]] = []
    idle: list[tuple[float, float]] = []
    inner_swap: list[float] = []
    inner_idle: list[float] = []
    sharp: list[float] = []
    outside: list[float] = []
    rows: list[np.ndarray] = []
    with (
        open_source(footage / "ben_dst.mp4") as clip,
        open_source(footage / "ada_as_ben_truth.mp4") as truth_clip,
    ):
        shown = set(np.linspace(5, clip.info.frame_count - 6, SHEET_FRAMES).astype(int).tolist())
        for frame, truth in zip(clip, truth_clip, strict=True):
            found = [aligned.face for aligned in faces.get(frame.index, [])]
            merged = merge_frame(frame.image, found, model, params)
            mask = mask_of(masks, frame.index)
            if not mask.any():
                continue
            inner = inner_part(mask)
            swap.append(compare(merged.result, truth.image, mask))
            idle.append(compare(frame.image, truth.image, mask))
            inner_swap.append(compare(merged.result, truth.image, inner)[0])
            inner_idle.append(compare(frame.image, truth.image, inner)[0])
            sharp.append(edges(merged.result, inner) / edges(truth.image, inner))
            outside.append(np.abs(merged.result - frame.image)[merged.matte == 0].max())
            if frame.index in shown:
                rows.append(row(frame.image, merged.matte, merged.result, truth.image))
    write_image(work / "sheet.png", np.concatenate(rows))
    print(f"largest difference to the clip where the matte is 0: {max(outside):g}")
    (psnr, ssim), (idle_psnr, idle_ssim) = np.mean(swap, axis=0), np.mean(idle, axis=0)
    return Score(
        minutes=round(minutes, 2),
        iterations=iterations,
        psnr=float(psnr),
        idle_psnr=float(idle_psnr),
        ssim=float(ssim),
        idle_ssim=float(idle_ssim),
        inner_psnr=float(np.mean(inner_swap)),
        idle_inner_psnr=float(np.mean(inner_idle)),
        sharpness=float(np.mean(sharp)),
        nearer=float(np.mean([s[0] > i[0] for s, i in zip(swap, idle, strict=True)])),
    )


def mask_of(masks: zipfile.ZipFile, index: int) -> np.ndarray:
    data = np.frombuffer(masks.read(f"{index:04d}.png"), np.uint8)
    decoded = cv2.imdecode(data, cv2.IMREAD_GRAYSCALE)
    assert decoded is not None, f"mask {index} is unreadable"
    return decoded > 127


def inner_part(mask: np.ndarray) -> np.ndarray:
    """The part of the region away from its edge, where the truth is the src face alone."""
    depth = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 5)
    return depth > (1 - INNER) * depth.max()


def compare(image: np.ndarray, truth: np.ndarray, mask: np.ndarray) -> tuple[float, float]:
    """PSNR in dB and mean SSIM of (H, W, 3) float32 0..1 inside a boolean mask."""
    error = np.mean((np.clip(image, 0, 1) - truth)[mask] ** 2)
    result = structural_similarity(
        truth, np.clip(image, 0, 1), channel_axis=2, data_range=1.0, full=True
    )
    similarity = np.asarray(result[1])  # the map beside its mean
    return float(-10 * np.log10(error)), float(similarity[mask].mean())


def edges(image: np.ndarray, mask: np.ndarray) -> float:
    """Mean length of the luma's gradient inside the mask."""
    luma = np.clip(image, 0, 1) @ np.array([0.2126, 0.7152, 0.0722], np.float32)  # Rec.709
    gradient = np.hypot(cv2.Sobel(luma, cv2.CV_32F, 1, 0), cv2.Sobel(luma, cv2.CV_32F, 0, 1))
    return float(np.mean(gradient[mask]))


def report(score: Score) -> None:
    print(
        f"{score.minutes:.0f} min, {score.iterations} iterations: face region PSNR "
        f"{score.psnr:.2f} dB (doing nothing {score.idle_psnr:.2f}), SSIM {score.ssim:.3f} "
        f"({score.idle_ssim:.3f}), inner face {score.inner_psnr:.2f} dB "
        f"({score.idle_inner_psnr:.2f}), sharpness {score.sharpness:.2f}, nearer in "
        f"{score.nearer:.0%} of frames"
    )


def row(clip: np.ndarray, matte: np.ndarray, swap: np.ndarray, truth: np.ndarray) -> np.ndarray:
    pictures = (clip, np.repeat(matte[..., None], 3, axis=2), swap, truth)
    return np.concatenate([np.rint(np.clip(p, 0, 1) * 255).astype(np.uint8) for p in pictures], 1)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Fidelity of a swap to its truth")
    parser.add_argument("footage", nargs="?", type=Path, default=FOOTAGE)
    parser.add_argument("--minutes", type=float, nargs="+", default=[10, 20, 40])
    parser.add_argument("--rate", type=float, help="iterations a second, alone on the machine")
    parser.add_argument("--light-size", type=float, default=40.0, help="permille, in the merge")
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--preset", choices=[p.value for p in Preset], default="quick96")
    parser.add_argument("--fps", type=float, default=0.0, help="of the src clip; 0: all")
    parser.add_argument("--work", type=Path, default=Path("build/fidelity"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
