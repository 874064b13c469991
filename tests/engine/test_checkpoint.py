"""Saves that survive kills, full disks and damage."""

import json
import os
import signal
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from facegraft.controls import plain_values
from facegraft.errors import CheckpointError, FutureVersion
from facegraft.models.build import build
from facegraft.training.checkpoint import (
    Checkpoint,
    checkpoint_bytes,
    load_checkpoint,
    run_params,
    save_checkpoint,
    set_damaged_aside,
)
from facegraft.training.optim import AdaBelief
from facegraft.training.params import TrainParams
from facegraft.training.restore import optimizer_tensors, restore_group, restore_optimizer
from facegraft.training.saves import free_space_warning, list_saves
from facegraft.training.saves_v1 import V1_NAMES
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
        groups={
            "net": {"layer.weight": torch.full((size,), float(iteration))},
            "optimizer": {"layer.weight.mean": torch.full((size,), -float(iteration))},
        },
        crops=torch.full((2, 4, 4, 3), 7, dtype=torch.uint8),
        samplers={"src": {"pass": 3, "order": [2, 0, 1]}},
        faces=(12, 34),
    )


def load(folder: Path, notes: list[str] | None = None, skip: int = 0) -> Checkpoint:
    checkpoint = load_checkpoint(folder, ([] if notes is None else notes).append, skip=skip)
    assert checkpoint is not None
    return checkpoint


def assert_whole(checkpoint: Checkpoint) -> None:
    number = float(checkpoint.iteration)
    assert {number} == set(checkpoint.groups["net"]["layer.weight"].tolist())
    assert {-number} == set(checkpoint.groups["optimizer"]["layer.weight.mean"].tolist())


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_what_was_saved_is_what_is_loaded(tmp_path):
    assert load_checkpoint(tmp_path, print) is None
    path = save_checkpoint(tmp_path, make(3))
    found = load(tmp_path)
    assert_whole(found)
    expected = replace(make(3), path=path)
    for name in set(Checkpoint.__dataclass_fields__) - {"groups", "crops"}:
        assert getattr(expected, name) == getattr(found, name), name
    assert torch.equal(expected.crops, found.crops)
    assert 3 == load(path).iteration  # the save itself is a name too
    assert TrainParams() == run_params(tmp_path, print)  # without a params.toml
    size = sum(file.stat().st_size for file in path.iterdir())
    assert checkpoint_bytes(expected) == pytest.approx(size, abs=10_000)


def test_only_the_groups_asked_for_are_read(tmp_path):
    path = save_checkpoint(tmp_path, make(3))
    (path / "optimizer.safetensors").unlink()  # what is not there can not have been read
    found = load_checkpoint(tmp_path, print, {"net"})
    assert found is not None and {"net"} == found.groups.keys()
    with pytest.raises(CheckpointError, match="holds no optimizer; it holds net"):
        restore_group(found, "optimizer", torch.nn.Linear(1, 1))


def test_the_last_saves_are_kept_and_counted_by_their_own_number(tmp_path):
    """Iterations repeat, go back on a roll-back, and begin anew where pretraining ends."""
    for iteration in (7, 7, 900, 1, 2):
        save_checkpoint(tmp_path, make(iteration), keep=3)
    expected = ["000003_00000900", "000004_00000001", "000005_00000002"]
    assert expected == [path.name for path in list_saves(tmp_path)]
    assert set(expected) == names(tmp_path / "saves")
    assert [2, 1, 900] == [load(tmp_path, skip=n).iteration for n in range(3)]
    assert load_checkpoint(tmp_path, print, skip=3) is None
    save_checkpoint(tmp_path, make(3), keep=1)
    assert {"000006_00000003"} == names(tmp_path / "saves")


def test_networks_and_optimizer_come_back_as_they_were(tmp_path):
    net = build(tiny_params().spec)
    optimizer = AdaBelief(net.parameters())
    for parameter in net.parameters():
        parameter.grad = torch.randn_like(parameter)
    optimizer.step()
    groups = {"net": net.state_dict(), "optimizer": optimizer_tensors(optimizer, net)}
    save_checkpoint(tmp_path, replace(make(50), groups=groups))
    other = build(tiny_params().spec)
    other_optimizer = AdaBelief(other.parameters())
    restore_group(load(tmp_path), "net", other)
    restore_optimizer(load(tmp_path), "optimizer", other_optimizer, other)
    for expected, found in zip(net.parameters(), other.parameters(), strict=True):
        assert torch.equal(expected, found)
        for key, value in optimizer.state[expected].items():
            assert torch.equal(value, other_optimizer.state[found][key])
    assert 1 == other_optimizer.param_groups[0]["step"]  # its own, whatever the run's iteration


def test_another_architecture_is_refused_with_both_shapes(tmp_path):
    net = build(tiny_params().spec)
    save_checkpoint(tmp_path, replace(make(1), groups={"net": net.state_dict()}))
    with pytest.raises(CheckpointError, match=r"has shape \(16,\), the network.s \(32,\)"):
        restore_group(load(tmp_path), "net", build(tiny_params(e_dims=32).spec))


def edit(name: str, change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def damage(save: Path) -> None:
        (save / name).write_bytes(change((save / name).read_bytes()))

    return damage


DAMAGES = {
    "weights cut": edit("net.safetensors", lambda data: data[:-100]),
    "bit of weights flipped": edit(
        "net.safetensors", lambda data: data[:-100] + bytes([data[-100] ^ 1]) + data[-99:]
    ),
    "weights empty": edit("net.safetensors", lambda _: b""),
    "weights gone": lambda save: (save / "net.safetensors").unlink(),
    "optimizer gone": lambda save: (save / "optimizer.safetensors").unlink(),
    "header changed": edit("save.json", lambda data: data.replace(b"12.5", b"12.6")),
    "header cut": edit("save.json", lambda data: data[:-100]),
    "header of zeros": edit("save.json", lambda data: bytes(len(data))),
    "header gone": lambda save: (save / "save.json").unlink(),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_save_falls_back_to_the_one_before_and_says_so(tmp_path, damage):
    before, last = (save_checkpoint(tmp_path, make(iteration)) for iteration in (1, 2))
    damage(last)
    notes: list[str] = []
    found = load(tmp_path, notes)
    assert (1, before) == (found.iteration, found.path)
    assert_whole(found)
    assert "WARNING" in notes[0] and str(last) in notes[0] and "iteration 1" in notes[0]

    set_damaged_aside(tmp_path, found)
    for iteration in (5, 6):
        save_checkpoint(tmp_path, make(iteration), keep=3)
    aside = last.with_name(last.name + ".damaged")
    assert aside.exists()
    assert [1, 5, 6] == [load(path).iteration for path in list_saves(tmp_path)]
    for iteration in (7, 8):
        save_checkpoint(tmp_path, make(iteration), keep=3)
    assert not aside.exists()  # three good ones are newer


def test_two_damaged_saves_are_an_error_that_names_both(tmp_path):
    saves = [save_checkpoint(tmp_path, make(iteration)) for iteration in (1, 2)]
    for save in saves:
        DAMAGES["weights cut"](save)
    with pytest.raises(CheckpointError, match=f"{saves[1].name}.*{saves[0].name}"):
        load(tmp_path)


def test_a_future_version_is_refused_even_where_an_older_save_exists(tmp_path):
    last = [save_checkpoint(tmp_path, make(iteration)) for iteration in (1, 2)][-1]
    edit("save.json", lambda data: data.replace(b'"version": 2', b'"version": 99'))(last)
    with pytest.raises(FutureVersion, match="version 99.*reads up to 2; update FaceGraft"):
        load(tmp_path)


def write_v1(path: Path, iteration: int, version: int = 1) -> None:
    """A save as FaceGraft 0.1 wrote it: one file, header and checksums in its metadata."""
    made = make(iteration)
    tensors = {f"{g}.{name}": t for g, group in made.groups.items() for name, t in group.items()}
    tensors["crops.dst"] = made.crops
    header = {
        "version": version, "software": "facegraft 0.1.0", "params": plain_values(made.params),
        "iteration": iteration, "seconds": 12.5, "src_digest": "aa", "dst_digest": "bb",
        "last_loss": [0.5, 0.25],
    }  # fmt: skip
    crcs = {name: zlib.crc32(value.numpy().tobytes()) for name, value in tensors.items()}
    metadata = {"facegraft_checkpoint": json.dumps(header), "crc32": json.dumps(crcs)}
    save_file(tensors, path, metadata)


def test_a_run_of_format_version_1_goes_on_and_is_replaced_by_two_new_saves(tmp_path):
    last, previous = (tmp_path / name for name in V1_NAMES)
    write_v1(last, 20)
    write_v1(previous, 10)
    found = load(tmp_path)
    assert (20, last, {}) == (found.iteration, found.path, found.samplers)
    assert_whole(found)
    assert 10 == load(tmp_path, skip=1).iteration
    assert TrainParams() == run_params(tmp_path, print)

    first = save_checkpoint(tmp_path, make(30))
    assert {"saves", *V1_NAMES} == names(tmp_path)
    DAMAGES["weights cut"](first)
    assert 20 == load(tmp_path).iteration  # still there to fall back to
    for iteration in (31, 32):
        save_checkpoint(tmp_path, make(iteration))
    assert {"saves"} == names(tmp_path)


def test_a_damaged_file_of_version_1_falls_back_to_its_previous_one(tmp_path):
    last, previous = (tmp_path / name for name in V1_NAMES)
    write_v1(last, 20)
    write_v1(previous, 10)
    last.write_bytes(last.read_bytes()[:-100])
    found = load(tmp_path)
    assert (10, previous) == (found.iteration, found.path)
    set_damaged_aside(tmp_path, found)
    assert 10 == load(tmp_path).iteration
    assert not last.exists()


def test_one_file_of_a_future_version_is_refused_as_such(tmp_path):
    write_v1(tmp_path / V1_NAMES[0], 20, version=9)
    with pytest.raises(FutureVersion, match="version 9, and 1 is known; update FaceGraft"):
        load(tmp_path)


def test_an_optimizer_of_version_1_has_made_a_step_per_iteration(tmp_path):
    write_v1(tmp_path / V1_NAMES[0], 20)
    module = torch.nn.Module()
    module.layer = torch.nn.Linear(1000, 1, bias=False)
    module.layer.weight = torch.nn.Parameter(torch.zeros(1000))
    optimizer = AdaBelief(module.parameters())
    restore_optimizer(load(tmp_path), "optimizer", optimizer, module)
    assert 20 == optimizer.param_groups[0]["step"]
    assert {-20.0} == set(optimizer.state[module.layer.weight]["mean"].tolist())


def test_someone_elses_tensors_are_not_a_checkpoint(tmp_path):
    save_file({"weight": torch.zeros(3)}, tmp_path / V1_NAMES[0])
    with pytest.raises(CheckpointError, match="is not a checkpoint of FaceGraft"):
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


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGKILL")
def test_kill_9_in_mid_save_keeps_the_last_save(tmp_path):
    """A process that does nothing but save is killed while its folder is half written."""
    process = subprocess.Popen(
        [sys.executable, "-c", _SAVE_FOREVER, str(tmp_path)],
        stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert process.stdout is not None
    try:
        done = [int(process.stdout.readline()) for _ in range(2)][-1]
        deadline = time.monotonic() + 300
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
    assert names(tmp_path / "saves") == {path.name for path in list_saves(tmp_path)}


def _half_written(folder: Path) -> bool:
    return any(folder.glob("saves/.unfinished.*/net.safetensors"))


_SAVE_ON_A_FULL_DISK = """
import resource, sys
from pathlib import Path
from facegraft.errors import WriteError
from facegraft.training.checkpoint import save_checkpoint, try_save
from tests.engine.test_checkpoint import make
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))  # writing beyond fails as EFBIG
assert try_save(Path(sys.argv[1]), make(2, 1_000_000), 3, print) is None
try:
    save_checkpoint(Path(sys.argv[1]), make(2, 1_000_000))
except WriteError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="limits file sizes by setrlimit")
def test_a_full_disk_is_said_loudly_and_keeps_the_last_save(tmp_path):
    kept = save_checkpoint(tmp_path, make(1))
    done = subprocess.run(
        [sys.executable, "-c", _SAVE_ON_A_FULL_DISK, str(tmp_path)],
        capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    loud, raised = done.stdout.splitlines()
    assert loud.startswith("WARNING: NOT SAVED at iteration 2") and str(kept) in loud
    assert raised.startswith("cannot write") and "free space" in raised
    assert 1 == load(tmp_path).iteration
    assert {kept.name} == names(tmp_path / "saves")


def test_a_disk_with_room_for_one_save_only_is_warned_of(tmp_path):
    free = os.statvfs(tmp_path).f_bavail * os.statvfs(tmp_path).f_frsize
    assert free_space_warning(tmp_path / "not" / "yet", free // 4) is None
    warning = free_space_warning(tmp_path, int(free * 0.75))
    assert warning is not None and "make room for two" in warning
