"""The journal's operations on disk; see `journal.py`.

log.jsonl: a head {"version", "title", "since"}, then one step per line:
    {"do": "move", "names": [[FORMER, NEW], ...]}    made in this order
    {"do": "write", "path": NAME, "kept": NAME IN THIS FOLDER or "", "sha256": OF THE NEW CONTENT}
    {"do": "done"}                                   all steps are made

A step is made only after the one before, and its line is cut off once it is taken back. So
whenever a process is killed, all steps but the last in the log are made, and `restore.py` need only
tell how far that last one came.
"""

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from facegraft.errors import JournalError
from facegraft.files import write_error
from facegraft.sets.lock import INSIDE

JOURNAL_FOLDER = "journal"
LOG_NAME = "log.jsonl"
VERSION = 1
_DONE = b'{"do": "done"}\n'
MOST_OPERATIONS = 50
MOST_BYTES = 4 << 30  # of kept files, about ten thousand faces of 512 px


@dataclass(frozen=True, slots=True)
class Stored:
    """One operation: its folder, and what its log says."""

    folder: Path
    title: str
    since: str  # local time, "2026-05-01 12:00:00"
    is_done: bool  # False: it was killed, or is being taken back

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Raises: JournalError for a log of a newer version or without a head."""
        path = folder / LOG_NAME
        try:
            with open(path, "rb") as file:
                values = json.loads(file.readline())
                file.seek(max(0, path.stat().st_size - len(_DONE)))
                is_done = file.read() == _DONE
            version, title, since = values["version"], str(values["title"]), str(values["since"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise JournalError(f"{path} is damaged ({error}); remove {folder}") from error
        if version != VERSION:
            raise JournalError(
                f"{path} has version {version}, this FaceGraft knows {VERSION}; update FaceGraft"
            )
        return cls(folder, title, since, is_done)

    def steps(self) -> list[tuple[int, dict[str, Any]]]:
        """What was done, in order, each with the place of its line in the log."""
        found = []
        head, *lines = (self.folder / LOG_NAME).read_bytes().splitlines(keepends=True)
        place = len(head)
        for line in lines:
            if not line.endswith(b"\n") or line == _DONE:  # cut by a kill: it was not made
                break
            found.append((place, json.loads(line)))
            place += len(line)
        return found

    def change_count(self) -> int:
        """Files that were changed."""
        return sum(len(step.get("names", [0])) for _, step in self.steps())

    def append(self, step: dict[str, Any], flush: bool = True) -> None:
        """Note a step, which outlives this process; with `flush` a power cut too.

        Raises: WriteError.
        """
        path = self.folder / LOG_NAME
        try:
            with open(path, "ab") as file:
                file.write(json.dumps(step).encode() + b"\n")
                file.flush()
                if flush:
                    os.fsync(file.fileno())
        except OSError as error:
            raise write_error(path, error) from error

    def cut(self, place: int, flush: bool = True) -> None:
        """Drop the log from `place` on: those steps are taken back. Raises: OSError."""
        with open(self.folder / LOG_NAME, "rb+") as file:
            file.truncate(place)
            if flush:
                os.fsync(file.fileno())

    def cut_mark(self) -> None:
        """Drop the mark of a done operation: it is being taken back. Raises: OSError."""
        self.cut((self.folder / LOG_NAME).stat().st_size - len(_DONE))

    def byte_count(self) -> int:
        """Bytes of the kept files."""
        return sum(p.lstat().st_size for p in self.folder.iterdir())

    def unnoted(self) -> list[Path]:
        """Kept files whose step a power cut took from the log, and that lie nowhere else."""
        noted = {step.get("kept") for _, step in self.steps()}
        return [
            path
            for path in self.folder.iterdir()
            if path.name[0].isdigit()
            and path.name not in noted
            and not path.is_symlink()
            and path.stat().st_nlink == 1
        ]

    def remove(self) -> None:
        """Forget the operation, at once also where a kill comes between."""
        gone = self.folder.with_name(f"gone-{self.folder.name}")
        try:
            os.rename(self.folder, gone)
            shutil.rmtree(gone)
        except OSError as error:
            raise write_error(self.folder, error) from error


def stored_operations(folder: Path) -> list[Stored]:
    """The operations that can be taken back, oldest first; remains of forgotten ones are cleared.

    Raises: JournalError, WriteError.
    """
    journal = folder / INSIDE / JOURNAL_FOLDER
    if not journal.is_dir():
        return []
    found = []
    for place in sorted(journal.iterdir()):
        if place.name.startswith("gone-") or not (place / LOG_NAME).exists():
            shutil.rmtree(place, ignore_errors=True)  # forgotten, or killed before its first change
        elif place.name.isdigit():
            found.append(Stored.read(place))
    return found


def forget_old(folder: Path, most_bytes: int = MOST_BYTES) -> int:
    """Drop the oldest operations beyond the limits, never the last one; gives how many."""
    operations = stored_operations(folder)
    total, kept = 0, 0
    for stored in reversed(operations):
        total += stored.byte_count()
        if kept and (kept >= MOST_OPERATIONS or total > most_bytes):
            break
        kept += 1
    for stored in operations[: len(operations) - kept]:
        stored.remove()
    return len(operations) - kept
