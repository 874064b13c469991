"""Speed of training: iterations per second, where a step's time goes, and how near it is to the
machine's own limit.

    python benchmarks/training.py [--setting quick96|df-ud-128|all] [--quick]
                                  [--faces SRC DST] [--threads N] [--precision fp32|bf16]

The settings are those for which DeepFaceLab was measured (fp32, 2 cores with AVX-512, TensorFlow
2.12): 3.79 processor seconds an iteration for quick96, 4.93 for df-ud-128. Machines differ, so
the ceiling is measured here too: every convolution and dense layer of the networks with the same
shapes, forward and backward, and nothing else. Without --faces, noise with the mean face's
landmarks stands in; it costs the same. All figures are medians; cpu s counts all threads and is the
steadier one on a shared machine.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn

from facegraft.faces.align import align_matrix
from facegraft.faces.face import Face, Origin
from facegraft.faces.faceset import Faceset, write_aligned
from facegraft.faces.landmarks import HEAD_3D
from facegraft.model_spec import FaceType
from facegraft.progress import Silent
from facegraft.training.loop import (
    augment,
    build_network,
    build_optimizer,
    choose_device,
    choose_precision,
    loss_weights,
    train,
)
from facegraft.training.loss import reconstruction_loss
from facegraft.training.params import TrainParams
from facegraft.training.presets import Preset
from facegraft.training.run_params import resolve
from facegraft.training.warp import Amounts

# name -> (preset, what differs from it, GFLOP of one iteration: 3 times the forward pass)
SETTINGS = {
    "quick96": (Preset.QUICK96, {}, 194),
    "df-ud-128": (Preset.SAEHD, {"architecture": "df-ud", "batch_size": 4}, 366),
}
STAGES = ("augment", "forward", "loss", "backward", "optimizer")
WARM_UP = 2  # iterations: allocation, oneDNN's choice of kernels, the first save
Times = tuple[float, float]  # wall and processor seconds


def main() -> None:
    args = arguments()
    iterations = 4 if args.quick else 12
    names = list(SETTINGS) if args.setting == "all" else [args.setting]
    for name in names:
        preset, changes, gflop = SETTINGS[name]
        session = {"threads": args.threads, "precision": args.precision}
        params = resolve({**changes, **session}, preset)
        torch.set_num_threads(params.threads or os.cpu_count() or 1)
        with tempfile.TemporaryDirectory() as folder:
            if args.faces:
                src, dst = (Faceset.open(path) for path in args.faces)
            else:
                src, dst = (noise_faces(Path(folder) / side) for side in ("src", "dst"))
            loop, waiting = time_loop(src, dst, Path(folder) / "run", params, iterations)
        stages = time_stages(params, iterations)
        ceiling = time_ceiling(params, 2 if args.quick else 5)
        report(name, params, gflop, loop, waiting, stages, ceiling)


def report(
    name: str,
    params: TrainParams,
    gflop: int,
    loop: Times,
    waiting: float,
    stages: dict[str, Times],
    ceiling: Times,
) -> None:
    wall, cpu = loop
    print(
        f"\n{name}: {params.architecture} {params.resolution} px, batch {params.batch_size}, "
        f"{params.optimizer}, {params.precision}, {torch.get_num_threads()} threads"
    )
    print(f"  whole loop       {1 / wall:6.2f} it/s   {wall:7.3f} s/it   {cpu:7.3f} cpu s/it")
    print(f"  waiting for data {100 * waiting:6.2f} % of the loop")
    total = sum(times[1] for times in stages.values())
    for stage, (stage_wall, stage_cpu) in stages.items():
        share = 100 * stage_cpu / total
        print(
            f"  {stage:16} {share:6.2f} %      {stage_wall:7.3f} s/it   {stage_cpu:7.3f} cpu s/it"
        )
    print(
        f"  layers alone     {100 * ceiling[1] / cpu:6.2f} %      {ceiling[0]:7.3f} s/it   "
        f"{ceiling[1]:7.3f} cpu s/it   {gflop / ceiling[1]:.0f} GFLOP per cpu s"
    )


class Clock(Silent):
    """A Progress that notes wall and processor time at every iteration."""

    def __init__(self) -> None:
        self.marks: list[Times] = []

    def start(self, total: int | None, unit: str, done: int = 0) -> None:
        self.marks = [now()]

    def advance(self, count: int = 1, note: str = "") -> None:
        self.marks.append(now())


def now() -> Times:
    return time.perf_counter(), time.process_time()


def median_of(times: list[Times]) -> Times:
    return statistics.median(t[0] for t in times), statistics.median(t[1] for t in times)


def time_loop(
    src: Faceset, dst: Faceset, run: Path, params: TrainParams, iterations: int
) -> tuple[Times, float]:
    """Median iteration of the real loop, and the share of it spent waiting for a batch."""
    clock = Clock()
    target = {"target_iterations": WARM_UP + iterations, "preview_minutes": 0.0}
    result = train(src, dst, run, resolve(target, existing=params), clock)
    steps = [(b[0] - a[0], b[1] - a[1]) for a, b in zip(clock.marks, clock.marks[1:], strict=False)]
    return median_of(steps[WARM_UP:]), result.waiting_seconds / result.session_seconds


def time_stages(params: TrainParams, iterations: int) -> dict[str, Times]:
    """Median of every stage of the loop's step; on a GPU each waits for the one before."""
    device = choose_device(params)
    autocast = choose_precision(params, device)
    net = build_network(params, device)
    optimizer = build_optimizer(params, net)
    weights = loss_weights(params)
    side = params.resolution
    faces = torch.randint(0, 256, (params.batch_size, side, side, 5), dtype=torch.uint8)
    faces = faces.to(device)
    amounts = Amounts.of(params, params.random_src_flip, params.random_warp)
    rows = []
    for i in range(WARM_UP + iterations):
        marks = [mark(device)]
        src, dst = (augment(faces, params, amounts, name, i) for name in ("src", "dst"))
        marks.append(mark(device))
        with torch.autocast(device.type, autocast, enabled=autocast is not None):
            made = net(src.warped, dst.warped)
        marks.append(mark(device))
        loss = (
            reconstruction_loss(made.src_src, made.src_src_mask, src.target, src.mask, weights)
            + reconstruction_loss(made.dst_dst, made.dst_dst_mask, dst.target, dst.mask, weights)
        ).mean()
        marks.append(mark(device))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        marks.append(mark(device))
        optimizer.step()
        marks.append(mark(device))
        rows.append([(b[0] - a[0], b[1] - a[1]) for a, b in zip(marks, marks[1:], strict=False)])
    columns = zip(*rows[WARM_UP:], strict=True)
    return dict(zip(STAGES, (median_of(list(column)) for column in columns), strict=True))


def mark(device: torch.device) -> Times:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return now()


def time_ceiling(params: TrainParams, repeats: int) -> Times:
    """Sum over all convolutions and dense layers of their own forward and backward pass.

    Each is run alone on noise of the shape that it sees in training; layers that see the same shape
    are measured once.
    """
    device = choose_device(params)
    autocast = choose_precision(params, device)
    net = build_network(params, device)
    calls: list[tuple[nn.Module, torch.Size]] = []
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.register_forward_hook(
                lambda layer, inputs, _out: calls.append((layer, inputs[0].shape))
            )
    side = params.resolution
    image = torch.rand(params.batch_size, 3, side, side, device=device)
    with torch.no_grad(), torch.autocast(device.type, autocast, enabled=autocast is not None):
        net(image, image)
    known: dict[tuple[str, torch.Size], Times] = {}
    wall = cpu = 0.0
    for layer, shape in calls:
        key = (repr(layer), shape)
        if key not in known:
            known[key] = time_layer(layer, shape, device, autocast, repeats)
        wall, cpu = wall + known[key][0], cpu + known[key][1]
    return wall, cpu


def time_layer(
    layer: nn.Module,
    shape: torch.Size,
    device: torch.device,
    autocast: torch.dtype | None,
    repeats: int,
) -> Times:
    call: Callable[[torch.Tensor], torch.Tensor] = type(layer).forward.__get__(layer)  # no hooks
    first = shape[1] == 3  # the image: no gradient is asked for
    x = torch.rand(shape, device=device, requires_grad=not first)
    times = []
    for _ in range(1 + repeats):
        begin = mark(device)
        with torch.autocast(device.type, autocast, enabled=autocast is not None):
            y = call(x)
        y.backward(torch.ones_like(y))
        end = mark(device)
        x.grad = None
        layer.zero_grad(set_to_none=True)
        times.append((end[0] - begin[0], end[1] - begin[1]))
    return median_of(times[1:])


def noise_faces(folder: Path, count: int = 16, size: int = 256) -> Faceset:
    """Aligned images of noise that carry the mean face's landmarks."""
    folder.mkdir(parents=True)
    points = (HEAD_3D[:, :2] * 2 + 256).astype(np.float32)  # about 300 px wide
    matrix = align_matrix(points, FaceType.FULL, size)
    box = (*points.min(axis=0).tolist(), *points.max(axis=0).tolist())
    rng = np.random.default_rng(0)
    for i in range(count):
        image = rng.integers(0, 256, (size, size, 3), np.uint8)
        origin = Origin("noise", f"{i:05d}", i, f"{i}/25", 512, 512, "none")
        path = folder / f"{i:05d}_0.jpg"
        write_aligned(path, image, Face(points, box, 1.0), FaceType.FULL, matrix, origin)
    return Faceset.open(folder)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--setting", choices=[*SETTINGS, "all"], default="all")
    parser.add_argument("--quick", action="store_true", help="4 iterations instead of 12")
    parser.add_argument("--faces", nargs=2, type=Path, metavar=("SRC", "DST"))
    parser.add_argument("--threads", type=int, default=0, help="0: one per core")
    parser.add_argument("--precision", default="fp32", choices=["auto", "fp32", "bf16"])
    return parser.parse_args()


if __name__ == "__main__":
    main()
