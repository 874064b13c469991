"""A mask run's network outside of its training: as an ONNX file, or to ask it at once."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from facegraft.errors import CheckpointError
from facegraft.model_spec import FaceType
from facegraft.models.export_mask import export_mask_net
from facegraft.models.mask_build import build_mask_net
from facegraft.segment import METADATA_KEY
from facegraft.training.checkpoint import Checkpoint, load_checkpoint
from facegraft.training.mask_params import MaskTrainParams
from facegraft.training.params import Device
from facegraft.training.restore import restore_group
from facegraft.training.setup import choose_device


@dataclass(frozen=True, slots=True)
class ExportedMask:
    """What went into a file, and how well."""

    iterations: int
    difference: float  # largest absolute one between file and network, masks being 0..1
    crop_count: int  # faces it was measured on


def export_mask_run(
    run_folder: Path, output: Path, note: Callable[[str], None], name: str = "", licence: str = ""
) -> ExportedMask:
    """Write the run's last save as ONNX. Raises: CheckpointError, ParityError, WriteError."""
    net, checkpoint = load_mask_net(run_folder, note)
    said = {
        "face_type": checkpoint.params.face_type.value,
        "name": name or run_folder.stem,
        "licence": licence,
        "iterations": checkpoint.iteration,
        "labels": checkpoint.faces[0],
        "software": checkpoint.software,
    }
    crops = checkpoint.crops.numpy().astype(np.float32) / 255
    difference = export_mask_net(net, {METADATA_KEY: json.dumps(said)}, output, crops)
    return ExportedMask(checkpoint.iteration, difference, len(crops))


def load_mask_net(
    run_folder: Path, note: Callable[[str], None]
) -> tuple[nn.Module, Checkpoint[MaskTrainParams]]:
    """The network of the last good save. Raises: CheckpointError, ParameterError for another kind
    of run."""
    checkpoint = load_checkpoint(run_folder, note, {"net"}, table=MaskTrainParams)
    if checkpoint is None:
        raise CheckpointError(
            f"{run_folder} holds no trained mask network; make one with `facegraft mask train`"
        )
    net = build_mask_net(checkpoint.params.network, checkpoint.params.resolution)
    restore_group(checkpoint, "net", net)
    return net.eval(), checkpoint


class RunMasker:
    """A run's network where a segmenter is wanted (`sets.masks.Masker`)."""

    def __init__(self, run_folder: Path, note: Callable[[str], None], threads: int = 0) -> None:
        """Raises: as `load_mask_net`."""
        self._net, checkpoint = load_mask_net(run_folder, note)
        self.size: int = checkpoint.params.resolution
        self.face_type: FaceType = checkpoint.params.face_type
        self.name = f"run {run_folder.name}, iteration {checkpoint.iteration}"
        self._device = choose_device(MaskTrainParams(device=Device.AUTO))
        self._net.to(self._device)
        if threads:
            torch.set_num_threads(threads)

    @torch.no_grad()
    def segment_batch(self, squares: np.ndarray) -> np.ndarray:
        """(N, S, S, 3) float32 RGB 0..1 to (N, S, S) float32 0..1."""
        pictures = torch.from_numpy(np.ascontiguousarray(squares.transpose(0, 3, 1, 2)))
        return self._net(pictures.to(self._device)).sigmoid()[:, 0].cpu().numpy()
