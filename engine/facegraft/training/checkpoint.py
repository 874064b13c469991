"""A run on disk: one safetensors file with networks, optimizer state and all that resuming needs.

    RUN/model.safetensors             the last save
    RUN/model.previous.safetensors    the one before, taken when the last one does not read
Tensors: `net.NAME`, `optimizer.NAME.STATE`, `crops.dst`; the header's metadata holds one JSON with
format version, options, iteration and digests, and a CRC-32 of every tensor. A save is written
beside the file, flushed, then renamed over it, so at every moment at least one whole save exists.
No random state is stored: every random choice of a run is a function of its seed and iteration.
"""

import json
import os
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

import facegraft
from facegraft.controls import parse_values, plain_values
from facegraft.errors import CheckpointError, FutureVersion, WriteError
from facegraft.files import atomic_path
from facegraft.training.params import TrainParams
from facegraft.training.run_params import read_params

FORMAT_VERSION = 1
CHECKPOINT_NAME = "model.safetensors"
PREVIOUS_NAME = "model.previous.safetensors"
DAMAGED_NAME = "model.damaged.safetensors"
_METADATA_KEY = "facegraft_checkpoint"
_CRC_KEY = "crc32"


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """What one save holds.

    net, optimizer: tensors by name, on the CPU.
    crops:          (N, R, R, 3) uint8 RGB, real dst faces for the export's parity check.
    """

    params: TrainParams
    iteration: int  # finished ones
    seconds: float  # trained so far, all sessions together
    src_digest: str
    dst_digest: str
    last_loss: tuple[float, float]  # src, dst
    net: Mapping[str, Tensor] = field(repr=False)
    optimizer: Mapping[str, Tensor] = field(repr=False)
    crops: Tensor = field(repr=False)
    software: str = f"facegraft {facegraft.__version__}"  # what made it
    path: Path | None = None  # where it was read from


def save_checkpoint(run_folder: Path, checkpoint: Checkpoint) -> None:
    """Write the save, keep the one before. Raises: WriteError, with the last save untouched."""
    tensors = {f"net.{name}": value for name, value in checkpoint.net.items()}
    tensors |= {f"optimizer.{name}": value for name, value in checkpoint.optimizer.items()}
    tensors["crops.dst"] = checkpoint.crops
    # dense in row order, whatever the training's memory format
    tensors = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    header = {
        "version": FORMAT_VERSION,
        "software": checkpoint.software,
        "params": plain_values(checkpoint.params),
        "iteration": checkpoint.iteration,
        "seconds": checkpoint.seconds,
        "src_digest": checkpoint.src_digest,
        "dst_digest": checkpoint.dst_digest,
        "last_loss": checkpoint.last_loss,
    }
    metadata = {
        _METADATA_KEY: json.dumps(header),
        _CRC_KEY: json.dumps({name: _crc(value) for name, value in tensors.items()}),
    }
    path = run_folder / CHECKPOINT_NAME
    _remove_leftovers(run_folder)
    with atomic_path(path) as temporary:
        try:
            save_file(tensors, temporary, metadata)
        except SafetensorError as error:  # how it reports a full disk
            raise WriteError(
                f"cannot write {path}: {error}; free space, then resume: the save before is kept"
            ) from error
        _keep_previous(path, run_folder / PREVIOUS_NAME)


def _crc(value: Tensor) -> int:
    return zlib.crc32(value.reshape(-1).view(torch.uint8).numpy().data)


def _keep_previous(path: Path, previous: Path) -> None:
    if not path.exists() or (previous.exists() and path.samefile(previous)):
        return  # nothing yet, or a save that was killed right here has done it
    link = previous.with_suffix(".link")
    try:  # a second name for the same file: no moment without a save
        link.unlink(missing_ok=True)
        os.link(path, link)
        os.replace(link, previous)
    except OSError:  # a file system without hard links
        os.replace(path, previous)


def _remove_leftovers(run_folder: Path) -> None:
    """Temporary files of saves that were killed; `atomic_path` names them so."""
    for path in run_folder.glob(f".{Path(CHECKPOINT_NAME).stem}.*.safetensors"):
        path.unlink(missing_ok=True)


def load_checkpoint(run_folder: Path, note: Callable[[str], None]) -> Checkpoint | None:
    """The last whole save of a run, None where there is none yet; `note` hears of a fallback.

    `run_folder` may also be a checkpoint file. Raises: CheckpointError when no save reads,
    FutureVersion.
    """
    if run_folder.is_file():
        candidates = [run_folder]
    else:
        names = (CHECKPOINT_NAME, PREVIOUS_NAME)
        candidates = [run_folder / n for n in names if (run_folder / n).exists()]
    problems = []
    for path in candidates:
        try:
            checkpoint = _read(path)
        except CheckpointError as error:
            problems.append(str(error))
            continue
        if problems:
            note(
                f"WARNING: {problems[0]}. Going on from the save before it, {path.name}, at "
                f"iteration {checkpoint.iteration}"
            )
        return checkpoint
    if problems:
        raise CheckpointError(
            "; ".join(problems) + ". No save of this run reads; restore one from a backup or train "
            "into a new folder"
        )
    return None


def run_params(run_folder: Path, note: Callable[[str], None]) -> TrainParams | None:
    """The options that a run goes on with: its params.toml, which people may edit, or its save's.

    None where there is no run. Raises: ParameterError, CheckpointError, FutureVersion.
    """
    params = read_params(run_folder)
    if params is None and (checkpoint := load_checkpoint(run_folder, note)) is not None:
        params = checkpoint.params
    return params


def set_damaged_aside(run_folder: Path, checkpoint: Checkpoint) -> None:
    """After a fallback: rename the damaged save, so that it never replaces the good one."""
    damaged = run_folder / CHECKPOINT_NAME
    if checkpoint.path == run_folder / PREVIOUS_NAME and damaged.exists():
        os.replace(damaged, run_folder / DAMAGED_NAME)


def _read(path: Path) -> Checkpoint:
    """Raises: CheckpointError naming file and reason, FutureVersion."""
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            metadata = file.metadata() or {}
            header: dict[str, Any] = json.loads(metadata[_METADATA_KEY])
            if header["version"] > FORMAT_VERSION:
                raise FutureVersion(
                    f"{path} has format version {header['version']}, this FaceGraft reads up to "
                    f"{FORMAT_VERSION}; update FaceGraft"
                )
            crcs: dict[str, int] = json.loads(metadata[_CRC_KEY])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FutureVersion:
        raise
    except KeyError as error:
        raise CheckpointError(f"{path} is not a checkpoint of FaceGraft ({error})") from error
    except (SafetensorError, OSError, ValueError, TypeError) as error:
        raise CheckpointError(f"{path} is damaged ({error})") from error
    for name, value in tensors.items():
        if crcs.get(name) != _crc(value):
            raise CheckpointError(f"{path} is damaged (tensor {name} fails its checksum)")
    try:
        src_loss, dst_loss = header["last_loss"]
        return Checkpoint(
            params=parse_values(TrainParams, header["params"]),
            iteration=int(header["iteration"]),
            seconds=float(header["seconds"]),
            src_digest=str(header["src_digest"]),
            dst_digest=str(header["dst_digest"]),
            last_loss=(float(src_loss), float(dst_loss)),
            net=_part(tensors, "net."),
            optimizer=_part(tensors, "optimizer."),
            crops=tensors["crops.dst"],
            software=str(header["software"]),
            path=path,
        )
    except (KeyError, ValueError, TypeError) as error:
        raise CheckpointError(f"{path} lacks or garbles {error}") from error


def _part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}


def optimizer_tensors(optimizer: torch.optim.Optimizer, net: nn.Module) -> dict[str, Tensor]:
    """The optimizer's state as tensors named PARAMETER.STATE."""
    return {
        f"{name}.{key}": value
        for name, parameter in net.named_parameters()
        for key, value in optimizer.state.get(parameter, {}).items()
    }


def restore(
    checkpoint: Checkpoint, net: nn.Module, optimizer: torch.optim.Optimizer | None = None
) -> None:
    """Put weights, and optimizer state and step where given, back in place.

    Raises: CheckpointError when names or shapes do not fit.
    """
    _require_equal_shapes(checkpoint, net)
    net.load_state_dict(dict(checkpoint.net))
    if optimizer is None:
        return
    for group in optimizer.param_groups:
        group["step"] = checkpoint.iteration
    parameters = dict(net.named_parameters())
    for name, value in checkpoint.optimizer.items():
        owner, _, key = name.rpartition(".")
        parameter = parameters.get(owner)
        if parameter is None or parameter.shape != value.shape:
            raise CheckpointError(f"optimizer state {name} does not fit the networks")
        # in the parameter's own memory format, as the optimizer made it
        optimizer.state[parameter][key] = torch.empty_like(parameter).copy_(value)


def _require_equal_shapes(checkpoint: Checkpoint, net: nn.Module) -> None:
    wanted = {name: tuple(value.shape) for name, value in net.state_dict().items()}
    found = {name: tuple(value.shape) for name, value in checkpoint.net.items()}
    for name in sorted(wanted.keys() | found.keys()):
        if wanted.get(name) != found.get(name):
            raise CheckpointError(
                f"the save's {name} has shape {found.get(name)}, the network's "
                f"{wanted.get(name)}; the file belongs to another architecture"
            )
