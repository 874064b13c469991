"""Files that are either complete or not there: write beside the target, then rename over it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from facegraft.errors import WriteError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path in the folder of `path`; rename it to `path` when the block succeeds.

    The suffix stays the same, since encoders choose by it. If the block raises, the temporary file
    is removed and an older file at `path` stays untouched. Missing folders are made.

    Raises: WriteError naming `path` and the system's reason, also for an OSError in the block.
    """
    part = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield part
        sync_file(part)
        os.replace(part, path)
    except WriteError:
        raise
    except OSError as error:
        raise write_error(path, error) from error
    finally:
        with suppress(OSError):  # the folder itself may be what is wrong
            part.unlink(missing_ok=True)


def write_bytes(path: Path, data: bytes) -> None:
    """Write a whole small file. Raises: WriteError."""
    with replacing(path) as part:
        part.write_bytes(data)


def sync_file(path: Path) -> None:
    """Wait until the file's data is on disk, so that a rename never outruns it."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def write_error(path: Path, error: OSError) -> WriteError:
    """`error` in our words, with the number kept for callers that look at errno."""
    result = WriteError(
        f"cannot write {path}: {error.strerror or error}; free some space, or choose another folder"
    )
    result.errno = error.errno
    return result
