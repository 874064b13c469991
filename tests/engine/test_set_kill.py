"""Processes that change a set are killed at every moment, and no face is ever lost."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from facegraft.errors import ParameterError
from facegraft.faces.faceset import Faceset
from facegraft.faces.metadata import read_bytes
from facegraft.sets.journal import operation
from facegraft.sets.undo import undo
from tests.engine.set_faces import file_bytes, write_set

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="forks and signals")

# Python tells an audit hook of each file operation before it is done, so a child that kills itself
# at the n-th one shows the disk as it is between any two of them.
_AT_EVERY_OPERATION = """
import os, random, shutil, signal, sys, traceback
from pathlib import Path
from facegraft.sets.journal import operation, finish_interrupted
from facegraft.sets.lock import INSIDE
folder = Path(sys.argv[1])
EVENTS = {"open", "os.rename", "os.link", "os.mkdir", "os.remove", "os.rmdir", "shutil.rmtree"}

def fill():
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name in "abcd":
        (folder / f"{name}.png").write_bytes(name.encode() * 100)

def state():
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*")
            if p.is_file() and INSIDE not in p.parts}

def change():
    with operation(folder, "everything") as op:
        op.rename({"a.png": "b.png", "b.png": "c.png", "c.png": "a.png"})
        op.write("d.png", b"new d")
        op.write("e.png", b"new e")
        op.trash(["b.png"])

def recover():
    with operation(folder, "next"):
        pass

def killed_at(number, work):
    child = os.fork()
    if child:
        status = os.waitpid(child, 0)[1]
        assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
        return os.WIFSIGNALED(status)
    left = [number]
    def hook(event, arguments):
        if event in EVENTS and str(folder) in str(arguments):
            left[0] -= 1
            if left[0] < 0:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(hook)
    try:
        work()
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)

fill()
before = state()
change()
after = state()
draw = random.Random(1)
number = kills = 0
while True:
    fill()
    if not killed_at(number, change):
        break
    kills += 1
    for _ in range(draw.randrange(3)):  # and the process that takes it back is killed, too
        killed_at(draw.randrange(25), recover)
    recover()
    assert state() in (before, after), (number, state())
    number += 1
print(kills)
"""


def test_a_kill_between_any_two_file_operations_leaves_all_or_nothing_done(tmp_path):
    told = subprocess.run(
        [sys.executable, "-c", _AT_EVERY_OPERATION, str(tmp_path / "set")],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert told.returncode == 0, told.stderr
    assert int(told.stdout) > 20


KILLS = 6  # per kind of work
COUNT = 20  # faces
ROUNDS = 10  # of work in one process, fewer than the journal keeps
LATEST_S = 1.0  # after its beginning a process is killed

_WORK = """
import sys, time
from pathlib import Path
from facegraft.faces.faceset import Faceset
from facegraft.sets.journal import operation
from facegraft.sets.pack import pack_faceset
from facegraft.sets.reframe import reframe_faceset
folder, kind = Path(sys.argv[1]), sys.argv[2]
print("begins", flush=True)
for _ in range(int(sys.argv[3])):
    if kind == "pack":
        pack_faceset(folder, folder.with_suffix(".facepack"), overwrite=True)
    elif kind == "resize":
        faces = Faceset.open(folder)
        reframe_faceset(faces, folder, 48 if faces[0].size != 48 else 64)
    else:
        present = sorted(path.name for path in folder.glob("*.png"))
        with operation(folder, "turn") as op:
            op.rename(dict(zip(present, present[1:] + present[:1])))
print("ends", flush=True)
time.sleep(600)
"""


def work_and_kill(folder: Path, kind: str, after_s: float) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", _WORK, str(folder), kind, str(ROUNDS)],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None and process.stdout.readline() == "begins\n"
        time.sleep(after_s)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()


def undo_all(folder: Path) -> None:
    for _ in range(ROUNDS + 2):
        try:
            assert undo(folder).notes in ((), ("it had been interrupted",))
        except ParameterError:  # nothing is left to undo
            return
    raise AssertionError("more operations than were begun")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["pack", "resize", "rename"])
def test_faces_survive_kills_at_random_moments(tmp_path, kind):
    folder = write_set(tmp_path / "set", COUNT, size=64)
    pack = tmp_path / "set.facepack"
    before = file_bytes(folder)
    draw = random.Random(kind)
    for _ in range(KILLS):
        work_and_kill(folder, kind, draw.uniform(0, LATEST_S))
        if pack.exists():
            faces = Faceset.open(pack)
            assert {face.path.name: read_bytes(face.path) for face in faces} == before
        with operation(folder, "the next one takes back what was cut off"):
            pass
        now = file_bytes(folder)
        if kind == "resize":
            assert now.keys() == before.keys()
            assert len({face.size for face in Faceset.open(folder)}) == 1
        else:
            assert sorted(now.values()) == sorted(before.values())
        undo_all(folder)
        assert file_bytes(folder) == before
