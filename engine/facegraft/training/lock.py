"""One training at a time in a run's folder."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from facegraft.errors import RunInUse
from facegraft.folder_lock import hold_lock

LOCK_NAME = "train.lock"


@contextmanager
def lock_run(run_folder: Path) -> Iterator[None]:
    """Hold `run_folder`, which is made if need be, for the length of the block.

    Raises: RunInUse naming process and machine of the training that holds it, WriteError.
    """

    def in_use(holder: str) -> RunInUse:
        return RunInUse(
            f"{run_folder} is being trained by {holder}; stop that training (Ctrl-C in its "
            "terminal), or train into another folder"
        )

    with hold_lock(run_folder / LOCK_NAME, in_use):
        yield
