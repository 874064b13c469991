"""A run folder to one .dfm file: the last good save, its record, and the check on its own faces."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from facegraft.errors import CheckpointError
from facegraft.model_spec import ModelRecord
from facegraft.models.build import build
from facegraft.models.export import export_dfm
from facegraft.training.checkpoint import load_checkpoint
from facegraft.training.restore import restore_group


@dataclass(frozen=True, slots=True)
class Exported:
    """What went into a file, and how well."""

    iterations: int
    difference: float  # largest absolute one between file and network, outputs being 0..1
    crop_count: int  # dst faces it was measured on


def export_run(
    run_folder: Path, output: Path, record: ModelRecord, note: Callable[[str], None]
) -> Exported:
    """Write the run's model to `output`; `record` gains what the run knows of itself.

    Raises: CheckpointError without a usable save, ParityError, ParameterError, WriteError.
    """
    checkpoint = load_checkpoint(run_folder, note, {"net"})
    if checkpoint is None:
        raise CheckpointError(
            f"{run_folder} holds no trained model; make one with `facegraft train`"
        )
    net = build(checkpoint.params.spec)
    restore_group(checkpoint, "net", net)
    record = replace(
        record,
        name=record.name or run_folder.stem,
        src_digest=checkpoint.src_digest,
        iterations=checkpoint.iteration,
        software=checkpoint.software,
    )
    crops = checkpoint.crops.numpy().astype("float32") / 255
    difference = export_dfm(net, checkpoint.params.spec, record, output, crops)
    return Exported(checkpoint.iteration, difference, len(crops))
