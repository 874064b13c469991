"""What a whole merge of a clip costs, by stage: 1080p H.264 in; H.264 or PNG, and a matte, out.

    python benchmarks/merge_job.py [CLIP] [--model M.dfm] [--frames 16] [--rounds 3] [--dfl 910]

Without CLIP a panned soft noise with grain is encoded; without --model a df-ud 256 network with
random weights is exported, which costs what a trained one does, and its int8 twin is made on crops
of noise. One face of known landmarks, overlay with rct, hull mask. For every model and every form
of the output (ROUTES) a row of the table: processor ms a frame of each stage alone, then of the
whole job as `merge_clip` runs it, the job's ratio to decode, network and encode alone, the cores it
keeps busy, how much sooner it ends than its stages one after the other, frames a second on two full
cores, and how many times DeepFaceLab's those are. Rounds alternate between the models and the
medians count. All is processor time of the process, which other programs disturb less than the
clock.

--dfl is what DeepFaceLab's merger costs a frame in processor ms, --dfl-network the part of it in
the network, --dfl-png what it then spends on reading and writing PNG files. Both are scaled so that
its network costs what ours does here in float. The first ratio leaves its files out and keeps ours,
the second counts both. That its movie is encoded afterwards from those files is in neither.
"""

import argparse
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from merging import HEIGHT, WIDTH, centered_face, noise, random_model

from facegraft.controls import parse_values
from facegraft.inference import SwapModel
from facegraft.media.movie_writer import VideoWriter
from facegraft.media.open import open_source
from facegraft.media.source import FrameSource
from facegraft.merge.animation import Animation
from facegraft.merge.clip.faces import ClipFaces
from facegraft.merge.extras import FaceExtras, FrameExtras
from facegraft.merge.in_order import share_cores
from facegraft.merge.job import MergeJob
from facegraft.merge.out.merged import merge_whole
from facegraft.merge.out.outputs import OutputSet, open_outputs
from facegraft.merge.params import MergeParams
from facegraft.merge.run import merge_clip
from facegraft.quantize import quantize_model

PARAMS = parse_values(MergeParams, {"mask_mode": "hull"})  # the defaults: overlay, rct
STAGES = ("decode", "network", "merge")
ROUTES = {  # what the result and its matte are written to
    "H.264, matte": ("out.mp4", "matte.mp4"),
    "H.264 alone": ("out.mp4", ""),
    "PNG, matte": ("result", "matte"),
}
FACE = 300.0  # px from brow to chin
CROPS = 8  # for the int8 twin's ranges


@dataclass(frozen=True)
class Cost:
    cpu: float  # ms a frame
    wall: float


class Costs:
    """Costs of every round by model and stage."""

    def __init__(self, frames: int) -> None:
        self._frames = frames
        self._of: dict[tuple[str, str], list[Cost]] = defaultdict(list)

    @contextmanager
    def measure(self, model: str, stage: str) -> Iterator[None]:
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        each = 1e3 / self._frames
        cost = Cost((time.process_time() - cpu) * each, (time.perf_counter() - wall) * each)
        self._of[model, stage].append(cost)

    def median(self, model: str, stage: str) -> Cost:
        costs = self._of[model, stage]
        return Cost(
            statistics.median(cost.cpu for cost in costs),
            statistics.median(cost.wall for cost in costs),
        )


def main() -> None:
    args = arguments()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clip = args.clip or noise_clip(folder / "clip.mp4", args.frames)
        path = args.model or random_model(folder / "random.dfm")
        threads = share_cores()[1]  # as the command line opens it
        models = {"float": SwapModel.open(path, threads=threads)}
        twin = args.int8 or folder / "int8.dfm"
        if args.int8 is None:
            quantize_model(path, twin, noise_crops(models["float"]))
        models["int8"] = SwapModel.open(twin, threads=threads)
        costs = Costs(args.frames)
        with open_source(clip) as source:
            for _ in range(args.rounds):
                for label, model in models.items():
                    measure_stages(costs, label, model, source, args.frames, folder)
                    for route in ROUTES:
                        measure_job(costs, label, route, model, source, args.frames, folder)
        report(costs, tuple(models), args)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clip", nargs="?", type=Path, help="1920x1080")
    parser.add_argument("--model", type=Path)
    parser.add_argument("--int8", type=Path, help="its 8-bit twin, where it is made already")
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dfl", type=float, default=910.0)
    parser.add_argument("--dfl-network", type=float, default=700.0)
    parser.add_argument("--dfl-png", type=float, default=103.0)
    return parser.parse_args()


def noise_clip(path: Path, count: int) -> Path:
    """Soft noise that moves, under film grain."""
    picture, rng = noise(0).astype(np.int16), np.random.default_rng(1)
    grain = rng.normal(0, 2, (HEIGHT + 64, WIDTH + 64, 3)).astype(np.int16)
    with VideoWriter(path, WIDTH, HEIGHT, 24, crf=18) as writer:
        for index in range(count):
            x, y = rng.integers(0, 64, 2)
            moved = np.roll(picture, (index, 2 * index), (0, 1))
            grained = moved + grain[y : y + HEIGHT, x : x + WIDTH]
            writer.write(np.clip(grained, 0, 255).astype(np.uint8))
    return path


def noise_crops(model: SwapModel) -> np.ndarray:
    """(CROPS, R, R, 3) float32 RGB 0..1."""
    side = model.resolution
    crops = [noise(seed)[:HEIGHT, :HEIGHT] for seed in range(CROPS)]
    small = [cv2.resize(crop, (side, side), interpolation=cv2.INTER_AREA) for crop in crops]
    return np.stack(small).astype(np.float32) / 255


def measure_stages(
    costs: Costs, label: str, model: SwapModel, source: FrameSource, count: int, folder: Path
) -> None:
    """Each stage by itself, one after the other."""
    faces, merged = [centered_face(FACE)], []
    crop = noise_crops(model)[0]
    source[count - 1]  # whatever the decoder worked ahead, it now starts anew
    with costs.measure(label, "decode"):
        frames = [source[index] for index in range(count)]
    with costs.measure(label, "network"):
        predictions = [model.predict(crop) for _ in frames]
    with costs.measure(label, "merge"):
        for frame, prediction in zip(frames, predictions, strict=True):
            extras = FrameExtras([FaceExtras(prediction=prediction)])
            merged.append(merge_whole(frame, faces, model, PARAMS, extras))
    for route in ROUTES:
        with costs.measure(label, encode_of(route)), outputs_in(folder, route, source) as outputs:
            for frame, one in zip(frames, merged, strict=True):
                outputs.write(frame, outputs.make(frame, one))


def measure_job(
    costs: Costs,
    label: str,
    route: str,
    model: SwapModel,
    source: FrameSource,
    count: int,
    folder: Path,
) -> None:
    clip = ClipFaces({index: (centered_face(FACE),) for index in range(count)})
    job = MergeJob(model, Animation.constant(PARAMS), clip)
    source[count - 1]
    with costs.measure(label, route), outputs_in(folder, route, source) as outputs:
        merge_clip(source, outputs, job, range(count))


def encode_of(route: str) -> str:
    """The name of a route's encode stage; the route's own names its whole job."""
    return f"encode {route}"


def outputs_in(folder: Path, route: str, source: FrameSource) -> OutputSet:
    out, matte = ROUTES[route]
    others = {"matte": folder / matte} if matte else {}
    return open_outputs(folder / out, others, source.info)


def report(costs: Costs, labels: tuple[str, ...], args: argparse.Namespace) -> None:
    """The table, a row for each model and route, and DeepFaceLab's."""
    scale = costs.median("float", "network").cpu / args.dfl_network
    dfl, dfl_with_files = args.dfl * scale, (args.dfl + args.dfl_png) * scale
    heads = ("", *STAGES, "encode", "job", "to d+n+e", "cores", "sooner", "fps", "x DFL", "x+PNG")
    print("CPU ms a frame\n" + line(heads[0], heads[1:]))
    for label in labels:
        for route in ROUTES:
            job = costs.median(label, route)
            stages = [costs.median(label, stage) for stage in (*STAGES, encode_of(route))]
            decode, network, _, encode = (stage.cpu for stage in stages)
            values = (
                *(f"{stage.cpu:.1f}" for stage in stages),
                f"{job.cpu:.1f}",
                f"{job.cpu / (decode + network + encode):.2f}",
                f"{job.cpu / job.wall:.2f}",
                f"{sum(stage.wall for stage in stages) / job.wall:.2f}",
                f"{2e3 / job.cpu:.2f}",
                f"{dfl / job.cpu:.2f}",
                f"{dfl_with_files / job.cpu:.2f}",
            )
            print(line(f"{label}, {route}", values))
    for name, cost in (("merger", dfl), ("merger and PNG", dfl_with_files)):
        print(f"DeepFaceLab's {name}, scaled: {cost:.0f} ms, {2e3 / cost:.2f} frames a second")


def line(name: str, values: Sequence[str]) -> str:
    return f"{name:22}" + "".join(f"{value:>9}" for value in values)


if __name__ == "__main__":
    main()
