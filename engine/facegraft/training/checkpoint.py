"""The state of a run as one value, to disk and back; `saves.py` says how it lies there.

A group is a network's or an optimizer's tensors by name: "net", "optimizer", and where a run has
them "gan", "gan_optimizer", "code", "code_optimizer". Each is a safetensors file of the save; a
CRC-32 of every tensor is in save.json. Version 1, one file RUN/model.safetensors, is still read.
No random state is stored: every random choice of a run is a function of its seed and iteration.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, overload

from torch import Tensor

import facegraft
from facegraft.controls import parse_values, plain_values
from facegraft.errors import CheckpointError, FacegraftError, ParameterError, WriteError
from facegraft.training.mask_params import MaskTrainParams
from facegraft.training.params import TrainParams
from facegraft.training.run_params import P, read_params
from facegraft.training.save_tensors import read_group, read_v1, write_group
from facegraft.training.saves import (
    FORMAT_VERSION,
    HEADER_NAME,
    free_space_warning,
    list_saves,
    new_folder,
    next_save,
    read_header,
    remove_old_saves,
    set_newer_aside,
    write_header,
)
from facegraft.training.saves_v1 import v1_files

KEEP = 3  # saves; the last can be damaged or diverged, the one before be damaged too
_CROPS = "crops"  # file with the export's faces
# what a save is of, by its options' table: its name in the header, what it is called, its command
_KINDS = {
    TrainParams: ("swap", "a swap model", "facegraft train"),
    MaskTrainParams: ("mask", "a mask network", "facegraft mask train"),
}

Tensors = Mapping[str, Tensor]
Note = Callable[[str], None]


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint(Generic[P]):
    """What one save holds, of a swap model's run or of a mask network's.

    groups: tensors by group and name; on the CPU where they were read.
    crops:  (N, R, R, 3) uint8 RGB, real faces for the export's parity check: dst faces of a swap
            model. A mask network's one faceset is src here, and dst is empty.
    """

    params: P
    iteration: int  # finished ones
    seconds: float  # trained so far, all sessions together
    src_digest: str
    dst_digest: str
    last_loss: tuple[float, float]  # src, dst; of a mask network its loss and its error
    groups: Mapping[str, Tensors] = field(repr=False)
    crops: Tensor = field(repr=False)
    samplers: Mapping[str, Any] = field(default_factory=dict, repr=False)  # JSON values, by side
    faces: tuple[int, int] = (0, 0)  # in the facesets src and dst; 0: not known
    software: str = f"facegraft {facegraft.__version__}"  # what made it
    path: Path | None = None  # where it was read from


def save_checkpoint(run_folder: Path, checkpoint: Checkpoint, keep: int = KEEP) -> Path:
    """Write a save, remove those older than the last `keep`; the new save's folder.

    Raises: WriteError, with all older saves untouched.
    """
    files = {**checkpoint.groups, _CROPS: {"dst": checkpoint.crops}}
    header = {
        "version": FORMAT_VERSION,
        "kind": _KINDS[type(checkpoint.params)][0],
        "software": checkpoint.software,
        "params": plain_values(checkpoint.params),
        "iteration": checkpoint.iteration,
        "seconds": checkpoint.seconds,
        "src_digest": checkpoint.src_digest,
        "dst_digest": checkpoint.dst_digest,
        "faces": checkpoint.faces,
        "last_loss": checkpoint.last_loss,
        "samplers": checkpoint.samplers,
        "crc32": {},
    }
    path = next_save(run_folder, checkpoint.iteration)
    with new_folder(path) as folder:
        for name, tensors in files.items():
            header["crc32"][name] = write_group(folder, name, tensors)
        write_header(folder, header)
    remove_old_saves(run_folder, keep)
    return path


def try_save(run_folder: Path, checkpoint: Checkpoint, keep: int, note: Note) -> Path | None:
    """Save, or say loudly that it failed, so that training goes on and tries again later.

    After a good save `note` hears where the disk has no room for two more.
    """
    try:
        path = save_checkpoint(run_folder, checkpoint, keep)
    except WriteError as error:
        saves = [*map(str, list_saves(run_folder)[-1:]), *map(str, v1_files(run_folder)[:1])]
        kept = f"the save before, {saves[0]}, is untouched" if saves else "there is no save yet"
        note(
            f"WARNING: NOT SAVED at iteration {checkpoint.iteration:,}: {error}. Training goes on "
            f"and tries again at the next save; {kept}"
        )
        return None
    if warning := free_space_warning(run_folder, checkpoint_bytes(checkpoint)):
        note(warning)
    return path


def checkpoint_bytes(checkpoint: Checkpoint) -> int:
    """Size of a save on disk, to a few KiB."""
    tensors = [t for group in checkpoint.groups.values() for t in group.values()]
    return sum(t.numel() * t.element_size() for t in [*tensors, checkpoint.crops])


@overload
def load_checkpoint(
    path: Path, note: Note, groups: Collection[str] | None = None, skip: int = 0
) -> Checkpoint[TrainParams] | None: ...
@overload
def load_checkpoint(
    path: Path,
    note: Note,
    groups: Collection[str] | None = None,
    skip: int = 0,
    *,
    table: type[P],
) -> Checkpoint[P] | None: ...
def load_checkpoint(
    path: Path,
    note: Note,
    groups: Collection[str] | None = None,
    skip: int = 0,
    *,
    table: Any = TrainParams,
) -> Any:
    """The last whole save of the run at `path`, None where there is none; `note` hears of a
    fallback to an older one.

    path:   a run's folder, or one save or backup in it, or a file of version 1.
    groups: the ones to read, None: all.
    skip:   so many of the newest saves are passed over.
    table:  the kind of run.
    Raises: CheckpointError when no save reads, FutureVersion, ParameterError for another kind.
    """
    if path.is_file() or (path / HEADER_NAME).is_file():
        candidates = [path]
    else:
        candidates = [*reversed(list_saves(path)), *v1_files(path)]
    problems = []
    for candidate in candidates[skip:]:
        try:
            read = _read_v1 if candidate.is_file() else _read
            checkpoint = read(candidate, groups, table)
        except CheckpointError as error:
            problems.append(str(error))
            continue
        if problems:
            note(
                f"WARNING: {'; '.join(problems)}. Going on from the save before it, "
                f"{candidate.name}, at iteration {checkpoint.iteration:,}"
            )
        return checkpoint
    if problems:
        raise CheckpointError(
            "; ".join(problems) + ". No save of this run reads; restore one from a backup or train "
            "into a new folder"
        )
    return None


def table_of(save: Path) -> type[Any]:
    """The options' table of the kind of run that a save folder is of.

    Raises: CheckpointError, FutureVersion.
    """
    kind = read_header(save).get("kind", "swap")
    tables = {name: table for table, (name, _, _) in _KINDS.items()}
    if kind not in tables:
        raise CheckpointError(f"{save} is of the unknown kind {kind!r}; update FaceGraft")
    return tables[kind]


def set_damaged_aside(run_folder: Path, checkpoint: Checkpoint) -> None:
    """Before going on from `checkpoint`: put newer saves, damaged or diverged, out of the way."""
    if checkpoint.path is not None:
        set_newer_aside(run_folder, checkpoint.path)


def run_params(run_folder: Path, note: Note, table: type[P] = TrainParams) -> P | None:
    """The options that a run goes on with: its params.toml, which people may edit, or its save's.

    None where there is no run. Raises: ParameterError, CheckpointError, FutureVersion.
    """
    params = read_params(run_folder, table)
    if params is not None:
        return params
    checkpoint = load_checkpoint(run_folder, note, (), table=table)
    return None if checkpoint is None else checkpoint.params


def _read(path: Path, groups: Collection[str] | None, table: type[P]) -> Checkpoint[P]:
    """Raises: CheckpointError naming file and reason, FutureVersion, ParameterError."""
    header = read_header(path)
    _check_kind(path, header.get("kind", "swap"), table)
    try:
        wanted = [name for name in header["crc32"] if name != _CROPS]
        wanted = [name for name in wanted if groups is None or name in groups]
        found = {name: read_group(path, name, header["crc32"]) for name in [*wanted, _CROPS]}
        crops = found.pop(_CROPS)["dst"]
        return _checkpoint(header, found, crops, path, table)
    except (KeyError, ValueError, TypeError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(f"{path / HEADER_NAME} lacks or garbles {error}") from error


def _check_kind(path: Path, kind: str, table: type) -> None:
    """Raises: ParameterError where a save is of another kind of run."""
    if kind == _KINDS[table][0]:
        return
    _, wanted, _ = _KINDS[table]
    for name, found, command in _KINDS.values():
        if name == kind:
            raise ParameterError(
                f"{path} is a save of {found}, and {wanted} is wanted here; go on with it by "
                f"`{command}`, or name another folder"
            )
    raise ParameterError(f"{path} is a save of the unknown kind {kind!r}; update FaceGraft")


def _checkpoint(
    header: Mapping[str, Any],
    groups: Mapping[str, Tensors],
    crops: Tensor,
    path: Path,
    table: type[P],
) -> Checkpoint[P]:
    src_loss, dst_loss = header["last_loss"]
    src_faces, dst_faces = header.get("faces", (0, 0))  # version 1 does not know
    return Checkpoint(
        params=parse_values(table, header["params"]),
        iteration=int(header["iteration"]),
        seconds=float(header["seconds"]),
        src_digest=str(header["src_digest"]),
        dst_digest=str(header["dst_digest"]),
        last_loss=(float(src_loss), float(dst_loss)),
        groups=groups,
        crops=crops,
        samplers=header.get("samplers", {}),
        faces=(int(src_faces), int(dst_faces)),
        software=str(header["software"]),
        path=path,
    )


def _read_v1(path: Path, groups: Collection[str] | None, table: type[P]) -> Checkpoint[P]:
    _check_kind(path, "swap", table)
    try:
        header, found, crops = read_v1(path, groups)
        return _checkpoint(header, found, crops, path, table)
    except (KeyError, ValueError, TypeError) as error:
        if isinstance(error, FacegraftError):
            raise
        raise CheckpointError(f"{path} lacks or garbles {error}") from error
