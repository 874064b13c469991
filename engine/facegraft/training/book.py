"""RunBook: what a run writes while it trains, and what it thinks of its losses.

Losses to loss.csv and event files, pictures, saves and backups. Of several processes only the first
one writes, but all of them judge the losses, which are equal everywhere.
"""

import math
import os
import time
from datetime import UTC, datetime
from pathlib import Path

import torch
from torch import Tensor

from facegraft.errors import TrainingDiverged, WriteError
from facegraft.files import write_atomic
from facegraft.progress import Progress
from facegraft.training.checkpoint import Checkpoint, save_checkpoint, try_save
from facegraft.training.divergence import LossGuard
from facegraft.training.events import EventLog
from facegraft.training.history import HISTORY_NAME, History, draw_curve
from facegraft.training.preview import write_png, write_preview
from facegraft.training.run_params import PARAMS_NAME, P, to_toml
from facegraft.training.saves import free_space_warning
from facegraft.training.snapshots import backup_due, make_backup
from facegraft.training.work import Work

CURVE_NAME = "loss.png"
PRETRAIN_HISTORY = "loss.pretrain.csv"


class RunBook:
    """Close it, or use it as a context manager. Raises: WriteError, MissingExtra."""

    def __init__(
        self,
        run_folder: Path,
        params: P,
        work: Work[P],
        resumed: Checkpoint[P] | None,
        start: int,  # finished iterations; below `resumed`'s where pretraining just ended
        progress: Progress,
    ) -> None:
        self.run_folder, self.params, self.work, self.progress = run_folder, params, work, progress
        self.writes = work.group.rank == 0
        self.last_loss = resumed.last_loss if resumed else (math.nan, math.nan)
        self._guards = {name: LossGuard() for name in work.names}
        self._seconds_before = resumed.seconds if resumed else 0.0
        self._began = time.monotonic()
        self._other_faces = 0  # which set the preview shows; 0 is the fixed one
        self._events: EventLog | None = None
        if not self.writes:
            return
        if warning := free_space_warning(run_folder, work.save_bytes()):
            progress.note(warning)
        losses = run_folder / HISTORY_NAME
        leaving = resumed is not None and start < resumed.iteration
        # a session killed before its first save leaves pretraining a second time
        if leaving and losses.exists() and not (run_folder / PRETRAIN_HISTORY).exists():
            os.replace(losses, run_folder / PRETRAIN_HISTORY)
        write_atomic(run_folder / PARAMS_NAME, to_toml(params).encode())
        self._history = History(run_folder, start, work.names)
        if params.tensorboard:
            self._events = EventLog(run_folder, start)

    @property
    def seconds(self) -> float:
        """In the loop, this session."""
        return time.monotonic() - self._began

    @property
    def doubtful(self) -> bool:
        """The losses may be exploding: not a state to keep."""
        return any(guard.doubtful for guard in self._guards.values())

    def read(self, losses: list[Tensor], iteration: int) -> None:
        """Take the losses (2,) of the iterations up to `iteration`, and empty the list.

        Raises: TrainingDiverged, before such weights could be saved.
        """
        values = torch.stack(losses).cpu().tolist()
        losses.clear()
        for number, pair in enumerate(values, start=iteration - len(values) + 1):
            for (side, guard), loss in zip(self._guards.items(), pair, strict=True):
                if reason := guard.check(loss):
                    raise TrainingDiverged(
                        f"the {side} loss {reason} at iteration {number}; the last save is kept"
                    )
            if self.writes:
                self._history.add(number, pair[0], pair[1])
            if self._events is not None:
                tags = (f"loss/{name}" for name in self.work.names)
                self._events.add(number, dict(zip(tags, pair, strict=True)))
        self.last_loss = values[-1][0], values[-1][1]

    def draw(self, iteration: int, other_faces: bool = False) -> None:
        """The preview, of yet other faces where asked for, and the curve."""
        if not self.writes:
            return
        self._other_faces += other_faces
        keep, others = self.params.preview_history, self._other_faces
        try:  # a picture is not worth the run
            self._history.flush()
            if keep or not others:  # a look back wants the same faces always
                write_preview(self.run_folder, iteration, self.work.sheet(0), keep)
            if others:
                write_preview(self.run_folder, iteration, self.work.sheet(others), False)
            write_png(self.run_folder / CURVE_NAME, draw_curve(self._history.rows, self.work.names))
        except WriteError as error:
            self.progress.note(str(error))

    def save(self, iteration: int, must: bool) -> bool:
        """True where a save was made. Raises: WriteError if it `must`; else a full disk is said,
        and does not end a run whose last save is good.
        """
        if not self.writes:
            return False
        state = self.work.checkpoint(iteration, self._seconds_before + self.seconds, self.last_loss)
        if must:
            save_checkpoint(self.run_folder, state, self.params.keep_saves)
            return True
        made = try_save(self.run_folder, state, self.params.keep_saves, self.progress.note)
        return made is not None

    def back_up(self, asked: bool = False) -> None:
        """Right after a save: keep it longer, where that is due or asked for."""
        now = datetime.now(UTC)
        if asked or backup_due(self.run_folder, self.params.backup_hours, now):
            try:
                self.progress.note(f"backup: {make_backup(self.run_folder, now, asked)}")
            except WriteError as error:
                self.progress.note(f"WARNING: {error}")

    def close(self) -> None:
        if self._events is not None:
            self._events.close()

    def __enter__(self) -> "RunBook":
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()
