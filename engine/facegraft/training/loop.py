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
import math
import os
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from facegraft.controls import plain_values
from facegraft.errors import ParameterError, TrainingDiverged, WriteError
from facegraft.faces.faceset import Faceset
from facegraft.files import write_atomic
from facegraft.models.build import reset_inters
from facegraft.progress import Progress, Request, Silent
from facegraft.training.batches import Batches
from facegraft.training.checkpoint import (
    Checkpoint,
    load_checkpoint,
    save_checkpoint,
    set_damaged_aside,
    try_save,
)
from facegraft.training.distributed import Group, join_group, share_of_batch
from facegraft.training.divergence import LossGuard
from facegraft.training.edits import changed_params
from facegraft.training.events import EventLog
from facegraft.training.fit import explained, with_batch
from facegraft.training.history import HISTORY_NAME, History, draw_curve
from facegraft.training.kinds import ColorTransfer
from facegraft.training.lock import lock_run
from facegraft.training.params import OnDivergence, TrainParams
from facegraft.training.pretrained import load_pretrained, take_weights
from facegraft.training.preview import choose_faces, preview_sheet, write_png, write_preview
from facegraft.training.run_params import PARAMS_NAME, read_params, resolve, to_toml
from facegraft.training.sampling import random_seed
from facegraft.training.saves import free_space_warning, list_saves
from facegraft.training.setup import choose_device, choose_precision
from facegraft.training.snapshots import backup_due, make_backup
from facegraft.training.status import status_line
from facegraft.training.trainer import Trainer

CURVE_NAME = "loss.png"
PRETRAIN_HISTORY = "loss.pretrain.csv"
READ_EVERY = 32  # iterations between two reads of losses from a GPU, which wait for its queue
ROLLBACKS = 5  # in one session; a rate halved more often than this was not the reason

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
            _leave_pretraining(trainer, run_folder, progress, group)
            start = 0
    elif pretrained is not None:
        fit = take_weights(trainer.net, load_pretrained(pretrained, progress.note), active.spec)
        for text in fit.lines():
            progress.note(text)

    # 3. Both facesets, decoded once; four fixed faces of each for the preview sheet.
    samplers = dict(resumed.samplers) if resumed and start else {}
    with Batches(src, dst, active, device, group, samplers) as batches:
        batches.load(progress)
        crops = batches.dst.squares(choose_faces(batches.dst.faces))[..., :3]

        # 4. The run folder is ours from here on.
        writes = group.rank == 0
        if writes:
            if warning := free_space_warning(run_folder, trainer.save_bytes()):
                progress.note(warning)
            write_atomic(run_folder / PARAMS_NAME, to_toml(params).encode())
        history = History(run_folder, start) if writes else None
        last_loss = resumed.last_loss if resumed else (math.nan, math.nan)
        guards = LossGuard(), LossGuard()
        sheet_number = 0  # 0 is the fixed set of faces, others come by request

        def save(must: bool) -> bool:
            state = Checkpoint(
                params=params,
                iteration=iteration,
                seconds=seconds_before + time.monotonic() - began,
                src_digest=src.digest,
                dst_digest=dst.digest,
                last_loss=last_loss,
                groups=trainer.groups(),
                crops=crops,
                samplers=batches.state(),
                faces=(len(src), len(dst)),
            )
            if must:
                return bool(save_checkpoint(run_folder, state, params.keep_saves))
            # later on a full disk must not end a run whose last save is good
            return bool(try_save(run_folder, state, params.keep_saves, progress.note))

        def back_up(asked: bool) -> None:
            now = datetime.now(UTC)
            if asked or backup_due(run_folder, params.backup_hours, now):
                try:
                    progress.note(f"backup: {make_backup(run_folder, now, asked)}")
                except WriteError as error:
                    progress.note(f"WARNING: {error}")

        def sheet_of(number: int) -> np.ndarray:
            faces_src, faces_dst = (
                side.squares(choose_faces(side.faces, number=number)).to(device)
                for side in (batches.src, batches.dst)
            )
            return preview_sheet(trainer.net, faces_src, faces_dst, autocast)

        def draw_pictures() -> None:
            assert history is not None
            try:  # a picture is not worth the run
                history.flush()
                if params.preview_history or not sheet_number:
                    write_preview(run_folder, iteration, sheet_of(0), params.preview_history)
                if sheet_number:
                    write_preview(run_folder, iteration, sheet_of(sheet_number), False)
                write_png(run_folder / CURVE_NAME, draw_curve(history.rows))
            except WriteError as error:
                progress.note(str(error))

        def read_losses() -> tuple[float, float]:
            values = torch.stack(unread).cpu().tolist()
            for number, pair in enumerate(values, start=iteration - len(values) + 1):
                for side, guard, loss in zip(("src", "dst"), guards, pair, strict=True):
                    if reason := guard.check(loss):
                        raise TrainingDiverged(
                            f"the {side} loss {reason} at iteration {number}; the last save is kept"
                        )
                if history is not None:
                    history.add(number, pair[0], pair[1])
                if events is not None:
                    events.add(number, {"loss/src": pair[0], "loss/dst": pair[1]})
            unread.clear()
            return values[-1][0], values[-1][1]

        target = params.target_iterations
        progress.start(target or None, "iterations", start)
        edited: TrainParams | None = None
        unread: list[Tensor] = []
        seconds_before = resumed.seconds if resumed else 0.0
        began = saved_at = drawn_at = time.monotonic()
        iteration = start  # finished ones
        with _event_log(run_folder, start, params.tensorboard and writes) as events:
            while not target or iteration < target:
                requests = progress.take_requests()
                if group.any(progress.cancelled or Request.STOP in requests):
                    break
                # 5. A batch of each side, augmented on the device.
                warped = active.random_warp and not 0 < active.warp_iterations <= iteration
                trainer.set_warped(warped or active.pretrain)
                batch_src, batch_dst = batches.at(iteration, warped)

                # 6. Forward, losses, backward, step; the judges' turn.
                unread.append(trainer.step(batch_src, batch_dst, iteration))
                iteration += 1

                # 7. Log. A GPU is asked for its losses now and then, since asking waits for it.
                now = time.monotonic()
                next_save = params.save_minutes * 60 - (now - saved_at)
                asked = bool({Request.SAVE, Request.BACKUP} & set(requests))
                save_due = group.any(iteration == 1 or next_save <= 0 or asked)
                draw_due = save_due or 0 < params.preview_minutes * 60 <= now - drawn_at
                if Request.NEXT_PREVIEW in requests:
                    sheet_number += 1
                draw_due |= bool({Request.PREVIEW, Request.NEXT_PREVIEW} & set(requests))
                if device.type == "cpu" or len(unread) >= READ_EVERY or save_due or draw_due:
                    count = len(unread)
                    last_loss = read_losses()
                    progress.advance(count, status_line(*last_loss, next_save, device))

                # 8. Preview and save. The first save comes at once: a full disk shows early.
                if draw_due and writes:
                    draw_pictures()
                    drawn_at = time.monotonic()
                # what may be exploding is not saved; equal losses make equal guards on all ranks
                if save_due and not any(guard.doubtful for guard in guards):
                    saved_at = time.monotonic()
                    if writes and save(must=iteration == 1):
                        back_up(asked=Request.BACKUP in requests)
                        edited = changed_params(run_folder, params, progress.note)
                    if group.any(edited is not None):
                        edited = edited or read_params(run_folder)
                        progress.note("the options of the run were edited; going on with them")
                        break

            # 9. The end, by target or by hand: nothing of the work is lost.
            if unread:
                last_loss = read_losses()
            if iteration > start and edited is None and writes:
                save(must=True)
                back_up(asked=False)
                draw_pictures()
        return TrainResult(
            iteration=iteration,
            src_loss=last_loss[0],
            dst_loss=last_loss[1],
            session_iterations=iteration - start,
            session_seconds=time.monotonic() - began,
            waiting_seconds=batches.waiting_seconds,
            reached_target=bool(target) and iteration >= target,
        ), edited


def pretraining_values(params: TrainParams) -> TrainParams:
    """The options that count while `pretrain` is on: DeepFaceLab's, faces as such and no extras."""
    if not params.pretrain:
        return params
    return replace(
        params,
        random_warp=False,
        random_src_flip=True,
        random_dst_flip=True,
        uniform_yaw=True,
        lr_dropout=False,
        lr_cycle=0,
        hsv_power=0.0,
        color_transfer=ColorTransfer.NONE,
        gan_power=0.0,
        true_face_power=0.0,
        face_style_power=0.0,
        background_style_power=0.0,
    )


def _leave_pretraining(
    trainer: Trainer, run_folder: Path, progress: Progress, group: Group
) -> None:
    """Forget the people, keep the faces: new inters, everything else as pretraining left it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(random_seed(trainer.params.seed, "inters"))
        reset_inters(trainer.net)
    if group.rank == 0 and (run_folder / HISTORY_NAME).exists():
        os.replace(run_folder / HISTORY_NAME, run_folder / PRETRAIN_HISTORY)
    progress.note("pretraining is over: the inters begin anew, iterations count from 0")


@contextmanager
def _event_log(run_folder: Path, start: int, wanted: bool) -> Iterator[EventLog | None]:
    if not wanted:
        yield None
        return
    with EventLog(run_folder, start) as events:
        yield events


def _note_other_facesets(resumed: Checkpoint, src: Faceset, dst: Faceset, to: Progress) -> None:
    for faces, digest, side in ((src, resumed.src_digest, "src"), (dst, resumed.dst_digest, "dst")):
        if faces.digest != digest:
            to.note(f"the {side} faces are not those that this run was trained on so far")
