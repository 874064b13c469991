"""The tensors of a save: a safetensors file for each group, and a CRC-32 of every tensor."""

import zlib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from facegraft.errors import CheckpointError, WriteError
from facegraft.training.saves import SUFFIX
from facegraft.training.saves_v1 import read_v1_header

Sums = Mapping[str, int]  # CRC-32 by tensor


def write_group(folder: Path, group: str, tensors: Mapping[str, Tensor]) -> dict[str, int]:
    """Write FOLDER/GROUP.safetensors; the sums of its tensors. Raises: WriteError."""
    # dense in row order, whatever the training's memory format; copied from the GPU a group at a
    # time
    dense = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    path = folder / f"{group}{SUFFIX}"
    try:
        save_file(dense, path)
    except SafetensorError as error:  # how it reports a full disk
        raise WriteError(f"cannot write {path}: {error}; free space") from error
    return {name: _crc(value) for name, value in dense.items()}


def read_group(folder: Path, group: str, sums: Mapping[str, Sums]) -> dict[str, Tensor]:
    """The group's tensors on the CPU. Raises: CheckpointError for damage, with the reason."""
    path = folder / f"{group}{SUFFIX}"
    tensors = _read(path)
    _check_sums(path, tensors, sums[group])
    return tensors


def read_v1(
    path: Path, groups: Collection[str] | None
) -> tuple[dict[str, Any], dict[str, dict[str, Tensor]], Tensor]:
    """Header, groups (None: all) and crops of a file of version 1. Raises: CheckpointError,
    FutureVersion.
    """
    header, sums = read_v1_header(path)
    tensors = _read(path)
    _check_sums(path, tensors, sums)
    found = {
        group: {
            name.removeprefix(f"{group}."): value
            for name, value in tensors.items()
            if name.startswith(f"{group}.")
        }
        for group in ("net", "optimizer")
        if groups is None or group in groups
    }
    return header, found, tensors["crops.dst"]


def _read(path: Path) -> dict[str, Tensor]:
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is damaged ({error})") from error


def _check_sums(path: Path, tensors: Mapping[str, Tensor], sums: Sums) -> None:
    for name in sorted(tensors.keys() | sums.keys()):
        if name not in tensors or sums.get(name) != _crc(tensors[name]):
            raise CheckpointError(f"{path} is damaged (tensor {name} fails its checksum)")


def _crc(value: Tensor) -> int:
    return zlib.crc32(value.reshape(-1).view(torch.uint8).numpy().data)
