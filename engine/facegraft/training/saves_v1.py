"""Saves of format version 1, which FaceGraft 0.1 wrote: one safetensors file with all tensors.

    RUN/model.safetensors             the last save
    RUN/model.previous.safetensors    the one before
Tensors: `net.NAME`, `optimizer.NAME.STATE`, `crops.dst`; header and checksums lie in the file's
metadata. They are only read; two saves of the present form replace them. Torch-free.
"""

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from facegraft.errors import CheckpointError, FutureVersion

V1_NAMES = ("model.safetensors", "model.previous.safetensors")  # newest first
V1_DAMAGED_NAME = "model.damaged.safetensors"
_METADATA_KEY, _CRC_KEY = "facegraft_checkpoint", "crc32"


def v1_files(run_folder: Path) -> list[Path]:
    """Newest first."""
    return [run_folder / name for name in V1_NAMES if (run_folder / name).is_file()]


def read_v1_header(path: Path) -> tuple[dict[str, Any], dict[str, int]]:
    """Header, and CRC-32 by tensor. Raises: CheckpointError, FutureVersion."""
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
        header, crcs = json.loads(metadata[_METADATA_KEY]), json.loads(metadata[_CRC_KEY])
        version = header["version"]
    except KeyError as error:
        raise CheckpointError(f"{path} is not a checkpoint of FaceGraft ({error})") from error
    except (SafetensorError, OSError, ValueError, TypeError) as error:
        raise CheckpointError(f"{path} is damaged ({error})") from error
    if version > 1:
        raise FutureVersion(
            f"{path} has format version {version}, and 1 is known; update FaceGraft"
        )
    return header, crcs
