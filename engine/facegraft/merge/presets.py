"""Named sets of merge values: those that ship with FaceGraft, and the user's own.

A preset is a file of merge parameters (`keys.py`) with constants alone and a sentence about it. It
says what differs from the defaults; rows that it does not name keep theirs. Standard library only:
hosts list and load presets in their own Python.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facegraft.controls import parse_values, plain_values
from facegraft.errors import FutureVersion, ParameterError
from facegraft.files import user_data_folder, write_atomic
from facegraft.merge.animation import checked_params
from facegraft.merge.keys import document
from facegraft.merge.params import MergeParams

SHIPPED = Path(__file__).parent / "preset_files"
_NAME = re.compile(r"[\w][\w .-]{0,60}")  # what every system takes as a file's name
_ABOUT_LIMIT = 200  # characters; two lines of a terminal


@dataclass(frozen=True, slots=True)
class Preset:
    """Values of some rows under a name. `values` are JSON types, each within its row's range."""

    name: str
    about: str
    values: Mapping[str, Any]
    is_shipped: bool


def user_folder() -> Path:
    """Where this user's presets lie; it may not exist yet."""
    return user_data_folder() / "merge_presets"


def preset_names() -> list[str]:
    """Shipped presets first, each group by name; a user's preset may not take a shipped name."""
    return [path.stem for folder in (SHIPPED, user_folder()) for path in sorted(_files(folder))]


def load_preset(name: str) -> Preset:
    """A preset by its name, or from a file where `name` is the path of one.

    Raises: ParameterError naming the presets there are, or what is wrong with the file;
    FutureVersion, naming the rows that this FaceGraft does not have.
    """
    for folder in (SHIPPED, user_folder()):
        for path in _files(folder):
            if path.stem == name:
                return _read(path, name, folder == SHIPPED)
    path = Path(name)
    if path.suffix.lower() == ".json" and path.is_file():
        return _read(path, path.stem, False)
    raise ParameterError(
        f"there is no preset {name!r}; there are {', '.join(preset_names())}, and it may be the "
        "path of a .json file"
    )


def save_preset(
    name: str, values: Mapping[str, Any], about: str = "", replace: bool = False
) -> Path:
    """Keep `values` of MergeParams rows under `name`; gives the file.

    Raises: ParameterError for a value outside its range, a name that no file can have, a shipped
    preset's name, or one that is taken unless `replace`; WriteError.
    """
    if not _NAME.fullmatch(name) or name != name.strip():
        raise ParameterError(
            f"a preset cannot be called {name!r}; use letters, digits, blanks, dots, _ and -"
        )
    if len(about) > _ABOUT_LIMIT:
        raise ParameterError(f"the text has {len(about)} characters; the limit is {_ABOUT_LIMIT}")
    if any(path.stem == name for path in _files(SHIPPED)):
        raise ParameterError(f"{name} ships with FaceGraft; choose another name")
    path = user_folder() / f"{name}.json"
    if path.exists() and not replace:
        raise ParameterError(f"there is a preset {name} already ({path}); replace it, or rename")
    checked = plain_values(parse_values(MergeParams, values))
    kept = {row: checked[row] for row in values}
    data = json.dumps(document(kept, name=name, about=about), indent=2) + "\n"
    write_atomic(path, data.encode())
    return path


def delete_preset(name: str) -> None:
    """Remove one of the user's presets. Raises: ParameterError for a shipped or unknown one."""
    preset = load_preset(name)
    path = user_folder() / f"{name}.json"
    if preset.is_shipped or not path.exists():
        raise ParameterError(f"{name} is not one of your presets and stays where it is")
    path.unlink()


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.glob("*.json") if not path.name.startswith(".")]


def _read(path: Path, name: str, is_shipped: bool) -> Preset:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ParameterError(f"cannot read the preset {path}: {error}") from error
    try:
        given = checked_params(values)
        keyed = sorted(row for row, value in given.items() if isinstance(value, dict))
        if keyed:
            raise ParameterError(
                f"{', '.join(keyed)} changes over time, which a preset cannot; give the file to "
                "--params"
            )
        checked = plain_values(parse_values(MergeParams, given))
    except (ParameterError, FutureVersion) as error:
        raise type(error)(f"preset {path}: {error}") from error
    about = values.get("about", "")
    return Preset(name, str(about), {row: checked[row] for row in given}, is_shipped)
