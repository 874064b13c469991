"""How near the swap comes to the truth: ada's face on ben's performance, against a rendered answer.

    python benchmarks/fidelity.py [FOOTAGE] [--iterations N] [--preset quick96] [--work FOLDER]

Extracts both clips, trains, exports, merges, and compares inside the true face region, where
`ada_as_ben_truth` is the answer: PSNR and SSIM of the swap beside those of doing nothing (the dst
clip itself). Outside the region the swap must equal the clip. Work is kept in FOLDER, so that a
second run with more iterations trains on. FOOTAGE holds ada_src.mp4, ben_dst.mp4,
ada_as_ben_truth.mp4 and ben_dst_facemask.zip; without it the benchmark says so and ends.
"""

import argparse
import time
import zipfile
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from skimage.metrics import structural_similarity

from facegraft.extract import ExtractParams, extract_faces
from facegraft.faces.detect import FaceDetector
from facegraft.faces.faceset import Faceset
from facegraft.inference import SwapModel
from facegraft.media.images import write_image
from facegraft.media.open import open_source
from facegraft.merge.frame import merge_frame
from facegraft.merge.params import MergeParams
from facegraft.model_spec import FaceType, ModelRecord
from facegraft.progress import Progress
from facegraft.training.export import export_run
from facegraft.training.loop import train
from facegraft.training.presets import Preset
from facegraft.training.run_params import resolve
from facegraft_cli.report import terminal_progress

FOOTAGE = Path(__file__).parent.parent.parent / "shared" / "footage"
FILES = ("ada_src.mp4", "ben_dst.mp4", "ada_as_ben_truth.mp4", "ben_dst_facemask.zip")
SHEET_FRAMES = 4  # rows of the picture
INNER = 0.6  # share of the face region's depth that the inner score keeps: its edge is a blend


def main() -> None:
    args = arguments()
    missing = [name for name in FILES if not (args.footage / name).exists()]
    if missing:
        print(f"skipped: {args.footage} lacks {', '.join(missing)}")
        return
    with terminal_progress() as progress:
        src = faceset(args.footage / "ada_src.mp4", args.work / "src", args.fps, progress)
        dst = faceset(args.footage / "ben_dst.mp4", args.work / "dst", 0, progress)
        started = time.monotonic()
        for iterations, changes in (
            (args.iterations - args.unwarped, {}),
            # the field's practice: warp teaches the face, its absence the detail
            (args.iterations, {"random_warp": False, "unwarped_every": 0}),
        ):
            given = {"target_iterations": iterations, **changes}
            result = train(
                src, dst, args.work / "run", resolve(given, Preset(args.preset)), progress
            )
    print(
        f"{result.iteration} iterations of {args.preset}, the last {args.unwarped} without random "
        f"warp, {time.monotonic() - started:.0f} s in this session"
    )
    model_path = args.work / "model.dfm"
    export_run(args.work / "run", model_path, ModelRecord(name="ada"), print)
    score(args.footage, SwapModel.open(model_path), dst, args.work)


def faceset(clip: Path, folder: Path, fps: float, progress: Progress) -> Faceset:
    params = ExtractParams(face_type=FaceType.WHOLE_FACE, image_size=320, max_faces=1, fps=fps)
    with open_source(clip) as source:
        extract_faces(source, folder, params, FaceDetector(threads=1), progress)
    return Faceset.open(folder)


def score(footage: Path, model: SwapModel, dst: Faceset, work: Path) -> None:
    """Print the figures over all frames with a face, and write `sheet.png`."""
    params = replace(MergeParams(), erode=10.0, blur=60.0)
    faces = dst.by_frame_index()
    masks = zipfile.ZipFile(footage / "ben_dst_facemask.zip")
    swap_scores, idle_scores, inner_swap, inner_idle, outside = [], [], [], [], []
    rows = []
    with (
        open_source(footage / "ben_dst.mp4") as clip,
        open_source(footage / "ada_as_ben_truth.mp4") as truth_clip,
    ):
        shown = set(np.linspace(5, clip.info.frame_count - 6, SHEET_FRAMES).astype(int).tolist())
        for frame, truth in zip(clip, truth_clip, strict=True):
            found = [aligned.face for aligned in faces.get(frame.index, [])]
            merged = merge_frame(frame.image, found, model, params)
            mask = mask_of(masks, frame.index)
            inner = inner_part(mask)
            if not mask.any():
                continue
            swap_scores.append(compare(merged.result, truth.image, mask))
            idle_scores.append(compare(frame.image, truth.image, mask))
            inner_swap.append(compare(merged.result, truth.image, inner))
            inner_idle.append(compare(frame.image, truth.image, inner))
            untouched = merged.matte == 0
            outside.append(np.abs(merged.result - frame.image)[untouched].max())
            if frame.index in shown:
                rows.append(row(frame.image, merged.matte, merged.result, truth.image))
    report("face region", swap_scores, idle_scores)
    report("inner face", inner_swap, inner_idle)
    print(f"largest difference to the clip where the matte is 0: {max(outside):g}")
    write_image(work / "sheet.png", np.concatenate(rows))
    print(f"clip | matte | swap | truth: {work / 'sheet.png'}")


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


def report(name: str, swap: list[tuple[float, float]], idle: list[tuple[float, float]]) -> None:
    (psnr, ssim), (idle_psnr, idle_ssim) = np.mean(swap, axis=0), np.mean(idle, axis=0)
    nearer = np.mean([s[0] > i[0] for s, i in zip(swap, idle, strict=True)])
    print(
        f"{name:12} PSNR {psnr:.2f} dB (doing nothing {idle_psnr:.2f}), "
        f"SSIM {ssim:.3f} ({idle_ssim:.3f}), nearer in {nearer:.0%} of {len(swap)} frames"
    )


def row(clip: np.ndarray, matte: np.ndarray, swap: np.ndarray, truth: np.ndarray) -> np.ndarray:
    pictures = (clip, np.repeat(matte[..., None], 3, axis=2), swap, truth)
    return np.concatenate([np.rint(np.clip(p, 0, 1) * 255).astype(np.uint8) for p in pictures], 1)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Fidelity of a swap to its truth")
    parser.add_argument("footage", nargs="?", type=Path, default=FOOTAGE)
    parser.add_argument("--iterations", type=int, default=1200)
    parser.add_argument("--unwarped", type=int, default=700, help="of them, without random warp")
    parser.add_argument("--preset", choices=[p.value for p in Preset], default="quick96")
    parser.add_argument("--fps", type=float, default=10.0, help="frames a second of the src clip")
    parser.add_argument("--work", type=Path, default=Path("build/fidelity"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
