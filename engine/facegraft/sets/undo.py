"""Taking back what was done to a faceset, and forgetting how."""

from dataclasses import dataclass
from pathlib import Path

from facegraft.errors import ParameterError
from facegraft.sets.journal import finish_interrupted, take_back
from facegraft.sets.lock import lock_set
from facegraft.sets.stored import Stored, stored_operations


@dataclass(frozen=True, slots=True)
class Undone:
    """What was taken back."""

    title: str
    since: str  # when it was done, local time
    notes: tuple[str, ...]  # what could not be restored as it was, one sentence each


def operations(folder: Path) -> list[Stored]:
    """What can be taken back, oldest first. Raises: JournalError."""
    return stored_operations(Path(folder))


def undo(folder: Path) -> Undone:
    """Take back the last operation, or finish taking back one that was interrupted.

    Raises: ParameterError where there is nothing to take back, SetInUse, WriteError, JournalError.
    """
    folder = Path(folder)
    with lock_set(folder):
        interrupted = finish_interrupted(folder)
        if interrupted:
            return Undone(interrupted[0], "", ("it had been interrupted",))
        stored = stored_operations(folder)
        if not stored:
            raise ParameterError(f"nothing to undo: no change of {folder} is noted")
        last = stored[-1]
        return Undone(last.title, last.since, tuple(take_back(folder, last)))


def forget(folder: Path) -> tuple[int, int]:
    """Drop all notes and kept files: (operations, bytes). They can not be taken back afterwards.

    Raises: SetInUse, WriteError, JournalError.
    """
    folder = Path(folder)
    with lock_set(folder):
        finish_interrupted(folder)
        stored = stored_operations(folder)
        total = sum(one.byte_count() for one in stored)
        for one in stored:
            one.remove()
        return len(stored), total
