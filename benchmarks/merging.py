"""What a merge costs: one 1080p frame by setting, and a whole clip in frames a second.

    python benchmarks/merging.py [--model M.dfm] [--repeats 9] [--frames 24] [--face 300]

The frame is soft noise with one face of known landmarks, `--face` px from brow to chin, so nothing
has to be detected. Without --model a df-ud 256 network with random weights is exported, which costs
what a trained one does; the face is merged by hull mask, since random masks could be empty.
Settings are those that DeepFaceLab's merger was measured with. Prints medians: wall and processor
milliseconds of the merge alone, from the stored frame to the finished 8-bit frame with predictions
at hand, beside those of the network.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from facegraft.faces.face import Face
from facegraft.faces.landmarks import HEAD_3D
from facegraft.inference import SwapModel
from facegraft.media.images import encode_image
from facegraft.media.open import open_source
from facegraft.media.writer import VideoWriter
from facegraft.merge.animation import Animation
from facegraft.merge.extras import FaceExtras, FrameExtras
from facegraft.merge.frame import merge_frame, predict_faces, reach
from facegraft.merge.out.output import open_output
from facegraft.merge.params import ColorTransfer, MaskMode, MergeMode, MergeParams
from facegraft.merge.run import merge_clip, merge_pixels
from facegraft.model_spec import FaceType, ModelRecord, ModelSpec

WIDTH, HEIGHT = 1920, 1080
SPEC = ModelSpec("df-ud", 256, FaceType.WHOLE_FACE, 256, 64, 64, 22)  # DFL's SAEHD at 256
HULL = MaskMode.HULL
SETTINGS = {
    "original": MergeParams(mask_mode=HULL, mode=MergeMode.ORIGINAL),
    "overlay, none": MergeParams(mask_mode=HULL, color_transfer=ColorTransfer.NONE),
    "overlay, rct": MergeParams(mask_mode=HULL),
    "overlay, rct, erode 25 blur 50": MergeParams(mask_mode=HULL, erode=25, blur=50),
    "overlay, rct, erode 100 blur 200": MergeParams(mask_mode=HULL, erode=100, blur=200),
    "hist match, rct": MergeParams(mask_mode=HULL, mode=MergeMode.HIST_MATCH),
    "seamless, none": MergeParams(
        mask_mode=HULL, mode=MergeMode.SEAMLESS, color_transfer=ColorTransfer.NONE
    ),
    "seamless, rct": MergeParams(mask_mode=HULL, mode=MergeMode.SEAMLESS),
}


def main() -> None:
    args = arguments()
    with tempfile.TemporaryDirectory() as folder:
        path = args.model or random_model(Path(folder) / "random.dfm")
        model = SwapModel.open(path)
        pixels, face = noise(0), centered_face(args.face)
        x0, y0, x1, y1 = reach([face], model, MergeParams(), pixels.shape)
        print(
            f"{WIDTH}x{HEIGHT}, face {face.size_px:.0f} px, rectangle {x1 - x0}x{y1 - y0}, model "
            f"{model.resolution} px; medians of {args.repeats}"
        )
        print(f"{'':36}{'wall ms':>10}{'CPU ms':>10}")
        image = pixels.astype(np.float32) / np.float32(255)
        predictions = predict_faces(image, [face], model, MergeParams())
        show("network", lambda: predict_faces(image, [face], model, MergeParams()), args.repeats)
        for name, params in SETTINGS.items():
            kept = _Kept(model, predictions[0])
            show(name, lambda p=params, k=kept: merge_pixels(pixels, [face], k, p), args.repeats)
        show("  PNG encode, for comparison", lambda: encode_image(".png", pixels), args.repeats)
        params = SETTINGS["overlay, rct, erode 25 blur 50"]
        merged = merge_frame(
            image, [face], model, params, FrameExtras([FaceExtras(prediction=predictions[0])])
        )
        assert merged.matte.max() == 1, "nothing was merged, so nothing was measured"
        whole_clip(Path(folder), model, face, params, args.frames)


class _Kept(SwapModel):
    """A model whose prediction is at hand, so that a merge is measured without its network."""

    def __init__(self, model: SwapModel, prediction: Any) -> None:
        self.resolution, self.spec, self.prediction = model.resolution, model.spec, prediction

    def predict(self, aligned: np.ndarray, morph_value: float = 0.75) -> Any:
        return self.prediction


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--frames", type=int, default=24, help="length of the clip")
    parser.add_argument("--face", type=float, default=300.0, help="px from brow to chin")
    return parser.parse_args()


def noise(seed: int) -> np.ndarray:
    """(1080, 1920, 3) uint8 soft noise, about as hard to encode as film."""
    values = np.random.default_rng(seed).normal(128, 300, (HEIGHT // 8, WIDTH // 8, 3))
    soft = cv2.GaussianBlur(values.astype(np.float32), (0, 0), 3)
    return np.clip(cv2.resize(soft, (WIDTH, HEIGHT)), 0, 255).astype(np.uint8)


def centered_face(height: float) -> Face:
    points = HEAD_3D[:, :2] * (height / np.ptp(HEAD_3D[:, 1])) + (WIDTH / 2, HEIGHT / 2)
    points = points.astype(np.float32)
    (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
    return Face(points, (float(left), float(top), float(right), float(bottom)), 1.0)


def random_model(path: Path) -> Path:
    import torch

    from facegraft.models.build import build
    from facegraft.models.export import export_dfm

    torch.manual_seed(0)
    crop = np.full((1, SPEC.resolution, SPEC.resolution, 3), 0.5, np.float32)
    export_dfm(build(SPEC), SPEC, ModelRecord(name="random"), path, crop)
    return path


def show(name: str, work: Callable[[], Any], repeats: int) -> None:
    work()
    walls, cpus = [], []
    for _ in range(repeats):
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        cpus.append((time.process_time() - cpu) * 1e3)
        walls.append((time.perf_counter() - wall) * 1e3)
    print(f"{name:36}{statistics.median(walls):10.1f}{statistics.median(cpus):10.1f}")


def whole_clip(
    folder: Path, model: SwapModel, face: Face, params: MergeParams, frames: int
) -> None:
    """Frames a second from H.264 to H.264 with a matte movie beside it."""
    with VideoWriter(folder / "clip.mp4", WIDTH, HEIGHT, 25) as writer:
        for index in range(frames):
            writer.write(np.roll(noise(0), 4 * index, axis=1))
    wall, cpu = time.perf_counter(), time.process_time()
    with (
        open_source(folder / "clip.mp4") as source,
        open_output(folder / "out.mp4", source.info) as output,
        open_output(folder / "matte.mp4", source.info) as mattes,
    ):
        merge_clip(source, output, mattes, model, Animation.constant(params), lambda _frame: [face])
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(
        f"clip of {frames} frames, H.264 in, H.264 and matte out: {frames / wall:.2f} frames/s, "
        f"{cpu / frames * 1e3:.0f} CPU ms a frame"
    )


if __name__ == "__main__":
    main()
