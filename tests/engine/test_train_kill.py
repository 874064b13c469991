"""A training that is killed again and again loses nothing that it said was saved."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest
import torch

from facegraft.faces.faceset import Faceset
from facegraft.progress import Request, Silent
from facegraft.training.checkpoint import Checkpoint, load_checkpoint
from facegraft.training.loop import train
from facegraft.training.params import TrainParams
from facegraft.training.saves import list_saves, saved_iteration
from tests.engine.training_faces import tiny_params, write_faceset

KILLS = 50
TARGET = 1_000_000  # never reached
MOST_SAVES = 2  # that one training lives to report
SEED = 3


def params(target: int = TARGET) -> TrainParams:
    return tiny_params(
        target_iterations=target, seed=SEED, batch_size=1, preview_minutes=0,
        optimizer="rmsprop", lr_dropout=True,
    )  # fmt: skip


class SaveEverySecond(Silent):
    """Asks for a save at every second iteration, and tells each one that has come to be."""

    def __init__(self, run_folder: Path) -> None:
        self.run_folder = run_folder
        self.calls = 0
        self.told = saved_iterations(run_folder)

    def start(self, total: int | None, unit: str, done: int = 0) -> None:
        if unit == "iterations":
            assert total is not None
            print("from", TARGET - total + done, flush=True)

    def take_requests(self) -> list[Request]:
        for iteration in saved_iterations(self.run_folder):
            if iteration not in self.told:
                print("saved", iteration, flush=True)
                self.told.append(iteration)
        self.calls += 1
        return [Request.SAVE] if self.calls % 2 == 0 else []


def saved_iterations(run_folder: Path) -> list[int]:
    return [saved_iteration(path) for path in list_saves(run_folder)]


def serve(run_folder: Path, src: Path, dst: Path) -> None:
    """A training in a forked child per line of input: torch is imported once for all of them."""
    for _ in sys.stdin:
        child = os.fork()
        if child == 0:
            try:
                print("child", os.getpid(), flush=True)
                sides = Faceset.open(src), Faceset.open(dst)
                train(*sides, run_folder, params(), SaveEverySecond(run_folder))
            finally:
                os._exit(1)
        os.waitpid(child, 0)
        print("gone", flush=True)


@contextmanager
def server(*folders: Path) -> Iterator[tuple[IO[str], IO[str]]]:
    """Input and output of a process that runs `serve`."""
    code = (
        "import sys; from pathlib import Path; from tests.engine.test_train_kill import serve; "
        "serve(*map(Path, sys.argv[1:]))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, folders)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert process.stdin is not None and process.stdout is not None
    try:
        yield process.stdin, process.stdout
    finally:
        process.stdin.close()
        process.wait(300)


def read_saved(line: str) -> int:
    word, iteration = line.split()
    assert "saved" == word
    return int(iteration)


def saved(run_folder: Path) -> Checkpoint | None:
    """The last save, its checksums verified; that it is the very last one is asserted."""
    notes: list[str] = []
    found = load_checkpoint(run_folder, notes.append)
    assert [] == notes
    return found


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="forks, and sends SIGKILL")
def test_fifty_kills_lose_no_save_and_change_no_weight(tmp_path):
    """Each start goes on from the last save reported or a later one, and in the end the weights are
    those of a run that was never killed.
    """
    run_folder, src, dst = tmp_path / "run", tmp_path / "src", tmp_path / "dst"
    sides = write_faceset(src, 3, (210, 160, 130)), write_faceset(dst, 3, (120, 150, 190))
    rng = random.Random(SEED)
    reported = in_mid_save = 0
    cycle = 0.1  # seconds from one save to the next, about
    with server(run_folder, src, dst) as (to, answers):
        for _ in range(KILLS):
            to.write("go\n")
            to.flush()
            child = int(answers.readline().split()[1])
            before = saved(run_folder)
            assert ["from", str(before.iteration if before else 0)] == answers.readline().split()
            for _ in range(rng.randint(0, MOST_SAVES)):
                began = time.monotonic()
                reported = read_saved(answers.readline())
                cycle = time.monotonic() - began
            time.sleep(rng.uniform(0, cycle))  # anywhere between two saves, or in one
            os.kill(child, signal.SIGKILL)
            while (line := answers.readline()) != "gone\n":
                reported = read_saved(line)
            in_mid_save += any((run_folder / "saves").glob(".unfinished.*"))
            after = saved(run_folder)
            assert (after.iteration if after else 0) >= reported
    killed = saved(run_folder)
    assert killed is not None and killed.iteration > KILLS / 2
    assert in_mid_save > 0, "no kill ever met a save"
    print(f"{killed.iteration} iterations, {in_mid_save} of {KILLS} kills within a save")

    train(*sides, tmp_path / "twin", params(killed.iteration))
    twin = saved(tmp_path / "twin")
    assert twin is not None and twin.iteration == killed.iteration
    for group, tensors in twin.groups.items():
        for name, tensor in tensors.items():
            assert torch.equal(tensor, killed.groups[group][name]), name
