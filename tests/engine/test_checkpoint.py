"""Saves that survive kills, full disks and damage."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from facegraft.errors import CheckpointError, FutureVersion
from facegraft.models.build import build
from facegraft.training.checkpoint import (
    CHECKPOINT_NAME,
    DAMAGED_NAME,
    PREVIOUS_NAME,
    Checkpoint,
    load_checkpoint,
    optimizer_tensors,
    restore,
    run_params,
    save_checkpoint,
    set_damaged_aside,
)
from facegraft.training.optim import AdaBelief
from facegraft.training.params import TrainParams
from tests.engine.training_faces import tiny_params


def make(iteration: int, size: int = 1000) -> Checkpoint:
    """A small save whose numbers tell its iteration."""
    return Checkpoint(
        params=TrainParams(),
        iteration=iteration,
        seconds=12.5,
        src_digest="aa",
        dst_digest="bb",
        last_loss=(0.5, 0.25),
        net={"layer.weight": torch.full((size,), float(iteration))},
        optimizer={"layer.weight.mean": torch.full((size,), -float(iteration))},
        crops=torch.full((2, 4, 4, 3), 7, dtype=torch.uint8),
    )


def load(folder: Path, notes: list[str] | None = None) -> Checkpoint:
    checkpoint = load_checkpoint(folder, ([] if notes is None else notes).append)
    assert checkpoint is not None
    return checkpoint


def assert_whole(checkpoint: Checkpoint) -> None:
    assert set(checkpoint.net["layer.weight"].tolist()) == {float(checkpoint.iteration)}
    assert set(checkpoint.optimizer["layer.weight.mean"].tolist()) == {-float(checkpoint.iteration)}


def test_what_was_saved_is_what_is_loaded(tmp_path):
    assert load_checkpoint(tmp_path, print) is None
    save_checkpoint(tmp_path, make(3))
    found = load(tmp_path)
    assert_whole(found)
    expected = make(3)
    for name in ("params", "iteration", "seconds", "src_digest", "dst_digest", "last_loss"):
        assert getattr(expected, name) == getattr(found, name)
    assert torch.equal(expected.crops, found.crops)
    assert 3 == load(tmp_path / CHECKPOINT_NAME).iteration  # the file itself is a name too
    assert TrainParams() == run_params(tmp_path, print)  # without a params.toml


def test_the_save_before_is_kept(tmp_path):
    for iteration in (1, 2, 3):
        save_checkpoint(tmp_path, make(iteration))
    assert 3 == load(tmp_path / CHECKPOINT_NAME).iteration
    assert 2 == load(tmp_path / PREVIOUS_NAME).iteration
    assert {CHECKPOINT_NAME, PREVIOUS_NAME} == {path.name for path in tmp_path.iterdir()}


def test_networks_and_optimizer_come_back_as_they_were(tmp_path):
    net = build(tiny_params().spec)
    optimizer = AdaBelief(net.parameters())
    for parameter in net.parameters():
        parameter.grad = torch.randn_like(parameter)
    optimizer.step()
    save_checkpoint(
        tmp_path,
        Checkpoint(
            tiny_params(), 1, 0.0, "", "", (0.0, 0.0), net.state_dict(),
            optimizer_tensors(optimizer, net), torch.zeros(1, 64, 64, 3, dtype=torch.uint8),
        ),
    )  # fmt: skip
    other = build(tiny_params().spec)
    other_optimizer = AdaBelief(other.parameters())
    restore(load(tmp_path), other, other_optimizer)
    for expected, found in zip(net.parameters(), other.parameters(), strict=True):
        assert torch.equal(expected, found)
        for key, value in optimizer.state[expected].items():
            assert torch.equal(value, other_optimizer.state[found][key])
    assert 1 == other_optimizer.param_groups[0]["step"]


def test_another_architecture_is_refused_with_both_shapes(tmp_path):
    net = build(tiny_params().spec)
    crops = torch.zeros(1, 64, 64, 3, dtype=torch.uint8)
    save_checkpoint(
        tmp_path, Checkpoint(tiny_params(), 1, 0.0, "", "", (0, 0), net.state_dict(), {}, crops)
    )
    with pytest.raises(CheckpointError, match=r"has shape \(16,\), the network.s \(32,\)"):
        restore(load(tmp_path), build(tiny_params(e_dims=32).spec))


@pytest.mark.parametrize("damage", ["cut", "flipped bit", "empty", "text"])
def test_a_damaged_save_falls_back_to_the_one_before_and_says_so(tmp_path, damage):
    for iteration in (1, 2):
        save_checkpoint(tmp_path, make(iteration))
    path = tmp_path / CHECKPOINT_NAME
    data = bytearray(path.read_bytes())
    if damage == "cut":
        data = data[:-100]
    elif damage == "flipped bit":
        data[-100] ^= 1
    else:
        data = bytearray(b"" if damage == "empty" else b"not tensors at all")
    path.write_bytes(data)
    notes: list[str] = []
    found = load(tmp_path, notes)
    assert 1 == found.iteration
    assert_whole(found)
    assert "WARNING" in notes[0] and CHECKPOINT_NAME in notes[0] and "iteration 1" in notes[0]

    set_damaged_aside(tmp_path, found)
    save_checkpoint(tmp_path, make(5))
    assert 5 == load(tmp_path).iteration
    assert 1 == load(tmp_path / PREVIOUS_NAME).iteration  # never replaced by the damaged one
    assert bytes(data) == (tmp_path / DAMAGED_NAME).read_bytes()


def test_two_damaged_saves_are_an_error_that_names_both(tmp_path):
    for iteration in (1, 2):
        save_checkpoint(tmp_path, make(iteration))
    for name in (CHECKPOINT_NAME, PREVIOUS_NAME):
        (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:-1])
    with pytest.raises(CheckpointError, match=rf"{CHECKPOINT_NAME}.*{PREVIOUS_NAME}"):
        load(tmp_path)


def test_someone_elses_tensors_are_not_a_checkpoint(tmp_path):
    save_file({"weight": torch.zeros(3)}, tmp_path / CHECKPOINT_NAME)
    with pytest.raises(CheckpointError, match="is not a checkpoint of FaceGraft"):
        load(tmp_path)


def test_a_future_version_is_refused_even_where_an_older_save_exists(tmp_path):
    for iteration in (1, 2):
        save_checkpoint(tmp_path, make(iteration))
    path = tmp_path / CHECKPOINT_NAME
    metadata = {"facegraft_checkpoint": json.dumps({"version": 99}), "crc32": "{}"}
    save_file(load_file(path), path, metadata)
    with pytest.raises(FutureVersion, match="version 99.*reads up to 1; update FaceGraft"):
        load(tmp_path)


_SAVE_FOREVER = """
import sys
from pathlib import Path
from facegraft.training.checkpoint import save_checkpoint
from tests.engine.test_checkpoint import make
for iteration in range(1, 10_000):
    save_checkpoint(Path(sys.argv[1]), make(iteration, 2_000_000))
    print(iteration, flush=True)
"""


def test_kill_9_in_mid_save_keeps_the_last_save(tmp_path):
    """A process that does nothing but save is killed while its temporary file is half written."""
    process = subprocess.Popen(
        [sys.executable, "-c", _SAVE_FOREVER, str(tmp_path)],
        stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert process.stdout is not None
    try:
        done = [int(process.stdout.readline()) for _ in range(2)][-1]
        deadline = time.monotonic() + 60
        while not (half := _half_written(tmp_path)) and time.monotonic() < deadline:
            pass
        os.kill(process.pid, signal.SIGKILL)
    finally:
        process.kill()
        process.wait()
    assert half, "never saw a save in progress"
    found = load(tmp_path)
    assert found.iteration >= done
    assert_whole(found)
    save_checkpoint(tmp_path, make(found.iteration + 1))  # and the next save clears up
    assert {CHECKPOINT_NAME, PREVIOUS_NAME} == {path.name for path in tmp_path.iterdir()}


def _half_written(folder: Path) -> bool:
    try:
        return any(0 < path.stat().st_size for path in folder.glob(".model.*.safetensors"))
    except FileNotFoundError:  # renamed meanwhile
        return False


_SAVE_ON_A_FULL_DISK = """
import resource, sys
from pathlib import Path
from facegraft.errors import WriteError
from facegraft.training.checkpoint import save_checkpoint
from tests.engine.test_checkpoint import make
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))  # writing beyond fails as EFBIG
try:
    save_checkpoint(Path(sys.argv[1]), make(2, 1_000_000))
except WriteError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="limits file sizes by setrlimit")
def test_a_full_disk_is_a_write_error_and_keeps_the_last_save(tmp_path):
    save_checkpoint(tmp_path, make(1))
    done = subprocess.run(
        [sys.executable, "-c", _SAVE_ON_A_FULL_DISK, str(tmp_path)],
        capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert "cannot write" in done.stdout and "the save before is kept" in done.stdout
    assert 1 == load(tmp_path).iteration
    assert [CHECKPOINT_NAME] == [path.name for path in tmp_path.iterdir()]
