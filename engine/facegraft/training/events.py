"""Losses as TensorBoard event files in RUN/events; look at them with `tensorboard --logdir RUN`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Self

from facegraft.errors import MissingExtra

EVENTS_FOLDER = "events"
_QUEUE = 1000  # values between two writes to the file
_FLUSH_S = 60  # seconds; a crash costs at most that of a curve


class EventLog:
    """Close it, or use it as a context manager."""

    def __init__(self, run_folder: Path, start_iteration: int) -> None:
        """`start_iteration`: what training goes on from; values beyond, of a session that was
        killed or rolled back, are hidden by TensorBoard. Raises: MissingExtra.
        """
        try:
            from tensorboardX import SummaryWriter  # optional
        except ImportError as error:
            raise MissingExtra(
                "tensorboard files need tensorboardX; run: pip install 'facegraft[train]', or "
                "leave the option tensorboard out"
            ) from error
        self._writer = SummaryWriter(
            str(run_folder / EVENTS_FOLDER),
            purge_step=start_iteration + 1,
            max_queue=_QUEUE,
            flush_secs=_FLUSH_S,
        )

    def add(self, iteration: int, values: Mapping[str, float]) -> None:
        """Values by tag, such as "loss/src"."""
        for tag, value in values.items():
            self._writer.add_scalar(tag, value, iteration)

    def flush(self) -> None:
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()
