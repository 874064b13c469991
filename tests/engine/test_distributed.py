"""Two processes over gloo on loopback train as one does; one of them lost ends the other cleanly.

Run as a script, this file is one of those processes.
"""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from facegraft.errors import ParameterError, TrainingInterrupted
from facegraft.model_spec import FaceType, ModelSpec
from facegraft.models.build import build
from facegraft.training.distributed import Group, join_group, share_of_batch
from facegraft.training.optim import RMSprop

SPEC = ModelSpec("df-ud", 64, FaceType.FULL, 32, 16, 16, 16)
BATCH = 8
STEPS = 3
LOST_LIMIT = 200.0  # seconds that a worker may go on alone; less than the group's own limit
START_LIMIT = 300.0  # seconds for two processes to import torch on a busy machine


def train(group: Group, die_at: int | None = None) -> tuple[list[float], np.ndarray]:
    """Losses of every step and all weights in one row."""
    torch.manual_seed(group.rank)  # every rank its own, until rank 0's are sent
    net = build(SPEC)
    group.broadcast(net.parameters())
    optimizer = RMSprop(net.parameters(), 1e-4)
    generator = torch.Generator().manual_seed(7)
    pictures = torch.rand(2, BATCH, 3, 8, 8, generator=generator)
    pictures = F.interpolate(pictures.flatten(0, 1), size=64, mode="bilinear").clamp(0, 1)
    share = share_of_batch(BATCH, group)
    src, dst = (side[group.rank * share :][:share] for side in pictures.split(BATCH))
    losses = []
    for step in range(STEPS):
        if step == die_at and group.rank == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        made = net(src, dst)
        loss = (made.src_src - src).square().mean() + (made.dst_dst - dst).square().mean()
        optimizer.zero_grad()
        loss.backward()
        group.average_gradients(net.parameters())
        optimizer.step()
        losses.append(group.mean(loss).item())
    weights = np.concatenate([p.detach().numpy().ravel() for p in net.parameters()])
    return losses, weights


def run_two(folder: Path, *arguments: str) -> list[subprocess.Popen[str]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    return [
        subprocess.Popen(
            [sys.executable, __file__, str(folder), *arguments],
            env={**os.environ, **shared, "RANK": str(rank), "OMP_NUM_THREADS": "1"},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]


def test_two_times_half_the_batch_is_one_time_the_whole(tmp_path):
    workers = run_two(tmp_path)
    for worker in workers:
        _, errors = worker.communicate(timeout=START_LIMIT)
        assert worker.returncode == 0, errors
    alone_losses, alone_weights = train(Group())
    first, second = (np.load(tmp_path / f"{rank}.npz") for rank in range(2))
    assert first["losses"] == pytest.approx(alone_losses, rel=1e-5)
    # RMSprop's first step is lr / sqrt(1 - rho) for any gradient, and processors round convolutions
    # of 4 and of 8 pictures differently, so the signs of tiny gradients may differ. Without the
    # averaging these are 2e-5 and 3e-4
    gap = np.abs(first["weights"] - alone_weights)
    assert np.quantile(gap, 0.5) < 3e-6 and np.quantile(gap, 0.99) < 5e-5
    np.testing.assert_array_equal(first["weights"], second["weights"])
    np.testing.assert_array_equal(first["losses"], second["losses"])
    assert first["any"].tolist() == second["any"].tolist() == [True, False]


def test_a_killed_worker_ends_the_other_soon_with_a_sentence(tmp_path):
    survivor, victim = run_two(tmp_path, "1")
    assert victim.wait(START_LIMIT) == -signal.SIGKILL
    _, errors = survivor.communicate(timeout=LOST_LIMIT)
    assert survivor.returncode == 3, errors
    assert "resumes from the last checkpoint" in errors


def test_without_torchrun_the_group_is_this_process_alone(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    group = join_group()
    assert (group.rank, group.size, group.part) == (0, 1, (0, 1))
    assert [group.any(True), group.any(False)] == [True, False]
    assert group.mean(torch.tensor([1.0, 2.0])).tolist() == [1.0, 2.0]
    group.close()


def test_a_batch_that_workers_can_not_share_is_refused_with_one_that_they_can():
    assert share_of_batch(8, Group(0, 2)) == 4
    with pytest.raises(ParameterError, match="batch_size is 7.*2 workers.*8"):
        share_of_batch(7, Group(0, 2))


def main() -> None:
    folder, *more = sys.argv[1:]
    torch.set_num_threads(1)
    group = join_group(use_gpu=False, timeout=START_LIMIT)
    try:
        losses, weights = train(group, int(more[0]) if more else None)
        flags = [group.any(group.rank == 1), group.any(False)]
        path = Path(folder) / f"{group.rank}.npz"
        np.savez(path, losses=losses, weights=weights, any=flags)
    except TrainingInterrupted as error:
        print(error, file=sys.stderr)
        sys.exit(3)
    finally:
        group.close()


if __name__ == "__main__":
    main()
