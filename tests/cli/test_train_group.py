"""`facegraft train` as torchrun starts it: two processes on one machine, over gloo on loopback."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.engine.training_faces import TINY, saved, two_sides

LIMIT = 300  # seconds for two processes to import torch and train on a busy machine


def command(folder: Path, run: str) -> list[str]:
    values = {**TINY, "batch_size": 4, "gan_power": 0.1, "target_iterations": 3}
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in values.items()]
    sides = [str(folder / side) for side in ("src", "dst")]
    return [sys.executable, "-m", "facegraft_cli", "train", *sides, str(folder / run), *flags]


@pytest.mark.slow
def test_two_processes_make_the_save_that_one_makes(tmp_path):
    """Half of each batch each, GAN included; the second process writes and says nothing."""
    two_sides(tmp_path)
    subprocess.run(command(tmp_path, "one"), check=True, capture_output=True, timeout=LIMIT)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    workers = [
        subprocess.Popen(
            command(tmp_path, "two"),
            env={**os.environ, **shared, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for rank in range(2)
    ]  # fmt: skip
    said = [worker.communicate(timeout=LIMIT) for worker in workers]
    assert [0, 0] == [worker.returncode for worker in workers], said
    assert "iteration 3" in said[0][0] and said[1] == ("", "")
    one, two = saved(tmp_path / "one"), saved(tmp_path / "two")
    assert 3 == two.iteration and one.groups.keys() == two.groups.keys()
    assert one.last_loss == pytest.approx(two.last_loss, rel=1e-3)
    for name, value in one.groups["net"].items():
        # AdaBelief's first steps go by the sign of a gradient: rounding may turn a tiny one round
        close = torch.isclose(two.groups["net"][name], value, rtol=0, atol=1e-5)
        assert close.float().mean() > 0.98, name
