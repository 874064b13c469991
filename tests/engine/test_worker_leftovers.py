"""What killed workers leave behind is removed by the next one, and nothing else is."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from facegraft.worker.leftovers import SURELY_LISTENS_S, remove_leftovers
from facegraft.worker.protocol import LOG_NAME, SOCKET_NAME

pytestmark = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="no Unix sockets here")


@pytest.fixture
def listeners() -> Iterator[list[socket.socket]]:
    found: list[socket.socket] = []
    yield found
    for listener in found:
        listener.close()


def worker_folder(place: Path, name: str, listeners: list[socket.socket], age_s: float) -> Path:
    """As a worker has it, with its listening socket as the last of `listeners`."""
    folder = place / f"facegraft-{name}"
    folder.mkdir(mode=0o700)
    (folder / LOG_NAME).write_text("begun\n")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = Path.cwd()
    os.chdir(folder)  # the path of a test's folder may be too long for a socket
    try:
        listener.bind(SOCKET_NAME)
    finally:
        os.chdir(before)
    listener.listen()
    listeners.append(listener)
    when = folder.stat().st_mtime - age_s
    os.utime(folder, (when, when))
    return folder


@pytest.fixture
def place(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("p")


def test_the_folder_of_a_dead_worker_goes_and_that_of_a_living_one_stays(place, listeners):
    dead = worker_folder(place, "dead", listeners, 2 * SURELY_LISTENS_S)
    listeners[-1].close()
    alive = worker_folder(place, "alive", listeners, 2 * SURELY_LISTENS_S)
    remove_leftovers({place})
    assert not dead.exists() and (alive / SOCKET_NAME).exists()


def test_a_folder_that_has_just_been_made_stays(place, listeners):
    """Its worker may be about to listen."""
    young = worker_folder(place, "young", listeners, 0)
    listeners[-1].close()
    remove_leftovers({place})
    assert young.exists()


def test_what_is_no_worker_s_stays(place, listeners):
    """Folders open to others, without a socket, with other files, files, links, and other names."""
    shared = worker_folder(place, "shared", listeners, 2 * SURELY_LISTENS_S)
    shared.chmod(0o755)
    full = worker_folder(place, "full", listeners, 2 * SURELY_LISTENS_S)
    (full / "notes.txt").write_text("mine")
    linked = worker_folder(place, "target", listeners, 2 * SURELY_LISTENS_S)
    linked = linked.rename(place / "other-name")
    link = place / "facegraft-link"
    link.symlink_to(linked)
    for listener in listeners:
        listener.close()
    empty, file = place / "facegraft-empty", place / "facegraft-file"
    empty.mkdir(mode=0o700)
    file.write_text("")
    for path in (full, empty, file):
        os.utime(path, (1, 1))
    remove_leftovers({place, place / "missing"})
    kept = (shared, empty, file, link, linked / SOCKET_NAME, full / "notes.txt")
    assert [path.exists() for path in kept] == [True] * len(kept)
