"""train_masks(): labelled faces in, a run folder with a trained mask network out.

The folder holds what a swap model's does (`loop.py`), and the same session trains it; loss.csv has
the columns loss and error, preview.png shows picture, label and prediction.
"""

import logging
import os
from collections.abc import Sequence
from pathlib import Path

import torch

from facegraft.controls import plain_values
from facegraft.errors import FacegraftError, OutOfMemory, ParameterError
from facegraft.faces.faceset import Faceset
from facegraft.progress import Progress, Silent
from facegraft.training.book import RunBook
from facegraft.training.checkpoint import load_checkpoint, set_damaged_aside
from facegraft.training.lock import lock_run
from facegraft.training.mask_params import MASK_NETWORK_ROWS, MaskTrainParams
from facegraft.training.mask_samples import labelled_faces
from facegraft.training.mask_trainer import MaskTrainer
from facegraft.training.memory import is_out_of_memory
from facegraft.training.restore import restore_group
from facegraft.training.run_params import changed
from facegraft.training.session import Ended, TrainResult, run_session, train_until_done
from facegraft.training.setup import choose_device, choose_precision

FEW = 8  # labels; fewer teach a clip's own pictures and little else

_log = logging.getLogger(__name__)


def train_masks(
    facesets: Sequence[Faceset],
    run_folder: Path,
    params: MaskTrainParams,
    progress: Progress | None = None,
    pretrained: Path | None = None,
) -> TrainResult:
    """Begin the run in `run_folder`, or go on with it, until its target or until stopped.

    `pretrained`: another mask run, or one save of it, whose weights a new run begins with.

    Raises: EmptyFaceset without labels, ParameterError for options that do not fit the run,
    BadAlignedImage, CheckpointError, WriteError (the last save stays), TrainingDiverged, RunInUse,
    OutOfMemory, Cancelled before the first iteration.
    """
    progress = progress or Silent()
    run_folder = Path(run_folder)
    with lock_run(run_folder):
        return train_until_done(
            lambda options, skip: _session(
                facesets, run_folder, options, progress, pretrained, skip
            ),
            run_folder,
            params,
            progress,
            _explained,
        )


def _session(
    facesets: Sequence[Faceset],
    run_folder: Path,
    params: MaskTrainParams,
    progress: Progress,
    pretrained: Path | None,
    skip: int,
) -> Ended[MaskTrainParams]:
    # 1. What is there already; a change of the network is refused before anything is written.
    resumed = load_checkpoint(run_folder, progress.note, skip=skip, table=MaskTrainParams)
    if resumed is not None:
        if pretrained is not None:
            raise ParameterError(
                f"{run_folder} is trained already (iteration {resumed.iteration}); pretrained "
                "weights begin a new run, name an empty folder"
            )
        params = changed(resumed.params, plain_values(params))
    labelled = labelled_faces([face for faces in facesets for face in faces], params.labels)
    if len(labelled) < FEW:
        progress.note(
            f"only {len(labelled)} faces are labelled; {FEW} or more, some with things in front of "
            "the face, generalise better"
        )
    if resumed is not None:
        set_damaged_aside(run_folder, resumed)
    device = choose_device(params)
    autocast = choose_precision(params, device)
    torch.set_num_threads(params.threads or os.cpu_count() or 1)
    _log.info("training on %s in %s, %d labels", device, autocast or torch.float32, len(labelled))

    # 2. The network, fresh from the seed, as it was saved, or from another run; the faces.
    with MaskTrainer(labelled, params, device, autocast, resumed) as trainer:
        if resumed is not None:
            for text in trainer.restore(resumed):
                progress.note(text)
        elif pretrained is not None:
            _take_weights(trainer, pretrained, progress)
        trainer.samples.load(progress)
        start = resumed.iteration if resumed else 0

        # 3. The iterations.
        with RunBook(run_folder, params, trainer, resumed, start, progress) as book:
            return run_session(trainer, book, run_folder, params, start, progress)


def _take_weights(trainer: MaskTrainer, pretrained: Path, progress: Progress) -> None:
    """Raises: CheckpointError, ParameterError where the networks differ."""
    found = load_checkpoint(pretrained, progress.note, {"net"}, table=MaskTrainParams)
    if found is None:
        raise ParameterError(f"{pretrained} holds no trained mask network; name a run or a save")
    for name in MASK_NETWORK_ROWS:
        theirs, ours = getattr(found.params, name), getattr(trainer.params, name)
        if theirs != ours and name != "face_type":
            raise ParameterError(
                f"{name} is {theirs} in {pretrained} and {ours} here; begin with --"
                f"{name.replace('_', '-')} {theirs}"
            )
    restore_group(found, "net", trainer.net)
    progress.note(f"begins with the weights of {pretrained}, iteration {found.iteration:,}")


def _explained(error: BaseException, params: MaskTrainParams) -> FacegraftError | None:
    if not is_out_of_memory(error):
        return None
    return OutOfMemory(
        f"the memory does not hold a batch of {params.batch_size} faces at {params.resolution} px; "
        "lower batch_size, or begin a run of lower resolution"
    )
