"""One process at a time changes a faceset; reading needs no lock."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from facegraft.errors import ParameterError, SetInUse, SourceNotFound
from facegraft.folder_lock import hold_lock

INSIDE = "_facegraft"  # the folder in a set that is ours; names that begin with _ are no faces
LOCK_NAME = "set.lock"


@contextmanager
def lock_set(folder: Path, create: bool = False) -> Iterator[None]:
    """Hold the faceset `folder` for the length of the block. `create`: the folder may be new.

    Raises: SetInUse naming process and machine of the one who changes it, WriteError where the
    folder is read-only, SourceNotFound, ParameterError for a packed set.
    """
    if folder.is_file():
        raise ParameterError(
            f"{folder} is a packed set, which is only read; unpack it with `facegraft faceset "
            "unpack`, change the folder and pack it again"
        )
    if not folder.is_dir() and not create:
        raise SourceNotFound(f"no faceset folder {folder}; make one with `facegraft extract`")

    def in_use(holder: str) -> SetInUse:
        return SetInUse(f"{folder} is being changed by {holder}; wait until it is done, or stop it")

    with hold_lock(folder / INSIDE / LOCK_NAME, in_use):
        yield
