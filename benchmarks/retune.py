"""What changing a merge control costs in a host: one 1080p frame, one face, the real worker.

    python benchmarks/retune.py [PICTURE] [--model M.dfm] [--repeats 20] [--color scene_linear]

PICTURE is a clip or an image with one face; its first frame with a face is laid on 1920x1080. The
default is ben_dst.mp4 of the footage; without it the benchmark says so and ends. Without --model a
df-ud 256 network with random weights is exported, which costs what a trained one does. Prints the
medians in milliseconds: the whole call as the host sees it, its stages, and the processor time that
worker and client spent on it, which other programs on the machine disturb less (0 where there is no
/proc). "first" is a frame the worker has not seen, with model and detector loaded; the others
change one control of that frame.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime

from facegraft.faces.detect import FaceDetector
from facegraft.media.color import srgb_decode
from facegraft.media.open import open_source
from facegraft.model_spec import FaceType, ModelRecord, ModelSpec
from facegraft.worker.client import MergeReply, WorkerClient

FOOTAGE = Path(__file__).parent.parent.parent / "shared" / "footage"
WIDTH, HEIGHT = 1920, 1080
SPEC = ModelSpec("df-ud", 256, FaceType.WHOLE_FACE, 256, 64, 64, 22)  # DFL's SAEHD at 256
STAGES = ("hash", "model", "detection", "display", "inference", "merge", "layer")
# what an editor drags; each repeat takes another value, as a drag does
CHANGES: dict[str, Any] = {
    "mix": lambda i: {"mix": 0.5 + 0.02 * i},
    "erode": lambda i: {"erode": 2.5 * i},
    "blur": lambda i: {"blur": 40 + 10.0 * i},
    "feather top": lambda i: {"feather_top": 10.0 + 5 * i},
    "mask hull": lambda i: {"mask_mode": "hull", "erode": 0.1 * i},
    "transfer amount": lambda i: {"color_transfer_amount": 0.5 + 0.02 * i},
    "transfer lct, mkl": lambda i: {"color_transfer": ("lct", "mkl")[i % 2], "erode": 0.01 * i},
    "transfer sot_m": lambda i: {
        "color_transfer": "sot_m",
        "color_transfer_amount": 0.5 + 0.02 * i,
    },
    "light match": lambda i: {"light_match": 0.5 + 0.02 * i},
    "face offset": lambda i: {"face_offset_x": 1.0 + i},
    "sharpen": lambda i: {"sharpen_mode": "gaussian", "sharpen_amount": 1 + 0.1 * i},
    "denoise": lambda i: {"denoise": 50 + 10.0 * i},
    "bicubic degrade": lambda i: {"bicubic_degrade": 20.0 + i},
    "color degrade": lambda i: {"color_degrade": 20.0 + i},
    "grain": lambda i: {"grain": 0.5 + 0.02 * i},
    "hist match": lambda i: {"mode": "hist_match", "hist_match_threshold": 255 - i},
    "hist match, erode": lambda i: {"mode": "hist_match", "erode": 1.0 * i},
    "seamless": lambda i: {"mode": "seamless", "erode": 1.0 * i},
    "seamless, mix": lambda i: {"mode": "seamless", "mix": 1 - 0.01 * i},
    "raw rgb": lambda i: {"mode": "raw_rgb", "mix": 1 - 0.01 * i},
    "raw predict": lambda i: {"mode": "raw_predict", "mix": 1 - 0.01 * i},
}


def main() -> None:
    args = arguments()
    if not args.picture.exists():
        print(f"skipped: no {args.picture}; name a clip or an image with one face")
        return
    frame = frame_with_face(args.picture)
    if args.color == "scene_linear":
        frame[..., :3] = srgb_decode(frame[..., :3])
    command = [sys.executable, "-P", "-m", "facegraft.worker"]
    with tempfile.TemporaryDirectory() as folder, WorkerClient.start(command) as client:
        model = str(args.model or random_model(Path(folder) / "random.dfm"))
        info = client.load_model(model)
        print(
            f"{WIDTH}x{HEIGHT} {args.color}, model {info['resolution']} px, {os.cpu_count()} cores,"
            f" onnxruntime {onnxruntime.__version__}, medians of {args.repeats}, ms"
        )
        print(
            f"{'':20}{'whole':>8}{'CPU':>8}{'transfer':>10}" + "".join(f"{s:>11}" for s in STAGES)
        )
        merge(client, frame, model, args.color, {})  # detector and model are loaded by now
        firsts, spent = [], cpu_ms(client.pid)
        for repeat in range(args.repeats):
            fresh = frame.copy()
            fresh[0, 0, 0] = repeat / args.repeats  # another frame to the cache
            firsts.append(merge(client, fresh, model, args.color, {}))
        show("first", firsts, (cpu_ms(client.pid) - spent) / args.repeats, cached=False)
        merge(client, frame, model, args.color, {})
        for name, change in CHANGES.items():
            if args.only not in name:
                continue
            merge(client, frame, model, args.color, change(args.repeats))  # what is fitted once
            spent = cpu_ms(client.pid)
            runs = [merge(client, frame, model, args.color, change(i)) for i in range(args.repeats)]
            show(name, runs, (cpu_ms(client.pid) - spent) / args.repeats, cached=True)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("picture", nargs="?", type=Path, default=FOOTAGE / "ben_dst.mp4")
    parser.add_argument("--model", type=Path)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--color", choices=("scene_linear", "display"), default="scene_linear")
    parser.add_argument("--only", default="", help="changes whose name holds this")
    return parser.parse_args()


def frame_with_face(path: Path) -> np.ndarray:
    """(1080, 1920, 4) float32 display-referred: the first frame with a face, as high as fits."""
    detector = FaceDetector()
    with open_source(path) as source:
        for found in source:
            height, width = found.pixels.shape[:2]
            scale = min(HEIGHT / height, WIDTH / width)
            size = (round(width * scale), round(height * scale))
            picture = np.full((HEIGHT, WIDTH, 3), 96, np.uint8)  # a mid grey around it
            left, top = (WIDTH - size[0]) // 2, (HEIGHT - size[1]) // 2
            resized = cv2.resize(found.image_u8, size, interpolation=cv2.INTER_CUBIC)
            picture[top : top + size[1], left : left + size[0]] = resized
            faces = detector.detect(picture)
            if len(faces) == 1:
                print(f"{path.name} frame {found.name}: {faces[0]}")
                frame = np.ones((HEIGHT, WIDTH, 4), np.float32)
                frame[..., :3] = picture / np.float32(255)
                return frame
    raise SystemExit(f"{path} has no frame with exactly one face")


def random_model(path: Path) -> Path:
    import torch

    from facegraft.models.build import build
    from facegraft.models.export import export_dfm

    torch.manual_seed(0)
    crop = np.full((1, SPEC.resolution, SPEC.resolution, 3), 0.5, np.float32)
    export_dfm(build(SPEC), SPEC, ModelRecord(name="random"), path, crop)
    return path


def merge(
    client: WorkerClient, frame: np.ndarray, model: str, color: Any, params: Mapping[str, Any]
) -> tuple[float, MergeReply]:
    """Milliseconds of the whole call, and its reply."""
    started = time.perf_counter()
    reply = client.merge(frame, model=model, params=params, color=color)
    took = (time.perf_counter() - started) * 1e3
    # a host drops a layer when the next one comes; kept ones would cost fresh memory every time
    return took, replace(reply, part=np.empty((0, 0, 4), np.float32))


def cpu_ms(pid: int) -> float:
    """Processor time of the worker, in steps of 10 ms, and of this process so far."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    theirs = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")  # user + system
    return (theirs + time.process_time()) * 1e3


def show(name: str, runs: list[tuple[float, MergeReply]], cpu: float, cached: bool) -> None:
    """One line of medians. What should have been kept must have been: else the figure is a lie."""
    for _, reply in runs:
        if reply.cached != {"detection": cached, "inference": cached} or reply.face_count != 1:
            raise SystemExit(f"{name}: {reply.face_count} faces, cached {reply.cached}")
    whole = statistics.median(total for total, _ in runs)
    transfer = statistics.median(total - sum(reply.ms.values()) for total, reply in runs)
    stages = [statistics.median(reply.ms.get(s, 0.0) for _, reply in runs) for s in STAGES]
    print(
        f"{name:20}{whole:8.1f}{cpu:8.0f}{transfer:10.1f}" + "".join(f"{s:11.1f}" for s in stages)
    )


if __name__ == "__main__":
    main()
