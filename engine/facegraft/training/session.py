"""One session of a run: iterations, saves, pictures and requests, whatever it is that is trained.

`loop.py` gives it a swap model's work, `mask_loop.py` a mask network's.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic

from torch import Tensor

from facegraft.errors import FacegraftError, TrainingDiverged
from facegraft.progress import Progress, Request
from facegraft.training.book import RunBook
from facegraft.training.edits import changed_params
from facegraft.training.params import OnDivergence
from facegraft.training.run_params import P, read_params
from facegraft.training.saves import list_saves
from facegraft.training.status import status_line
from facegraft.training.work import Work

READ_EVERY = 32  # iterations between two reads of losses from a GPU, which wait for its queue
ROLLBACKS = 5  # in one session; a rate halved more often than this was not the reason
_SAVING = {Request.SAVE, Request.BACKUP}
_DRAWING = {Request.PREVIEW, Request.NEXT_PREVIEW}


@dataclass(frozen=True, slots=True)
class TrainResult:
    """Where a session ended."""

    iteration: int  # finished iterations of the run
    losses: tuple[float, float]  # of the last one, as `Work.names` calls them
    session_iterations: int  # made since `train` was called, as the next two
    session_seconds: float  # inside the loop: without decoding, with saves and previews
    waiting_seconds: float  # of these, spent until a batch was on the device
    reached_target: bool

    @property
    def src_loss(self) -> float:
        return self.losses[0]

    @property
    def dst_loss(self) -> float:
        return self.losses[1]


@dataclass(frozen=True, slots=True)
class Ended(Generic[P]):
    """A session's result, and the run's options where an edit of them ended it."""

    result: TrainResult
    edited: P | None


def train_until_done(
    session: Callable[[P, int], Ended[P]],
    run_folder: Path,
    params: P,
    progress: Progress,
    explained: Callable[[BaseException, P], FacegraftError | None],
) -> TrainResult:
    """Sessions, until one ends for good: with options that were edited, or with half the learning
    rate from an earlier save where one diverged.

    `session` takes the options and how many of the newest saves to pass over; `explained` is an
    error of torch in our words, or None. Raises: TrainingDiverged, and what `session` raises.
    """
    results: list[TrainResult] = []
    rollbacks = skip = 0
    while True:
        newest = list_saves(run_folder)[-1:]
        try:
            ended = session(params, skip)
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
        results.append(ended.result)
        if ended.edited is None:
            return replace(
                ended.result,
                session_iterations=sum(r.session_iterations for r in results),
                session_seconds=sum(r.session_seconds for r in results),
                waiting_seconds=sum(r.waiting_seconds for r in results),
            )
        params, skip = ended.edited, 0


def run_session(
    work: Work[P], book: RunBook, run_folder: Path, params: P, start: int, progress: Progress
) -> Ended[P]:
    """Train from `start` finished iterations to the target, until stopped, or until the run's
    options are edited. Raises: TrainingDiverged, WriteError, BadAlignedImage.
    """
    target, group = params.target_iterations, work.group
    if 0 < target <= start:
        progress.note(
            f"the run is at iteration {start:,} and target_iterations is {target:,}: nothing is "
            "left to do; raise it, or set it to 0 to train until stopped"
        )
    progress.start(target or None, "iterations", start)
    edited: P | None = None
    asked: set[Request] = set()
    unread: list[Tensor] = []
    saved_at = drawn_at = time.monotonic()
    iteration = start  # finished ones
    while not target or iteration < target:
        asked |= set(progress.take_requests())
        if group.any(progress.cancelled or Request.STOP in asked):
            break
        # 1. A batch, forward, losses, backward, step.
        unread.append(work.step(iteration))
        iteration += 1

        # 2. Log. A GPU is asked for its losses now and then, since asking waits for it.
        now = time.monotonic()
        next_save = params.save_minutes * 60 - (now - saved_at)
        save_due = group.any(iteration == 1 or next_save <= 0 or bool(asked & _SAVING))
        next_draw = params.preview_minutes * 60 - (now - drawn_at)
        draw_due = group.any(
            (params.preview_minutes > 0 and next_draw <= 0) or bool(asked & _DRAWING)
        )
        if work.device.type == "cpu" or len(unread) >= READ_EVERY or save_due or draw_due:
            count = len(unread)
            book.read(unread, iteration)
            line = status_line(*book.last_loss, next_save, work.device, work.names)
            progress.advance(count, line)

        # 3. Preview and save. The first save comes at once: a full disk shows early.
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
                edited = edited or read_params(run_folder, type(params))
                progress.note("the options of the run were edited; going on with them")
                break

    # 4. The end, by target or by hand: nothing of the work is lost.
    if unread:
        count = len(unread)
        book.read(unread, iteration)
        progress.advance(count)
    if iteration > start and edited is None:
        if book.save(iteration, must=True):
            book.back_up()
        book.draw(iteration)
    result = TrainResult(
        iteration=iteration,
        losses=book.last_loss,
        session_iterations=iteration - start,
        session_seconds=book.seconds,
        waiting_seconds=work.waiting_seconds,
        reached_target=bool(target) and iteration >= target,
    )
    return Ended(result, edited)
