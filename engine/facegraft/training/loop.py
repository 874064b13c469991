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
import time
from contextlib import closing, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from facegraft.controls import plain_values
from facegraft.errors import ParameterError, TrainingDiverged
from facegraft.faces.faceset import Faceset
from facegraft.models.build import reset_inters
from facegraft.progress import Progress, Request, Silent
from facegraft.training.batches import Batches
from facegraft.training.book import RunBook
from facegraft.training.checkpoint import Checkpoint, load_checkpoint, set_damaged_aside
from facegraft.training.distributed import Group, join_group, share_of_batch
from facegraft.training.edits import changed_params
from facegraft.training.fit import explained, with_batch
from facegraft.training.lock import lock_run
from facegraft.training.params import OnDivergence, TrainParams
from facegraft.training.pretrained import load_pretrained, take_weights
from facegraft.training.run_params import pretraining_values, read_params, resolve
from facegraft.training.sampling import random_seed
from facegraft.training.saves import list_saves
from facegraft.training.setup import choose_device, choose_precision
from facegraft.training.status import status_line
from facegraft.training.trainer import Trainer

READ_EVERY = 32  # iterations between two reads of losses from a GPU, which wait for its queue
ROLLBACKS = 5  # in one session; a rate halved more often than this was not the reason
_SAVING = {Request.SAVE, Request.BACKUP}
_DRAWING = {Request.PREVIEW, Request.NEXT_PREVIEW}

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TrainResult:
    """Where a session ended."""

    iteration: int  # finished iterations of the run
    src_loss: float  # of the last one
    dst_loss: float
    session_iterations: int  # made since `train` was called, as the next two
    session_seconds: float  # inside the loop: without decoding, with saves and previews
    waiting_seconds: float  # of these, spent until a batch was on the device
    reached_target: bool


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
        results: list[TrainResult] = []
        rollbacks = skip = 0
        while True:
            newest = list_saves(run_folder)[-1:]
            try:
                result, edited = _session(
                    src, dst, run_folder, params, progress, group, pretrained, skip
                )
            except TrainingDiverged as error:
                rollbacks += 1
                if params.on_divergence is OnDivergence.STOP or rollbacks > ROLLBACKS:
                    raise
                # where it exploded again before it could save, the save itself is doubtful
                again = rollbacks > 1 and list_saves(run_folder)[-1:] == newest
                skip = skip + 1 if again else 0
                params = replace(params, learning_rate=params.learning_rate / 2)
                progress.note(
                    f"WARNING: {error}. Going back to the {'save before it' if skip else 'save'} "
                    f"with learning_rate {params.learning_rate:g}"
                )
                continue
            except (RuntimeError, MemoryError) as error:
                if explanation := explained(error, params):
                    raise explanation from error
                raise
            results.append(result)
            if edited is None:
                return replace(
                    result,
                    session_iterations=sum(r.session_iterations for r in results),
                    session_seconds=sum(r.session_seconds for r in results),
                    waiting_seconds=sum(r.waiting_seconds for r in results),
                )
            params, skip = edited, 0


def _session(
    src: Faceset,
    dst: Faceset,
    run_folder: Path,
    params: TrainParams,
    progress: Progress,
    group: Group,
    pretrained: Path | None,
    skip: int,
) -> tuple[TrainResult, TrainParams | None]:
    """Train until the end, or until the run's options were edited: then those are the second.

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
        with RunBook(
            run_folder, params, (src, dst), trainer, batches, resumed, start, progress
        ) as book:
            target = params.target_iterations
            progress.start(target or None, "iterations", start)
            edited: TrainParams | None = None
            asked: set[Request] = set()
            unread: list[Tensor] = []
            saved_at = drawn_at = time.monotonic()
            iteration = start  # finished ones
            while not target or iteration < target:
                asked |= set(progress.take_requests())
                if group.any(progress.cancelled or Request.STOP in asked):
                    break
                # 4. A batch of each side, augmented on the device.
                warped = active.random_warp and not 0 < active.warp_iterations <= iteration
                trainer.set_warped(warped or active.pretrain)
                batch_src, batch_dst = batches.at(iteration, warped)

                # 5. Forward, losses, backward, step; the judges' turn.
                unread.append(trainer.step(batch_src, batch_dst, iteration))
                iteration += 1

                # 6. Log. A GPU is asked for its losses now and then, since asking waits for it.
                now = time.monotonic()
                next_save = params.save_minutes * 60 - (now - saved_at)
                save_due = group.any(iteration == 1 or next_save <= 0 or bool(asked & _SAVING))
                next_draw = params.preview_minutes * 60 - (now - drawn_at)
                draw_due = group.any(
                    (params.preview_minutes > 0 and next_draw <= 0) or bool(asked & _DRAWING)
                )
                if device.type == "cpu" or len(unread) >= READ_EVERY or save_due or draw_due:
                    count = len(unread)
                    book.read(unread, iteration)
                    progress.advance(count, status_line(*book.last_loss, next_save, device))

                # 7. Preview and save. The first save comes at once: a full disk shows early.
                saving = save_due and not book.doubtful
                if draw_due or saving:
                    book.draw(iteration, other_faces=Request.NEXT_PREVIEW in asked)
                    drawn_at = time.monotonic()
                    asked -= _DRAWING
                if saving:
                    if book.save(iteration, must=iteration == 1):
                        book.back_up(Request.BACKUP in asked)
                        edited = changed_params(run_folder, params, progress.note)
                    saved_at = time.monotonic()
                    asked -= _SAVING
                    if group.any(edited is not None):
                        edited = edited or read_params(run_folder)
                        progress.note("the options of the run were edited; going on with them")
                        break

            # 8. The end, by target or by hand: nothing of the work is lost.
            if unread:
                count = len(unread)
                book.read(unread, iteration)
                progress.advance(count)
            if iteration > start and edited is None:
                if book.save(iteration, must=True):
                    book.back_up()
                book.draw(iteration)
            return TrainResult(
                iteration=iteration,
                src_loss=book.last_loss[0],
                dst_loss=book.last_loss[1],
                session_iterations=iteration - start,
                session_seconds=book.seconds,
                waiting_seconds=batches.waiting_seconds,
                reached_target=bool(target) and iteration >= target,
            ), edited


def _forget_people(trainer: Trainer) -> None:
    """Leave pretraining: new inters, everything else as it is."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(random_seed(trainer.params.seed, "inters"))
        reset_inters(trainer.net)


def _note_other_facesets(resumed: Checkpoint, src: Faceset, dst: Faceset, to: Progress) -> None:
    for faces, digest, side in ((src, resumed.src_digest, "src"), (dst, resumed.dst_digest, "dst")):
        if faces.digest != digest:
            to.note(f"the {side} faces are not those that this run was trained on so far")
