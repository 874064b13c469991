"""One process at a time at something in a folder, a training or a change of a faceset.

The operating system holds the lock and drops it however the process ends, so a kill never blocks
the folder. The lock's file names the holder for the one who is refused; what it says counts for
nothing else.
"""

import json
import logging
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from facegraft.errors import FacegraftError
from facegraft.files import write_error

_PATIENCE_S = 1.0  # a process that is being killed, or its newest fork, lets go a moment later
_TRY_EVERY_S = 0.05

_log = logging.getLogger(__name__)
_open_locks: set[int] = set()  # file descriptors, which a forked child must not keep locked

if sys.platform == "win32":
    import msvcrt

    _BYTE = 1 << 30  # far behind the text, which others could not read while it is locked

    def _try_lock(handle: int) -> None:
        os.lseek(handle, _BYTE, os.SEEK_SET)
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _try_lock(handle: int) -> None:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _close_in_child() -> None:
        for handle in _open_locks:
            os.close(handle)
        _open_locks.clear()

    os.register_at_fork(after_in_child=_close_in_child)


@contextmanager
def hold_lock(path: Path, in_use: Callable[[str], FacegraftError]) -> Iterator[None]:
    """Hold the lock file `path`, made with its folder if need be, for the length of the block.

    Raises: what `in_use` makes of "process N on MACHINE since TIME" where another holds it;
    WriteError.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise write_error(path, error) from error
    _open_locks.add(handle)
    try:
        try:
            _lock_patiently(handle)
        except (BlockingIOError, PermissionError) as error:
            raise in_use(_holder(path)) from error
        except OSError as error:  # some network disks
            _log.warning("%s can not be locked (%s); start no second process", path, error)
        _write_holder(handle)
        yield
    finally:
        _open_locks.discard(handle)
        os.close(handle)


def _lock_patiently(handle: int) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            return _try_lock(handle)
        except (BlockingIOError, PermissionError):
            if time.monotonic() > deadline:
                raise
        time.sleep(_TRY_EVERY_S)


def _write_holder(handle: int) -> None:
    holder = {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "since": time.strftime("%Y-%m-%d %H:%M:%S"),
    }
    os.lseek(handle, 0, os.SEEK_SET)
    os.truncate(handle, 0)
    os.write(handle, json.dumps(holder).encode())


def _holder(path: Path) -> str:
    try:
        holder = json.loads(path.read_text(encoding="utf-8"))
        return f"process {holder['pid']} on {holder['host']} since {holder['since']}"
    except (OSError, ValueError, KeyError, TypeError):  # it has only just begun
        return "another process"
