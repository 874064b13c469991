"""Speed of training: iterations per second, where a step's time goes, and how near it is to the
machine's own limit.

    python benchmarks/train.py [--device cpu|cuda] [--setting NAME ...] [--precision fp32|bf16]
                               [--compile on|off] [--iterations N] [--faces SRC DST] [--threads N]
                               [--scaling] [--quick]

On a CPU the settings are those for which DeepFaceLab was measured (fp32, two cores with AVX-512,
TensorFlow 2.12); its processor seconds are printed beside ours, and since machines differ, so are
two ceilings of this one: a plain matrix product, and every convolution and dense layer of the
networks alone, as torch computes them. A step may beat the second: Winograd's algorithm multiplies
less. On a GPU the settings are those that fill one, and the ceiling is its measured bf16 product.
FLOPs are nominal: three times the forward pass of the direct algorithms.

Without --faces, noise with the mean face's landmarks stands in; it costs the same. Figures are
medians; cpu s counts all threads and is the steadier one on a shared machine. --quick shrinks
networks and counts, to see that everything runs; its figures mean nothing.
"""

import argparse
import os
import resource
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from roofs import Times, count_flop, matmul_rate, median_of, now, pick, time_call, time_layers

from facegraft.faces.align import align_matrix
from facegraft.faces.face import Face, Origin
from facegraft.faces.faceset import Faceset, write_aligned
from facegraft.faces.landmarks import HEAD_3D
from facegraft.model_spec import FaceType
from facegraft.progress import Silent
from facegraft.training.augment import augment_batch
from facegraft.training.distributed import Group
from facegraft.training.loop import train
from facegraft.training.memory import estimate
from facegraft.training.params import TrainParams
from facegraft.training.presets import Preset
from facegraft.training.run_params import resolve
from facegraft.training.setup import choose_device, choose_precision
from facegraft.training.trainer import Trainer
from facegraft.training.warp import Amounts, Augmented

WARM_UP = 2  # iterations: allocation, choice of kernels, the first save
WARM_UP_GPU = 10  # and compilation, and the clock's way up
MATRIX = {"cpu": 1024, "cuda": 8192}  # side of the product that measures the machine


@dataclass(frozen=True, slots=True)
class Setting:
    preset: Preset
    changes: dict[str, Any]
    dfl_cpu: float = 0.0  # DeepFaceLab's processor seconds an iteration, 0: not measured


def _df(resolution: int, batch: int) -> dict[str, Any]:
    return {"architecture": "df-ud", "resolution": resolution, "batch_size": batch}


def _liae(resolution: int, batch: int) -> dict[str, Any]:
    return {"architecture": "liae-ud", "resolution": resolution, "batch_size": batch}


CPU_SETTINGS = {
    "quick96": Setting(Preset.QUICK96, {}, 3.79),
    "df-ud-128": Setting(Preset.SAEHD, _df(128, 4), 4.93),
    "liae-ud-128": Setting(Preset.SAEHD, _liae(128, 4), 7.85),
    "df-ud-256": Setting(Preset.SAEHD, _df(256, 2), 11.4),
}
GPU_SETTINGS = {
    "quick96": Setting(Preset.QUICK96, {}),
    "liae-ud-256-b8": Setting(Preset.SAEHD, _liae(256, 8)),
    "liae-ud-256-b16": Setting(Preset.SAEHD, _liae(256, 16)),
    "liae-ud-384": Setting(Preset.SAEHD, _liae(384, 8)),
    "liae-ud-640": Setting(Preset.SAEHD, _liae(640, 8)),
}
SCALING_SECONDS = 6.0  # of one size, after its first step; the largest of a CPU take one step more
SCALING = [(r, b) for r in (64, 96, 128, 192, 256) for b in (2, 4, 8)]  # of df-ud, on a CPU
SCALING_GPU = [(r, b) for r in (128, 256, 384, 640) for b in (4, 8, 16)]
TINY = {"resolution": 64, "ae_dims": 32, "e_dims": 16, "d_dims": 16, "d_mask_dims": 16,
        "batch_size": 2}  # fmt: skip


def main() -> None:
    args = arguments()
    device = choose_device(resolve({"device": args.device}))
    torch.set_num_threads(args.threads or os.cpu_count() or 1)
    matmul = matmul_rate(device, 256 if args.quick else MATRIX[device.type])
    for dtype, rate in matmul.items():
        print(f"{dtype} matrix product: {rate / 1e9:.0f} GFLOP per second of {clock_of(device)}")
    if args.scaling:
        print_scaling(args, device)
        return
    settings = GPU_SETTINGS if device.type == "cuda" else CPU_SETTINGS
    for name in args.setting or settings:
        if name not in settings:
            raise SystemExit(f"{name} is no setting on {device.type}: {', '.join(settings)}")
        params = params_of(settings[name], args)
        report(name, settings[name], params, device, args, matmul)


def params_of(setting: Setting, args: argparse.Namespace) -> TrainParams:
    names = ("threads", "precision", "device", "compile")
    session = {name: getattr(args, name) for name in names}
    tiny = TINY if args.quick else {}
    return resolve({**setting.changes, **session, **tiny}, setting.preset)


def report(
    name: str,
    setting: Setting,
    params: TrainParams,
    device: torch.device,
    args: argparse.Namespace,
    matmul: dict[str, float],
) -> None:
    iterations = 2 if args.quick else args.iterations
    with tempfile.TemporaryDirectory() as folder:
        if args.faces:
            src, dst = (Faceset.open(path) for path in args.faces)
        else:
            src, dst = (noise_faces(Path(folder) / side) for side in ("src", "dst"))
        loop, waiting, memory = time_loop(src, dst, Path(folder) / "run", params, iterations)
    wall, cpu = loop
    flop = count_flop(params)
    reduced = choose_precision(params, device) is not None
    ceiling = matmul["bf16" if reduced else "fp32"]
    busy = wall if device.type == "cuda" else cpu
    print(
        f"\n{name}: {params.architecture} {params.resolution} px, batch {params.batch_size}, "
        f"{params.optimizer}, {'bf16' if reduced else 'fp32'}, {torch.get_num_threads()} threads, "
        f"compile {params.compile}"
    )
    row("whole loop", f"{1 / wall:.2f} it/s", loop)
    print(f"  {'nominal work':22} {flop / 1e9:.0f} GFLOP an iteration, {flop / busy / 1e12:.3f} "
          f"TFLOP per s, {100 * flop / busy / ceiling:.1f} % of the matrix product")  # fmt: skip
    print(f"  {'waiting for data':22} {100 * waiting:.2f} % of the loop")
    print(f"  {'memory':22} {memory / 2**30:.2f} GiB, foretold {estimate(params, device)}")
    if setting.dfl_cpu and not args.quick:
        print(f"  {'DeepFaceLab':22} {setting.dfl_cpu:.2f} cpu s/it on another machine, "
              f"{setting.dfl_cpu / cpu:.2f} times ours")  # fmt: skip
    for stage, times in time_stages(params, device, iterations).items():
        row(stage, f"{100 * pick(times, device) / busy:.1f} %", times)
    layers = time_layers(params, device, 1 if args.quick else 3)
    rate = flop / pick(layers, device) / 1e9
    row("layers alone, direct", f"{rate:.0f} GFLOP per s", layers)


def row(name: str, figure: str, times: Times) -> None:
    print(f"  {name:22} {figure:18} {times[0]:8.4f} s/it   {times[1]:8.4f} cpu s/it", flush=True)


def clock_of(device: torch.device) -> str:
    return "the GPU" if device.type == "cuda" else "one processor"


def print_scaling(args: argparse.Namespace, device: torch.device) -> None:
    """Step time of df-ud by resolution and batch, seconds and nominal work per second."""
    sizes = SCALING_GPU if device.type == "cuda" else SCALING
    sizes = [(64, 2)] if args.quick else sizes
    print(
        "\n| resolution | batch | s/it | cpu s/it | ms a face | GFLOP per s |\n" + "|---" * 6 + "|"
    )
    for resolution, batch in sizes:
        params = params_of(Setting(Preset.SAEHD, _df(resolution, batch)), args)
        trainer = make_trainer(params, device)
        src, dst = (random_batch(params, device, side) for side in range(2))
        times = time_call(lambda: trainer.step(src, dst, 0), device, 5, SCALING_SECONDS)  # noqa: B023
        one = pick(times, device)
        print(
            f"| {resolution} | {batch} | {times[0]:.4f} | {times[1]:.4f} | "
            f"{1e3 * times[0] / batch:.1f} | {count_flop(params) / one / 1e9:.0f} |",
            flush=True,
        )


class Clock(Silent):
    """A Progress that notes wall and processor time whenever iterations are done."""

    def __init__(self) -> None:
        self.marks: list[tuple[int, Times]] = []
        self.done = 0

    def start(self, total: int | None, unit: str, done: int = 0) -> None:
        self.done = 0
        self.marks = [(0, now())]

    def advance(self, count: int = 1, note: str = "") -> None:
        self.done += count
        self.marks.append((self.done, now()))


def time_loop(
    src: Faceset, dst: Faceset, run: Path, params: TrainParams, iterations: int
) -> tuple[Times, float, int]:
    """Median iteration of the real loop, the share of it spent waiting for a batch, peak memory.

    A GPU's loop reads its losses now and then only, so there an iteration is a mean over those.
    """
    clock = Clock()
    on_gpu = choose_device(params).type == "cuda"
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    warm_up = WARM_UP_GPU if on_gpu else WARM_UP
    total = warm_up + (max(iterations, 100) if on_gpu else iterations)
    params = replace(params, target_iterations=total, preview_minutes=0.0)
    result = train(src, dst, run, params, clock)
    steps = [
        ((b[0] - a[0]) / (j - i), (b[1] - a[1]) / (j - i))
        for (i, a), (j, b) in zip(clock.marks, clock.marks[1:], strict=False)
        if i >= warm_up or j == total
    ]
    if on_gpu:
        memory = torch.cuda.max_memory_allocated()
    else:
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return median_of(steps), result.waiting_seconds / result.session_seconds, memory


def make_trainer(params: TrainParams, device: torch.device) -> Trainer:
    return Trainer(params, device, choose_precision(params, device), Group())


def random_batch(params: TrainParams, device: torch.device, seed: int) -> Augmented:
    generator = torch.Generator().manual_seed(seed)
    side = params.resolution
    pictures = torch.rand(2, params.batch_size, 3, side, side, generator=generator).to(device)
    mask = torch.ones(params.batch_size, 1, side, side, device=device)
    return Augmented(pictures[0], pictures[1], mask, torch.zeros_like(mask))


def time_stages(params: TrainParams, device: torch.device, repeats: int) -> dict[str, Times]:
    """Median of a step's parts, each alone; backward is what the whole step takes beside them."""
    trainer = make_trainer(params, device)
    src, dst = (random_batch(params, device, side) for side in range(2))
    side, count = params.resolution, params.batch_size
    faces = torch.randint(0, 256, (count, side, side, 5), dtype=torch.uint8).to(device)
    amounts = Amounts.of(params, params.random_src_flip, params.random_warp)
    optimizer = trainer.members[0].optimizer
    autocast = trainer.autocast

    def augment() -> None:
        for name in ("src", "dst"):
            augment_batch(faces, side, amounts, params.seed, name, 0)

    def forward() -> Any:
        with torch.autocast(device.type, autocast, enabled=autocast is not None):
            return trainer.net(src.warped, dst.warped)

    step = time_call(lambda: trainer.step(src, dst, 0), device, repeats)
    parts = {
        "augmentation": time_call(augment, device, repeats),
        "forward": time_call(forward, device, repeats),
        "optimizer": time_call(optimizer.step, device, repeats),
    }
    inside = (parts["forward"], parts["optimizer"])
    parts["losses and backward"] = (
        step[0] - sum(t[0] for t in inside), step[1] - sum(t[1] for t in inside),
    )  # fmt: skip
    return parts


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
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    names = ", ".join(dict.fromkeys([*CPU_SETTINGS, *GPU_SETTINGS]))
    parser.add_argument("--setting", nargs="+", metavar="NAME", help=f"some of {names}")
    parser.add_argument("--precision", default="auto", choices=["auto", "fp32", "bf16"])
    parser.add_argument("--compile", default="auto", choices=["auto", "on", "off"])
    parser.add_argument("--iterations", type=int, default=12)
    parser.add_argument("--faces", nargs=2, type=Path, metavar=("SRC", "DST"))
    parser.add_argument("--threads", type=int, default=0, help="0: one per core")
    parser.add_argument("--scaling", action="store_true", help="step time by resolution and batch")
    parser.add_argument("--quick", action="store_true", help="tiny networks; see that it runs")
    return parser.parse_args()


if __name__ == "__main__":
    main()
