"""A trained XSeg network of DeepFaceLab into a new mask run, to train further, apply and export."""

from dataclasses import replace
from pathlib import Path

import torch

from facegraft.controls import parse_values
from facegraft.dfl.model_files import read_arrays
from facegraft.dfl.xseg import convert_xseg, find_xseg
from facegraft.errors import ParameterError
from facegraft.files import write_atomic
from facegraft.model_spec import FaceType
from facegraft.models.mask_build import build_mask_net
from facegraft.models.xseg import RESOLUTION
from facegraft.training.checkpoint import Checkpoint, save_checkpoint
from facegraft.training.mask_params import MASK_PRESETS, MaskPreset, MaskTrainParams
from facegraft.training.run_params import PARAMS_NAME, to_toml
from facegraft.training.saves import list_saves

CROPS = 2  # drawn ones for the export's parity check; DeepFaceLab keeps no pictures with XSeg


def import_xseg(source: Path, run_folder: Path, face_type: FaceType) -> Path:
    """The weights of `source`, a file or the folder that holds it, as a run's first save; the file.

    Raises: DflFormatError (missing, damaged, of another shape, or asks to run something),
    ParameterError where the run folder holds a run already, WriteError.
    """
    if (run_folder / PARAMS_NAME).exists() or list_saves(run_folder):
        raise ParameterError(f"{run_folder} holds a run already; import into a new folder")
    path = find_xseg(Path(source))
    params = parse_values(MaskTrainParams, dict(MASK_PRESETS[MaskPreset.XSEG]))
    params = replace(params, face_type=face_type, resolution=RESOLUTION)
    with torch.device("meta"):  # names and shapes alone
        net = build_mask_net(params.network, params.resolution)
    shapes = {name: tuple(value.shape) for name, value in net.named_parameters()}
    weights = convert_xseg(read_arrays(path), shapes, str(path))
    crops = torch.randint(
        256, (CROPS, RESOLUTION, RESOLUTION, 3), generator=torch.Generator().manual_seed(0)
    ).byte()
    groups = {"net": {name: torch.from_numpy(value) for name, value in weights.items()}}
    save_checkpoint(
        run_folder,
        Checkpoint(
            params=params, iteration=0, seconds=0.0, src_digest="", dst_digest="",
            last_loss=(float("nan"), float("nan")), groups=groups, crops=crops,
        ),
    )  # fmt: skip
    write_atomic(run_folder / PARAMS_NAME, to_toml(params).encode())
    return path
