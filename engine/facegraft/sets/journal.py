"""Changes of a faceset that are made as a whole, survive a kill and can be taken back.

    with operation(folder, "sort by yaw") as op:
        op.rename({"b.png": "00000.png", "a.png": "00001.png"})
        op.trash(["blurred.png"])
        op.write("c.png", encoded)

Each operation has a folder `_facegraft/journal/NNNNNN` in the set. Its `log.jsonl` holds one line
per step, which is on disk before the step is made; the former content of a rewritten file is
kept beside it (a hard link: nothing is copied). An error, a Ctrl-C or a kill in the middle takes
all of it back: at once, or when the next operation begins. `undo.undo` takes back whole ones.

A file that somebody changed by hand since goes to the trash before it gives way; nothing that the
journal did not write is ever deleted or overwritten.
"""

import hashlib
import json
import logging
import os
import shutil
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import Any

from facegraft.errors import ParameterError, WriteError
from facegraft.files import write_atomic, write_error
from facegraft.sets.lock import INSIDE, lock_set
from facegraft.sets.restore import free_place, restore
from facegraft.sets.stored import JOURNAL_FOLDER, LOG_NAME, Stored, forget_old, stored_operations

TRASH = "_trash"  # the folder of a set where culled faces lie

_log = logging.getLogger(__name__)


class Operation:
    """The changes of one `operation` block. Names are relative to the set, with "/".

    Safe to use from several threads. Every method raises WriteError where the disk refuses and
    ParameterError for a name that leaves the set.
    """

    def __init__(self, folder: Path, stored: Stored) -> None:
        self.folder = folder
        self._stored = stored
        self._lock = threading.Lock()
        self._written = 0
        self._trashed: set[str] | None = None
        self.change_count = 0

    def path(self, name: str) -> Path:
        """Where `name` lies. Raises: ParameterError for a name that leaves the set."""
        pure = PurePath(name)
        if not name or pure.is_absolute() or pure.drive or ".." in pure.parts:
            raise ParameterError(f"{name!r} is no name of a file in {self.folder}")
        return self.folder / name

    def rename(self, names: Mapping[str, str]) -> None:
        """Give files other names, in any permutation: {former: new}.

        Raises: ParameterError where two get one name, where a file with the new name is there and
        keeps it, and where a former is missing; nothing is renamed then.
        """
        for old, new in names.items():
            if not os.path.lexists(self.path(old)):
                raise ParameterError(f"{self.folder} has no {old}; it can not be renamed to {new}")
        steps = _ordered({old: new for old, new in names.items() if old != new})
        for _, new in steps:
            if new not in names and os.path.lexists(self.path(new)):
                raise ParameterError(
                    f"{self.folder} has a file {new} already; move it away or choose other names"
                )
        # rings are closed in a step of their own: else their names would not tell how far it came
        detours = {new for _, new in steps if new not in names.values()}
        for part in (
            [s for s in steps if s[0] not in detours],
            [s for s in steps if s[0] in detours],
        ):
            if part:
                self._note({"do": "move", "names": part}, len(part))
            for old, new in part:
                _move(self.path(old), self.path(new))

    def trash(self, names: Iterable[str]) -> dict[str, str]:
        """Move files to `_trash`; gives where each of `names` went."""
        with self._lock:
            if self._trashed is None:
                trash = self.folder / TRASH
                self._trashed = (
                    {n.casefold() for n in os.listdir(trash)} if trash.is_dir() else set()
                )
            moves = {name: f"{TRASH}/{_free_name(name, self._trashed)}" for name in names}
        self.rename(moves)
        return moves

    def write(self, name: str, data: bytes) -> None:
        """Write a file as a whole, new or in place of the present one, which is kept."""
        path = self.path(name)
        with self._lock:
            self._written += 1
            number = self._written
        kept = f"{number:06d}{path.suffix}" if os.path.lexists(path) else ""
        try:
            fresh = self._stored.folder / f"new-{number:06d}{path.suffix}"
            with open(fresh, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            if kept:
                _keep(path, self._stored.folder / kept)
            digest = hashlib.sha256(data).hexdigest()
            # not flushed, which would take longer than all else; `take_back` seeks what that loses
            self._note({"do": "write", "path": name, "kept": kept, "sha256": digest}, flush=False)
            path.parent.mkdir(parents=True, exist_ok=True)
            os.replace(fresh, path)
        except WriteError:
            raise
        except OSError as error:
            raise write_error(path, error) from error

    def _note(self, step: dict[str, Any], count: int = 1, flush: bool = True) -> None:
        with self._lock:
            self._stored.append(step, flush)
            self.change_count += count


@contextmanager
def operation(folder: Path, title: str, create: bool = False) -> Iterator[Operation]:
    """Lock the set and change it within the block: wholly, or not at all.

    `title` says what is done, for people. `create`: the folder may be new. An error inside the
    block takes all changes back.
    Raises: SetInUse, WriteError for a read-only folder, SourceNotFound, ParameterError for a packed
    set.
    """
    folder = Path(folder)
    with lock_set(folder, create):
        finish_interrupted(folder)
        stored = _begin(folder, title)
        op = Operation(folder, stored)
        try:
            yield op
        except BaseException:
            take_back(folder, stored)
            raise
        if not op.change_count:
            stored.remove()
        else:
            stored.append({"do": "done"})
        forget_old(folder)


def finish_interrupted(folder: Path) -> list[str]:
    """Take back what a killed process left half done; gives the titles. The set must be locked."""
    titles = []
    for stored in reversed(stored_operations(folder)):
        if not stored.is_done:
            _log.warning("%s: taking back %r, which was interrupted", folder, stored.title)
            titles.append(stored.title)
            take_back(folder, stored)
    return titles


def take_back(folder: Path, stored: Stored) -> list[str]:
    """Undo all changes of an operation and forget it; gives a sentence for each that could not be.

    A kill in here is no harm: the next `finish_interrupted` goes on. Raises: WriteError.
    """
    notes: list[str] = []
    try:
        steps = stored.steps()
        if stored.is_done:
            stored.cut_mark()
        else:
            for path in stored.unnoted():
                _move(path, free_place(folder / TRASH / path.name))
        for place, step in reversed(steps):
            notes += restore(folder, stored.folder, step, TRASH)
            stored.cut(place, flush=step["do"] == "move")  # a write may be taken back twice
        stored.remove()
    except WriteError:
        raise
    except OSError as error:
        raise write_error(folder, error) from error
    return notes


def _keep(path: Path, kept: Path) -> None:
    """A second name for the content of `path`, which is about to be replaced. Raises: OSError."""
    if path.is_symlink():  # the link itself: what it points to is not ours to change
        kept.symlink_to(os.readlink(path))
        return
    try:
        os.link(path, kept)
    except OSError:  # a disk without hard links
        shutil.copy2(path, kept)


def _begin(folder: Path, title: str) -> Stored:
    journal = folder / INSIDE / JOURNAL_FOLDER
    try:
        journal.mkdir(parents=True, exist_ok=True)
        last = max((int(p.name) for p in journal.iterdir() if p.name.isdigit()), default=0)
        place = journal / f"{last + 1:06d}"
        place.mkdir()
        head = {"version": 1, "title": title, "since": time.strftime("%Y-%m-%d %H:%M:%S")}
        write_atomic(place / LOG_NAME, json.dumps(head).encode() + b"\n")
    except OSError as error:
        raise write_error(journal, error) from error
    return Stored.read(place)


def _move(old: Path, new: Path) -> None:
    try:
        new.parent.mkdir(parents=True, exist_ok=True)
        os.rename(old, new)
    except OSError as error:
        raise write_error(new, error) from error


def _ordered(names: Mapping[str, str]) -> list[tuple[str, str]]:
    """Renames in an order in which each new name is free when its turn comes.

    Chains go from their end. A ring needs one detour, over a name that is seen as a face too, so
    that a kill hides nothing. Raises: ParameterError where two get one name.
    """
    if len({new.casefold() for new in names.values()}) < len(names):
        raise ParameterError("two files would get one name; choose names that differ")
    waiting = dict(names)
    steps: list[tuple[str, str]] = []
    while waiting:
        chain = [next(iter(waiting))]
        while (following := waiting[chain[-1]]) in waiting and following != chain[0]:
            chain.append(following)
        is_ring = waiting[chain[-1]] == chain[0]
        if is_ring:
            detour = _detour(chain[-1], {*names, *names.values()})
            steps.append((chain[-1], detour))
            steps += [(old, waiting[old]) for old in reversed(chain[:-1])]
            steps.append((detour, chain[0]))
        else:
            steps += [(old, waiting[old]) for old in reversed(chain)]
        for old in chain:
            del waiting[old]
    return steps


def _detour(name: str, taken: set[str]) -> str:
    path = Path(name)
    while path.as_posix() in taken or path.as_posix() == name:
        path = path.with_name(f"moving-{path.name}")
    return path.as_posix()


def _free_name(name: str, taken: set[str]) -> str:
    path = Path(name)
    candidate, number = path.name, 1
    while candidate.casefold() in taken:
        number += 1
        candidate = f"{path.stem}-{number}{path.suffix}"
    taken.add(candidate.casefold())
    return candidate
