"""The way back of one noted change; see `journal.py`.

Each function looks at what is there and does nothing where its change was never made or is taken
back already, so that it may be repeated after a kill.
"""

import hashlib
import os
from pathlib import Path
from typing import Any


def restore(folder: Path, kept_in: Path, change: dict[str, Any], trash: str) -> str:
    """Take `change` back in the set `folder`; gives a sentence where that could not be done.

    Raises: OSError.
    """
    if change["do"] == "move":
        return _move_back(folder / change["from"], folder / change["to"])
    path = folder / change["path"]
    kept = kept_in / change["kept"] if change["kept"] else None
    return _unwrite(path, kept, change["sha256"], folder / trash)


def _move_back(old: Path, new: Path) -> str:
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
        aside, number = trash / path.name, 1
        while os.path.lexists(aside):
            number += 1
            aside = trash / f"{path.stem}-{number}{path.suffix}"
        os.rename(path, aside)
        note = f"{path.name} was changed by hand since; that version is {trash.name}/{aside.name}"
    os.replace(kept, path)
    return note


def _digest(path: Path) -> str | None:
    """sha256 of a file; of a symbolic link, what it points to as text; None where there is none."""
    if path.is_symlink():
        return "link " + os.readlink(path)
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except FileNotFoundError:
        return None
