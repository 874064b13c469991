"""Single keys in a terminal, on a real pseudo-terminal."""

import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

if sys.platform == "win32":
    pytest.skip("pseudo-terminals are POSIX", allow_module_level=True)

import fcntl
import pty
import termios

PATIENCE_S = 300  # a loaded machine may take its time; nothing here measures any

_ECHO_REQUESTS = """
import sys, time
from facegraft_cli.report import terminal_progress
with terminal_progress(keys=True) as progress:
    progress.start(None, "iterations")
    while not progress.cancelled:
        for request in progress.take_requests():
            print("got", request.value, flush=True)
        time.sleep(0.02)
    print("got", *(request.value for request in progress.take_requests()), "at the end", flush=True)
"""
_FAIL = """
from facegraft_cli.report import terminal_progress
with terminal_progress(keys=True) as progress:
    print(1 / 0)
"""


class Terminal:
    """A process on a pseudo-terminal of its own, and what it has written so far."""

    def __init__(self, code: str) -> None:
        self.master, self.slave = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=self.slave, stdout=self.slave, stderr=self.slave, start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )  # fmt: skip
        self.text = ""

    def wait_for(self, text: str) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while text not in self.text:
            assert time.monotonic() < deadline, f"no {text!r} in {self.text!r}"
            if select.select([self.master], [], [], 0.1)[0]:
                self.text += os.read(self.master, 4096).decode()

    def type(self, keys: str) -> None:
        os.write(self.master, keys.encode())

    @property
    def echoes(self) -> bool:
        flags = termios.tcgetattr(self.slave)[3]
        return bool(flags & termios.ECHO) and bool(flags & termios.ICANON)


@contextmanager
def terminal(code: str) -> Iterator[Terminal]:
    one = Terminal(code)
    try:
        yield one
    finally:
        one.process.kill()
        one.process.wait()
        os.close(one.master)
        os.close(one.slave)


def test_keys_become_requests_at_once_and_unseen_and_enter_stops():
    with terminal(_ECHO_REQUESTS) as one:
        assert one.echoes
        one.wait_for("keys: p preview")
        deadline = time.monotonic() + PATIENCE_S
        while one.echoes and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not one.echoes
        for key, request in {
            "p": "preview",
            " ": "next_preview",
            "S": "save",
            "b": "backup",
        }.items():
            one.type(key)
            one.wait_for(f"got {request}\r\n")
        one.wait_for("saving and backing up after this iteration")
        one.type("x")
        one.type("\x1b[B")  # arrow down, which ends in a B
        time.sleep(0.5)
        one.type("\n")
        one.wait_for("at the end")
        assert 1 == one.text.count("got backup")
        assert "got stop at the end" in one.text
        assert 0 == one.process.wait(PATIENCE_S)
        assert one.echoes


def test_the_terminal_is_as_before_after_an_error_and_after_ctrl_c():
    with terminal(_FAIL) as one:
        one.wait_for("ZeroDivisionError")
        assert 1 == one.process.wait(PATIENCE_S)
        assert one.echoes
    with terminal(_ECHO_REQUESTS) as one:
        one.wait_for("keys:")
        one.type("\x03")
        one.wait_for("at the end")
        assert 0 == one.process.wait(PATIENCE_S)
        assert one.echoes


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_in_the_background_nothing_is_read_and_nothing_is_set():
    """A job started with & would be stopped by either."""
    code = f"""
import os, signal, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", {_ECHO_REQUESTS!r}], process_group=0)
print(f"child {{child.pid}} started", flush=True)
signal.pause()
"""
    with terminal(code) as one:
        one.wait_for("keys:")
        one.wait_for(" started")
        child = int(one.text.split("child ")[1].split()[0])
        time.sleep(0.5)
        one.type("s")
        time.sleep(0.5)
        assert one.echoes and "got" not in one.text
        with open(f"/proc/{child}/stat", encoding="ascii") as file:
            assert file.read().rpartition(")")[2].split()[0] != "T"  # not stopped
        os.kill(child, 9)


def test_without_a_terminal_no_keys_are_read():
    code = (
        "import threading\n"
        "from facegraft_cli.report import terminal_progress\n"
        "with terminal_progress(keys=True) as progress:\n"
        "    print([t.name for t in threading.enumerate()], progress.take_requests())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], input="sss\n", capture_output=True, text=True, check=True
    )
    assert "['MainThread'] []\n" == done.stdout
    assert "keys:" not in done.stderr
