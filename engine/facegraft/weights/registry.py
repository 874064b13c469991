"""The table of weight files, the folders they live in, and whether they are there and whole.

Networks of our own converter lie in `data_folder()` beside a manifest that keeps their digests;
those of the face-alignment library lie where torch hub looks for them, under names that end in
the first digits of their sha256.
"""

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from facegraft.errors import BadWeights, MissingWeights
from facegraft.files import user_data_folder

MANIFEST = "manifest.json"
MANIFEST_VERSION = 1
CONVERTER_VERSION = 1  # raise when the converter writes other files; installed ones are remade
_FETCH = "Run: facegraft weights fetch"
_APACHE = "Apache-2.0, MediaPipe authors (converted to ONNX by FaceGraft)"
_FAN = "code BSD-3-Clause; the package states no terms for the weights"


class State(StrEnum):
    INSTALLED = "installed"
    MISSING = "missing"
    DAMAGED = "damaged"
    OUTDATED = "outdated"


@dataclass(frozen=True, slots=True)
class WeightFile:
    """One row: `digest` is the sha256 of the original .tflite, or the start of the file's own."""

    name: str
    file_name: str
    size: int  # bytes, rounded; shown to the user before a transfer
    use: str
    licence: str
    digest: str
    original: str = ""  # path inside the wheel that it is converted from
    url: str = ""  # where its authors publish it, for what is taken as it is

    @property
    def is_converted(self) -> bool:
        return bool(self.original)


WEIGHTS = (
    WeightFile(
        "face_det_full",
        "face_det_full.onnx",
        2_100_000,
        "finds faces (BlazeFace, full range)",
        _APACHE,
        "2c3728e6da56f21e21a320433396fb06d40d9088f2247c05e5635a688d45dfe1",
        "mediapipe/modules/face_detection/face_detection_full_range_sparse.tflite",
    ),
    WeightFile(
        "face_mesh_attn",
        "face_mesh_attn.onnx",
        4_800_000,
        "478 landmarks (face mesh with attention)",
        _APACHE,
        "e06a804e0144f9929eda782122916b35d60c697c3c9344013ca2bbe76a6ce2b4",
        "mediapipe/modules/face_landmark/face_landmark_with_attention.tflite",
    ),
    WeightFile(
        "fan_2d",
        "2DFAN4-11f355bf06.pth.tar",
        95_900_000,
        "68 landmarks for --backend face-alignment",
        _FAN,
        "11f355bf06",
        url="https://www.adrianbulat.com/downloads/python-fan/2DFAN4-11f355bf06.pth.tar",
    ),
)


@dataclass(frozen=True, slots=True)
class WeightStatus:
    file: WeightFile
    path: Path
    state: State


def data_folder() -> Path:
    """Where our networks live: FACEGRAFT_DATA, else "facegraft/weights" in the user's data."""
    named = os.environ.get("FACEGRAFT_DATA")
    if named:
        return Path(named).expanduser()
    return user_data_folder() / "weights"


def checkpoints_folder() -> Path:
    """Where torch hub, and so face-alignment, looks for downloaded files."""
    home = os.environ.get("TORCH_HOME")
    if not home:
        home = os.path.join(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "torch")
    return Path(home).expanduser() / "hub" / "checkpoints"


def find(name: str) -> WeightFile:
    """The row of that name. Raises: MissingWeights for an unknown one."""
    for file in WEIGHTS:
        if name == file.name:
            return file
    known = ", ".join(file.name for file in WEIGHTS)
    raise MissingWeights(f"no weight file is called {name!r}; known are {known}")


def path_of(file: WeightFile, folder: Path | None = None) -> Path:
    """Where the file belongs, whether it is there or not."""
    if file.is_converted:
        return (folder or data_folder()) / file.file_name
    return checkpoints_folder() / file.file_name


def require(name: str, folder: Path | None = None) -> Path:
    """The path of an installed file. Raises: MissingWeights, with the command that installs it."""
    file = find(name)
    path = path_of(file, folder)
    if path.is_file():
        return path
    if file.is_converted:
        raise MissingWeights(f"{file.file_name} is not in {path.parent}. {_FETCH}")
    raise MissingWeights(
        f"{file.file_name} ({file.size / 1e6:.0f} MB) is not in {path.parent}. "
        f"Run: facegraft weights fetch {name}; or get {file.url} on any machine and run: "
        f"facegraft weights import {file.file_name}"
    )


def list_weights(folder: Path | None = None) -> list[WeightStatus]:
    """Every known file and whether it is there; nothing is hashed."""
    return [_status(file, folder, hashed=False) for file in WEIGHTS]


def verify(folder: Path | None = None) -> list[WeightStatus]:
    """Every known file, the present ones compared with their sha256."""
    return [_status(file, folder, hashed=True) for file in WEIGHTS]


def _status(file: WeightFile, folder: Path | None, hashed: bool) -> WeightStatus:
    path = path_of(file, folder)
    if not path.is_file():
        return WeightStatus(file, path, State.MISSING)
    if not file.is_converted:
        whole = not hashed or sha256_of(path).startswith(file.digest)
        return WeightStatus(file, path, State.INSTALLED if whole else State.DAMAGED)
    try:
        entry = read_manifest(path.parent).get(file.name, {})
    except BadWeights:
        return WeightStatus(file, path, State.DAMAGED)
    if entry.get("original_sha256") != file.digest or entry.get("converter") != CONVERTER_VERSION:
        return WeightStatus(file, path, State.OUTDATED)
    whole = not hashed or sha256_of(path) == entry.get("sha256")
    return WeightStatus(file, path, State.INSTALLED if whole else State.DAMAGED)


def read_manifest(folder: Path) -> Mapping[str, Mapping[str, Any]]:
    """Entries by name; empty where there is no manifest. Raises: BadWeights if it is unreadable."""
    path = folder / MANIFEST
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["version"] != MANIFEST_VERSION:
            raise ValueError(f"version {content['version']}, this FaceGraft reads 1")
        return content["files"]
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError) as error:
        raise BadWeights(f"{path} cannot be read ({error}). {_FETCH} --force") from error


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digits_in_name(file_name: str) -> str:
    """The hex digits that torch hub puts before the suffix; '' where there are none."""
    match = re.search(r"-([0-9a-f]{8,64})\.", file_name)
    return match.group(1) if match else ""
