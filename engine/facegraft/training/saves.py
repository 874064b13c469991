"""The folders that hold a run's saves. Torch-free: naming, order, headers, removal, free space.

    RUN/saves/000012_00340000/    save number 12, made at iteration 340,000
        net.safetensors, optimizer.safetensors, ...   one file per group of tensors
        save.json                 all else, with a checksum of itself and of every tensor
A save is written into a hidden folder beside the others, every file is flushed to the disk, and the
folder is renamed. So a save with a proper name is whole, and at every moment the last one exists.
Saves are never changed afterwards, so backups can be hard links to their files.

Names begin with the save's number and not with its iteration, because iterations do not always
grow: two saves can share one, a roll-back returns to an earlier one, and pretraining ends at 0.
"""

import json
import logging
import os
import re
import shutil
import tempfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from facegraft.errors import CheckpointError, FutureVersion, WriteError
from facegraft.files import write_error
from facegraft.training.saves_v1 import V1_DAMAGED_NAME, V1_NAMES

FORMAT_VERSION = 2
SAVES_FOLDER = "saves"
HEADER_NAME = "save.json"
SUFFIX = ".safetensors"
DAMAGED_SUFFIX = ".damaged"
_HIDDEN = ".unfinished."  # prefix of a folder that is being written or removed
_NAME = re.compile(r"(\d{6,})_(\d{8,})")

_log = logging.getLogger(__name__)


def list_saves(run_folder: Path) -> list[Path]:
    """Folders of the saves, oldest first; those of format version 1 are not among them."""
    folder = run_folder / SAVES_FOLDER
    if not folder.is_dir():
        return []
    return sorted((p for p in folder.iterdir() if _NAME.fullmatch(p.name)), key=save_number)


def save_number(path: Path) -> int:
    """Number of a save folder, of a damaged one too; 0 where the name is none of ours."""
    match = _NAME.match(path.name)
    return int(match[1]) if match else 0


def saved_iteration(path: Path) -> int:
    """Iteration in a save folder's name. Raises: ValueError for another name."""
    match = _NAME.match(path.name)
    if match is None:
        raise ValueError(f"{path} is not named as a save")
    return int(match[2])


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Give a hidden folder beside `path`; on leaving without an error it becomes `path`.

    Its files and both folders are flushed to disk. Raises: WriteError, and then nothing is left.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(path.parent)
        hidden = Path(tempfile.mkdtemp(prefix=_HIDDEN, dir=path.parent))
        hidden.chmod(path.parent.stat().st_mode)  # mkdtemp makes folders private
    except OSError as error:
        raise write_error(path, error) from error
    try:
        yield hidden
        for file in hidden.iterdir():
            _flush(file)
        _flush(hidden)
        os.rename(hidden, path)
        _flush(path.parent)
    except OSError as error:
        shutil.rmtree(hidden, ignore_errors=True)
        if isinstance(error, WriteError):
            raise
        raise write_error(path, error) from error
    except BaseException:
        shutil.rmtree(hidden, ignore_errors=True)
        raise


def next_save(run_folder: Path, iteration: int) -> Path:
    """The name that a new save takes."""
    folder = run_folder / SAVES_FOLDER
    numbers = [save_number(path) for path in folder.iterdir()] if folder.is_dir() else []
    return folder / f"{max(numbers, default=0) + 1:06d}_{iteration:08d}"


def remove_old_saves(run_folder: Path, keep: int) -> None:
    """Keep the last `keep` saves; damaged ones and those of version 1 count as older.

    What can not be removed now, such as a file that Windows holds open, goes with a later save.
    """
    saves = list_saves(run_folder)
    if len(saves) < min(keep, 2):  # a save of version 1 stays until two of ours exist
        return
    oldest = save_number(saves[-min(keep, len(saves))])
    folder = run_folder / SAVES_FOLDER
    damaged = [p for p in folder.iterdir() if p.name.endswith(DAMAGED_SUFFIX)]
    for path in saves + damaged:
        if save_number(path) < oldest:
            remove_folder(path)
    for name in (*V1_NAMES, V1_DAMAGED_NAME):
        (run_folder / name).unlink(missing_ok=True)


def set_newer_aside(run_folder: Path, path: Path) -> None:
    """Going on from the save at `path`: rename newer ones, which are damaged or have diverged.

    So resuming never picks them and they never count among the saves to keep.
    """
    if path.parent == run_folder:
        newest = run_folder / V1_NAMES[0]
        if path.name == V1_NAMES[1] and newest.exists():
            os.replace(newest, run_folder / V1_DAMAGED_NAME)
    elif path.parent != run_folder / SAVES_FOLDER:
        return
    for save in list_saves(run_folder):
        if save_number(save) > save_number(path):
            os.rename(save, save.with_name(save.name + DAMAGED_SUFFIX))


def remove_folder(path: Path) -> None:
    """Remove a save such that a half removed one is never taken for a save."""
    hidden = path.with_name(_HIDDEN + path.name)
    try:
        os.rename(path, hidden)
        shutil.rmtree(hidden)
    except OSError as error:
        _log.warning("cannot remove the old save %s: %s", path, error)


def remove_leftovers(folder: Path) -> None:
    """What a killed process has left half written or half removed."""
    for path in folder.glob(f"{_HIDDEN}*"):
        shutil.rmtree(path, ignore_errors=True)


def _flush(path: Path) -> None:
    if path.is_dir():
        if os.name == "nt":  # folders can not be opened there, and renames are journalled
            return
        handle = os.open(path, os.O_RDONLY)
    else:
        handle = os.open(path, os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_header(folder: Path, header: Mapping[str, Any]) -> None:
    """`header` holds JSON values; NaN, as a loss before the first iteration is, may be one."""
    plain = json.loads(json.dumps(header))  # as it will be read: keys are texts, tuples are lists
    text = json.dumps({"crc32": _crc(plain), "save": plain}, indent=1)
    (folder / HEADER_NAME).write_text(text, encoding="utf-8")


def read_header(save: Path) -> dict[str, Any]:
    """Raises: CheckpointError naming file and reason, FutureVersion."""
    path = save / HEADER_NAME
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        header, crc = content["save"], content["crc32"]
        version = header["version"]
    except FileNotFoundError as error:
        raise CheckpointError(f"{save} is not a save of FaceGraft (no {HEADER_NAME})") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path} is damaged ({error})") from error
    if version > FORMAT_VERSION:
        raise FutureVersion(
            f"{save} has format version {version}, this FaceGraft reads up to {FORMAT_VERSION}; "
            "update FaceGraft"
        )
    if crc != _crc(header):
        raise CheckpointError(f"{path} is damaged (it fails its checksum)")
    return header


def _crc(header: Mapping[str, Any]) -> int:
    return zlib.crc32(json.dumps(header, sort_keys=True).encode())


def free_space_warning(run_folder: Path, bytes_needed: int) -> str | None:
    """A sentence where fewer than two more saves of `bytes_needed` fit on the run's disk.

    Two, because an old save is removed only after the new one is whole.
    """
    place = run_folder
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if free >= 2 * bytes_needed:
        return None
    return (
        f"WARNING: the disk of {run_folder} has {_size(free)} free and one save needs "
        f"{_size(bytes_needed)}; make room for two, or saving will fail"
    )


def _size(count: int) -> str:
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.0f} MiB"
