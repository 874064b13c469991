"""What a merge costs, by setting: one 1080p frame from its stored pixels to the finished ones.

    python benchmarks/merging.py [--model M.dfm] [--repeats 9] [--face 300] [--only overlay]

The frame is soft noise with one face of known landmarks, `--face` px from brow to chin, so nothing
has to be detected. Without --model a df-ud 256 network with random weights is exported, which costs
what a trained one does; the face is merged by hull mask, since random masks could be empty.
Settings begin with those that DeepFaceLab's merger was measured with. Prints medians: wall and
processor milliseconds of the merge alone, in 8 bits, with the prediction at hand, beside those of
the network.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from facegraft.controls import parse_values
from facegraft.faces.face import Face
from facegraft.faces.landmarks import HEAD_3D
from facegraft.inference import SwapModel
from facegraft.media.images import encode_image
from facegraft.media.source import Frame
from facegraft.merge.extras import FaceExtras, FrameExtras
from facegraft.merge.frame import predict_faces, reach
from facegraft.merge.out.merged import merge_whole
from facegraft.merge.params import MergeParams
from facegraft.model_spec import FaceType, ModelRecord, ModelSpec

WIDTH, HEIGHT = 1920, 1080
SPEC = ModelSpec("df-ud", 256, FaceType.WHOLE_FACE, 256, 64, 64, 22)  # DFL's SAEHD at 256
SETTINGS: dict[str, dict[str, Any]] = {
    "original": {"mode": "original"},
    "overlay, none": {"color_transfer": "none"},
    "overlay, rct": {},
    "overlay, rct, erode 25 blur 50": {"erode": 25, "blur": 50},
    "overlay, rct, erode 100 blur 200": {"erode": 100, "blur": 200},
    "hist match, rct": {"mode": "hist_match"},
    "seamless, none": {"mode": "seamless", "color_transfer": "none"},
    "seamless, rct": {"mode": "seamless"},
    "seamless hist match, rct": {"mode": "seamless_hist_match"},
    "raw rgb": {"mode": "raw_rgb"},
    "raw predict": {"mode": "raw_predict"},
    **{
        f"overlay, {kind}": {"color_transfer": kind}
        for kind in ("lct", "mkl", "mkl_m", "idt", "idt_m", "sot_m", "mix_m")
    },
    "light match 1": {"light_match": 1.0},
    "feather, all sides": {f"feather_{side}": 80 for side in ("top", "bottom", "left", "right")},
    "sharpen gaussian 5": {"sharpen_mode": "gaussian", "sharpen_amount": 5},
    "denoise 100": {"denoise": 100},
    "bicubic degrade 50": {"bicubic_degrade": 50},
    "color degrade 50": {"color_degrade": 50},
    "motion blur 50": {"motion_blur": 50},
    "grain 1": {"grain": 1.0},
}


def main() -> None:
    args = arguments()
    with tempfile.TemporaryDirectory() as folder:
        model = SwapModel.open(args.model or random_model(Path(folder) / "random.dfm"))
        face = centered_face(args.face)
        frame = Frame(noise(0), 0, Fraction(0), "000000")
        image = frame.display()
        x0, y0, x1, y1 = reach([face], model, MergeParams(), image.shape)
        print(
            f"{WIDTH}x{HEIGHT}, face {face.size_px:.0f} px, rectangle {x1 - x0}x{y1 - y0}, model "
            f"{model.resolution} px; medians of {args.repeats}"
        )
        print(f"{'':36}{'wall ms':>10}{'CPU ms':>10}")
        (prediction,) = predict_faces(image, [face], model, MergeParams())
        show("network", lambda: predict_faces(image, [face], model, MergeParams()), args.repeats)
        extras = FrameExtras(
            [FaceExtras(prediction=prediction, motion=np.array([20.0, 5.0]))], seed=1
        )
        for name, rows in SETTINGS.items():
            if args.only not in name:
                continue
            params = parse_values(MergeParams, {"mask_mode": "hull", **rows})
            work = partial(merge_whole, frame, [face], model, params, extras)
            assert work().matte.max() == 255, "nothing was merged, so nothing was measured"
            show(name, work, args.repeats)
        show("  PNG encode, for comparison", lambda: encode_image(".png", frame.pixels), 3)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--only", default="", help="settings whose name holds this")
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


if __name__ == "__main__":
    main()
