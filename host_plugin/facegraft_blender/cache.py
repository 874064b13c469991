"""Baked layers on disk: one EXR a frame and an index of what they were made with. No bpy in here.

    FOLDER/bake.json         first frame, count, size; values and outcome by frame
    FOLDER/layer_0001.exr    empty: the frame before the first
    FOLDER/layer_0002.exr    the first frame
    ...                      and an empty one after the last

Beyond a sequence's ends Blender goes on showing its first and last picture, so both are empty:
outside the baked range a node shows its source, never an old face.
"""

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from facegraft.errors import FutureVersion, ParameterError, SourceNotFound

INDEX_NAME = "bake.json"
VERSION = 1


@dataclass(slots=True)
class Bake:
    """What a folder of layers holds. Frames are scene frames."""

    folder: Path
    first: int
    size: tuple[int, int]  # px
    settings: Mapping[str, Any]  # of the node, by name
    values: dict[int, Mapping[str, Any]] = field(default_factory=dict)  # merge parameters by frame

    @property
    def count(self) -> int:
        return len(self.values)

    def path_of(self, frame: int) -> Path:
        """File of a frame; of the empty ones for the frames just outside the range."""
        return self.folder / f"layer_{frame - self.first + 2:04d}.exr"

    def problem_at(self, frame: int) -> str:
        """Why the node can show nothing at this frame; empty where all is well."""
        if frame not in self.values:
            return (
                f"frame {frame} is not baked, {self.first}-{self.first + self.count - 1} are; bake "
                "again or choose the source Live"
            )
        if not self.path_of(frame).exists():
            return f"{self.path_of(frame)} is missing; bake again"
        return ""

    def changes_since(
        self, frame: int, values: Mapping[str, Any], settings: Mapping[str, Any]
    ) -> list[str]:
        """Names of parameters and settings that are no longer what the frame was baked with."""
        pairs = ((self.values[frame], values), (self.settings, settings))
        return [n for old, new in pairs for n in new if not _same(old.get(n), new[n])]

    def save(self) -> None:
        """Raises: OSError."""
        index = {
            "version": VERSION,
            "first": self.first,
            "size": list(self.size),
            "settings": dict(self.settings),
            "values": {str(frame): dict(values) for frame, values in self.values.items()},
        }
        part = self.folder / (INDEX_NAME + ".part")
        part.write_text(json.dumps(index, indent=1), encoding="utf-8")
        os.replace(part, self.folder / INDEX_NAME)


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, float) and isinstance(b, float):
        return abs(a - b) <= 1e-6 * max(1.0, abs(a))  # Blender's floats have seven digits
    return a == b


def load_bake(folder: Path) -> Bake:
    """Raises: SourceNotFound, ParameterError and FutureVersion, naming the folder."""
    path = folder / INDEX_NAME
    try:
        index = json.loads(path.read_text(encoding="utf-8"))
        if index["version"] > VERSION:
            raise FutureVersion(
                f"{path} has version {index['version']}, this FaceGraft reads up to {VERSION}; "
                "update the add-on"
            )
        width, height = index["size"]
        values = {int(frame): v for frame, v in index["values"].items()}
        return Bake(folder, int(index["first"]), (width, height), index["settings"], values)
    except OSError as error:
        raise SourceNotFound(f"nothing is baked in {folder}; press Bake") from error
    except FutureVersion:
        raise  # it is a ValueError too
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ParameterError(f"{path} is damaged ({error}); bake again") from error


def replace_folder(fresh: Path, folder: Path) -> None:
    """Put a finished bake where the earlier one was. Raises: OSError.

    A folder that holds anything but a bake is refused rather than removed.
    """
    if folder.exists():
        foreign = [p.name for p in folder.iterdir() if not _is_ours(p)]
        if foreign:
            raise OSError(
                f"{folder} holds {foreign[0]}, which no bake wrote; choose another folder"
            )
        shutil.rmtree(folder)
    os.replace(fresh, folder)


def _is_ours(path: Path) -> bool:
    return path.name == INDEX_NAME or (path.name.startswith("layer_") and path.suffix == ".exr")
