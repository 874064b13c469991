"""train(): two facesets in, a run folder with a trained model out. Read it from top to bottom.

    RUN/params.toml         every option of the run; may be edited while it trains
    RUN/saves/              networks, optimizers, progress: the last few saves (`checkpoint.py`)
    RUN/backups/            older ones, by age (`snapshots.py`)
    RUN/preview.png         what the model makes of four faces of each side
    RUN/history/            earlier previews, on request
    RUN/loss.csv, loss.png  the losses of every iteration, and their curve

Iteration i of a run is a function of the options, the facesets and i: which faces, how they are
warped and which weights learning-rate dropout picks are drawn from (seed, i). So stopping and
resuming at any iteration gives the same numbers as never having stopped, bit by bit on one CPU.
"""

import logging
import os
from contextlib import closing, nullcontext
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from facegraft.controls import plain_values
from facegraft.errors import ParameterError
from facegraft.faces.faceset import Faceset
from facegraft.models.build import reset_inters
from facegraft.progress import Progress, Silent
from facegraft.training.batches import Batches
from facegraft.training.book import RunBook
from facegraft.training.checkpoint import Checkpoint, load_checkpoint, set_damaged_aside
from facegraft.training.distributed import Group, join_group, share_of_batch
from facegraft.training.fit import explained, with_batch
from facegraft.training.history import NAMES
from facegraft.training.lock import lock_run
from facegraft.training.params import TrainParams
from facegraft.training.pretrained import load_pretrained, take_weights
from facegraft.training.preview import choose_faces, preview_sheet
from facegraft.training.run_params import pretraining_values, resolve
from facegraft.training.sampling import random_seed
from facegraft.training.session import Ended, TrainResult, run_session, train_until_done
from facegraft.training.setup import choose_device, choose_precision
from facegraft.training.trainer import Trainer

_log = logging.getLogger(__name__)


def train(
    src: Faceset,
    dst: Faceset,
    run_folder: Path,
    params: TrainParams,
    progress: Progress | None = None,
    pretrained: Path | None = None,
) -> TrainResult:
    """Begin the run in `run_folder`, or go on with it, until its target or until stopped.

    `pretrained` is another run or save whose weights a new run begins with. Under torchrun every
    process calls this alike: they share each batch, and the first one writes.

    Raises: ParameterError for options that do not fit the run, BadAlignedImage, CheckpointError,
    WriteError (the last save stays), TrainingDiverged, RunInUse, OutOfMemory, TrainingInterrupted
    when another process of the group is gone, Cancelled before the first iteration.
    """
    progress = progress or Silent()
    run_folder = Path(run_folder)
    with (
        closing(join_group()) as group,
        lock_run(run_folder) if group.rank == 0 else nullcontext(),
    ):
        return train_until_done(
            lambda options, skip: _session(
                src, dst, run_folder, options, progress, group, pretrained, skip
            ),
            run_folder,
            params,
            progress,
            explained,
        )


def _session(
    src: Faceset,
    dst: Faceset,
    run_folder: Path,
    params: TrainParams,
    progress: Progress,
    group: Group,
    pretrained: Path | None,
    skip: int,
) -> Ended[TrainParams]:
    """Train until the end, or until the run's options were edited; `session.py` has the iterations.

    `skip` is how many of the newest saves to pass over.
    """
    # 1. What is there already; a change of the networks is refused before anything is written.
    resumed = load_checkpoint(run_folder, progress.note, skip=skip)
    if resumed is not None:
        if pretrained is not None and resumed.iteration:
            raise ParameterError(
                f"{run_folder} is trained already (iteration {resumed.iteration}); pretrained "
                "weights begin a new run, name an empty folder"
            )
        params = resolve(plain_values(params), existing=resumed.params)
        if group.rank == 0:
            set_damaged_aside(run_folder, resumed)
        _note_other_facesets(resumed, src, dst, progress)
    device = choose_device(params, group.local_rank)
    autocast = choose_precision(params, device)
    torch.set_num_threads(params.threads or os.cpu_count() or 1)
    params = with_batch(params, device, autocast, group, progress.note)
    share_of_batch(params.batch_size, group)
    active = pretraining_values(params)  # what is really done; the run keeps what was asked for
    _log.info("training on %s in %s", device, autocast or torch.float32)

    # 2. Networks and optimizers, fresh from the seed, as they were saved, or from another run.
    trainer = Trainer(active, device, autocast, group)
    start = resumed.iteration if resumed else 0
    if resumed is not None:
        for text in trainer.restore(resumed):
            progress.note(text)
        if resumed.params.pretrain and not params.pretrain:
            _forget_people(trainer)
            progress.note("pretraining is over: the inters begin anew, iterations count from 0")
            start = 0
    elif pretrained is not None:
        fit = take_weights(trainer.net, load_pretrained(pretrained, progress.note), active.spec)
        for text in fit.lines():
            progress.note(text)

    # 3. Both facesets, decoded once; the run folder is ours from here on.
    samplers = dict(resumed.samplers) if resumed and start else {}
    with Batches(src, dst, active, device, group, samplers) as batches:
        batches.load(progress)
        work = _SwapWork(params, trainer, batches, (src, dst))
        with RunBook(run_folder, params, work, resumed, start, progress) as book:
            return run_session(work, book, run_folder, params, start, progress)


class _SwapWork:
    """Both sides' faces and the trainer, as a session wants them."""

    names = NAMES

    def __init__(
        self,
        params: TrainParams,  # those that the run keeps
        trainer: Trainer,
        batches: Batches,
        facesets: tuple[Faceset, Faceset],
    ) -> None:
        self.params, self.trainer, self.batches = params, trainer, batches
        self.facesets = facesets
        self.device, self.group = trainer.device, trainer.group
        self._crops = batches.dst.squares(choose_faces(batches.dst.faces))[..., :3]

    @property
    def waiting_seconds(self) -> float:
        return self.batches.waiting_seconds

    def step(self, iteration: int) -> Tensor:
        active = self.trainer.params
        warped = active.random_warp and not 0 < active.warp_iterations <= iteration
        self.trainer.set_warped(warped or active.pretrain)
        batch_src, batch_dst = self.batches.at(iteration, warped)
        return self.trainer.step(batch_src, batch_dst, iteration)

    def sheet(self, number: int) -> np.ndarray:
        src, dst = (
            side.squares(choose_faces(side.faces, number=number)).to(self.device)
            for side in (self.batches.src, self.batches.dst)
        )
        return preview_sheet(self.trainer.net, src, dst, self.trainer.autocast)

    def save_bytes(self) -> int:
        return self.trainer.save_bytes()

    def checkpoint(
        self, iteration: int, seconds: float, last_loss: tuple[float, float]
    ) -> Checkpoint[TrainParams]:
        src, dst = self.facesets
        return Checkpoint(
            params=self.params,
            iteration=iteration,
            seconds=seconds,
            src_digest=src.digest,
            dst_digest=dst.digest,
            last_loss=last_loss,
            groups=self.trainer.groups(),
            crops=self._crops,
            samplers=self.batches.state(),
            faces=(len(src), len(dst)),
        )


def _forget_people(trainer: Trainer) -> None:
    """Leave pretraining: new inters, everything else as it is."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(random_seed(trainer.params.seed, "inters"))
        reset_inters(trainer.net)


def _note_other_facesets(resumed: Checkpoint, src: Faceset, dst: Faceset, to: Progress) -> None:
    for faces, digest, side in ((src, resumed.src_digest, "src"), (dst, resumed.dst_digest, "dst")):
        if faces.digest != digest:
            to.note(f"the {side} faces are not those that this run was trained on so far")
