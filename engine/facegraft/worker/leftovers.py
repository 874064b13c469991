"""Folders of workers that were killed together with their hosts, and could not clean up.

A worker removes its folder at its end, whatever ended its host; only where both were killed at once
(a crashed session, no memory left) does it stay, with a socket that nobody listens to.
"""

import logging
import os
import socket
import stat
import time
from pathlib import Path

from facegraft.worker.protocol import LOG_NAME, SOCKET_NAME

log = logging.getLogger(__name__)

PREFIX = "facegraft-"
SURELY_LISTENS_S = 60.0  # a younger folder's worker may be about to


def remove_leftovers(places: set[Path]) -> None:
    """Remove what dead workers of this user left in these folders. Never raises."""
    if not hasattr(socket, "AF_UNIX"):
        return
    for place in places:
        try:
            folders = [p for p in place.glob(f"{PREFIX}*") if _is_dead(p)]
        except OSError:
            continue
        for folder in folders:
            log.info("%s is of a worker that was killed; it is removed", folder)
            remove_folder(folder)


def remove_folder(folder: Path) -> None:
    """Remove a worker's folder, unless it holds anything else than host and worker put there."""
    try:
        for name in (SOCKET_NAME, LOG_NAME):
            (folder / name).unlink(missing_ok=True)
        folder.rmdir()
    except OSError as error:
        log.info("%s stays: %s", folder, error)  # Windows while the host has the log open


def _is_dead(folder: Path) -> bool:
    """Whether it is a worker's private folder whose socket nobody listens to."""
    try:
        status = folder.lstat()
        private = stat.S_ISDIR(status.st_mode) and status.st_mode & 0o777 == 0o700
        if not private or status.st_uid != os.getuid():
            return False
        if time.time() - status.st_mtime < SURELY_LISTENS_S:
            return False
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as knock:
            knock.settimeout(1.0)
            knock.connect(str(folder / SOCKET_NAME))
        return False
    except ConnectionRefusedError:
        return True
    except OSError:
        return False  # it is going just now, or is something else's
