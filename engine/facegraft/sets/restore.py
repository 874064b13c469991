"""The way back of one noted step; see `journal.py` and `stored.py`.

Each function looks at what is there and does nothing where its change was never made or is taken
back already, so that it may be repeated after a kill.
"""

import hashlib
import os
from pathlib import Path
from typing import Any


def restore(folder: Path, kept_in: Path, step: dict[str, Any], trash: str) -> list[str]:
    """Take `step` back in the set `folder`; gives a sentence for each file where it could not be.

    Raises: OSError.
    """
    if step["do"] == "move":
        # from the last on: each move gives the name free that the one before it took
        notes = [_move_back(folder / old, folder / new) for old, new in reversed(step["names"])]
    else:
        kept = kept_in / step["kept"] if step["kept"] else None
        notes = [_unwrite(folder / step["path"], kept, step["sha256"], folder / trash)]
    return [note for note in notes if note]


def _move_back(old: Path, new: Path) -> str:
    """A move is made where its former name is free, within one step."""
    if not os.path.lexists(new):
        return "" if os.path.lexists(old) else f"{new.name} is gone; {old.name} can not be restored"
    if os.path.lexists(old):
        return f"{new.name} keeps its name, since there is another {old.name}"
    old.parent.mkdir(parents=True, exist_ok=True)
    os.rename(new, old)
    return ""


def _unwrite(path: Path, kept: Path | None, written: str, trash: Path) -> str:
    present = _digest(path)
    if kept is None:  # the file was new
        if present == written:
            path.unlink()
        elif present is not None:
            return f"{path.name} stays, since it was changed after it was written"
        return ""
    if not os.path.lexists(kept):
        return ""  # taken back already
    note = ""
    if present not in (None, written, _digest(kept)):
        trash.mkdir(exist_ok=True)
        aside = free_place(trash / path.name)
        os.rename(path, aside)
        note = f"{path.name} was changed by hand since; that version is {trash.name}/{aside.name}"
    os.replace(kept, path)
    return note


def free_place(path: Path) -> Path:
    """`path`, or with a number behind its name where that is taken."""
    free, number = path, 1
    while os.path.lexists(free):
        number += 1
        free = path.with_name(f"{path.stem}-{number}{path.suffix}")
    return free


def _digest(path: Path) -> str | None:
    """sha256 of a file; of a symbolic link, what it points to as text; None where there is none."""
    if path.is_symlink():
        return "link " + os.readlink(path)
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except FileNotFoundError:
        return None
