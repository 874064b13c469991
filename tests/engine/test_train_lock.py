"""One training at a time in a run's folder, and a killed one never blocks it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from facegraft.errors import RunInUse
from facegraft.training.lock import LOCK_NAME, lock_run

_HOLD = """
import sys, time
from pathlib import Path
from facegraft.training.lock import lock_run
with lock_run(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def hold(folder: Path) -> subprocess.Popen[str]:
    """Another process that holds the lock of `folder`."""
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(folder)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    return process


def test_a_second_training_is_refused_with_the_first_ones_process(tmp_path):
    process = hold(tmp_path)
    try:
        with pytest.raises(RunInUse, match=f"process {process.pid} on .* since .*Ctrl-C"):
            with lock_run(tmp_path):
                pass
    finally:
        process.kill()
        process.wait()


def test_a_killed_training_leaves_no_lock_behind(tmp_path):
    process = hold(tmp_path)
    process.kill()  # SIGKILL
    process.wait()
    with lock_run(tmp_path):
        assert f'"pid": {os.getpid()}' in (tmp_path / LOCK_NAME).read_text()
    with lock_run(tmp_path):  # and a second time, after leaving it
        pass


def test_the_lock_holds_within_one_process_too(tmp_path):
    with lock_run(tmp_path / "new"):
        with pytest.raises(RunInUse):
            with lock_run(tmp_path / "new"):
                pass


_KILLED_WITH_A_CHILD = """
import os, sys, time
from pathlib import Path
from facegraft.training.lock import lock_run
with lock_run(Path(sys.argv[1])):
    child = os.fork()
    if child == 0:  # it speaks itself, since only then has it let go of what it inherited
        print(os.getpid(), flush=True)
        time.sleep(600)
        os._exit(0)
    time.sleep(600)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="forks")
def test_a_forked_child_that_outlives_its_training_holds_no_lock(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", _KILLED_WITH_A_CHILD, str(tmp_path)],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    child = int(process.stdout.readline())
    process.kill()
    process.wait()
    try:
        os.kill(child, 0)  # it lives
        with lock_run(tmp_path):
            pass
    finally:
        os.kill(child, signal.SIGKILL)
