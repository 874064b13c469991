"""What sharing a batch between processes costs: `Group`'s own averaging against torch's
DistributedDataParallel, and against no exchange at all.

    python benchmarks/groups.py [--setting tiny quick96 ...] [--steps N] [--processes 2]

Processes of one thread each on this machine, over gloo. Every process holds three trainers of equal
weights and steps them in turn on the same batch, so that all meet the same load. Printed are the
medians of the first process, and how far the two exchanged weights lie apart at the end.
"""

import argparse
import os
import socket
from collections.abc import Iterable

import torch
from roofs import Times, median_of, now
from torch import Tensor
from torch.multiprocessing.spawn import spawn
from torch.nn.parallel import DistributedDataParallel

from facegraft.training.distributed import Group, join_group
from facegraft.training.params import TrainParams
from facegraft.training.presets import Preset
from facegraft.training.run_params import resolve
from facegraft.training.trainer import Trainer
from facegraft.training.warp import Augmented

SETTINGS = {
    "tiny": (Preset.SAEHD, {"architecture": "df-ud", "resolution": 64, "ae_dims": 32, "e_dims": 16,
                            "d_dims": 16, "d_mask_dims": 16}),
    "quick96": (Preset.QUICK96, {}),
}  # fmt: skip
WARM_UP = 2  # steps: the first allocates, and DDP lays its buckets out anew after it


class Apart(Group):
    """A group whose gradients are not averaged, or are already."""

    def average_gradients(self, params: Iterable[Tensor]) -> None:
        pass


def main() -> None:
    args = arguments()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
                   "WORLD_SIZE": str(args.processes), "OMP_NUM_THREADS": "1"}  # fmt: skip
    spawn(work, (args.setting, args.steps), nprocs=args.processes)


def work(rank: int, settings: list[str], steps: int) -> None:
    os.environ["RANK"] = str(rank)
    torch.set_num_threads(1)
    group = join_group(use_gpu=False)
    for name in settings:
        preset, changes = SETTINGS[name]
        compare(name, resolve({**changes, "batch_size": 2 * group.size}, preset), group, steps)
    group.close()


def compare(name: str, params: TrainParams, group: Group, steps: int) -> None:
    """Step three trainers in turn; the first process prints."""
    device, apart = torch.device("cpu"), Apart(group.rank, group.size)
    trainers = {"own": group, "DDP": apart, "no exchange": apart}
    made = {key: Trainer(params, device, None, by) for key, by in trainers.items()}
    wrapped = DistributedDataParallel(made["DDP"].net, gradient_as_bucket_view=True)
    made["DDP"]._forward = wrapped
    times: dict[str, list[Times]] = {key: [] for key in made}
    for step in range(WARM_UP + steps):
        src, dst = (faces(params, group, 2 * step + side) for side in range(2))
        for key, trainer in made.items():
            group.any(False)  # all begin together
            begin = now()
            trainer.step(src, dst, step)
            end = now()
            times[key].append((end[0] - begin[0], end[1] - begin[1]))
    if group.rank:
        return
    own, ddp = (dict(made[key].net.named_parameters()) for key in ("own", "DDP"))
    gap = max(float((own[key] - ddp[key]).detach().abs().max()) for key in own)
    count = sum(p.numel() for p in own.values())
    print(f"{name}: {group.size} processes, {count / 1e6:.1f} M weights, batch {params.batch_size}")
    for key, taken in times.items():
        wall, cpu = median_of(taken[WARM_UP:])
        print(f"  {key:12} {1e3 * wall:9.1f} ms a step {1e3 * cpu:9.1f} cpu ms")
    print(f"  own and DDP differ by at most {gap:.1e} after {WARM_UP + steps} steps")


def faces(params: TrainParams, group: Group, seed: int) -> Augmented:
    """This process's share of a batch of noise."""
    generator = torch.Generator().manual_seed(seed * group.size + group.rank)
    count, side = params.batch_size // group.size, params.resolution
    pictures = torch.rand(count, 3, side, side, generator=generator)
    mask = torch.ones(count, 1, side, side)
    return Augmented(pictures, pictures, mask, mask)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Averaging of gradients between processes")
    parser.add_argument("--setting", nargs="+", choices=list(SETTINGS), default=list(SETTINGS))
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--processes", type=int, default=2)
    return parser.parse_args()


if __name__ == "__main__":
    main()
