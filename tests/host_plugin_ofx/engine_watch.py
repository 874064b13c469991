"""Watching the engines that nodes start: which processes and files there are."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

PATIENCE_S = 120  # a loaded machine may take its time; nothing here measures any


def left_over(folder: Path) -> list[Path]:
    """Folders and shared files of engines; other libraries leave files of their own."""
    return list(folder.glob("facegraft-*"))


def children(folder: Path) -> list[int]:
    """Processes whose command line names the folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if b"facegraft.worker" in line and str(folder).encode() in line:
                found.append(int(entry.name))
    return found


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it never came to be"
        time.sleep(0.02)


def state_of(pid: int) -> str:
    """Linux' letter for a process; "" where it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return ""


def frozen(folder: Path) -> int:
    """Stop the one worker, so that it answers nothing, and give its number."""
    (pid,) = children(folder)
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: state_of(pid) == "T")
    time.sleep(0.05)  # its other threads follow the first
    return pid
