"""Where this user's files lie, and writing them so that nobody ever meets half of one.

Standard library only: hosts load this into their own Python.
"""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from facegraft.errors import WriteError


def user_data_folder() -> Path:
    """FaceGraft's own folder where this user's programs keep data."""
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Application Support"
    else:
        base = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return base / "facegraft"


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; on leaving without an error it becomes `path`.

    The content is flushed to disk before the rename, so after a power cut either the old or the new
    file is there, whole. On an error the temporary file is removed and `path` is untouched.

    Raises: WriteError where the folder or the file cannot be written.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(
            prefix=f".{path.stem}.", suffix=path.suffix, dir=path.parent
        )
        os.close(handle)
    except OSError as error:
        raise write_error(path, error) from error
    temporary = Path(name)
    try:
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o666 & ~_umask())  # mkstemp makes files private
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, WriteError):
            raise
        raise write_error(path, error) from error
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_atomic(path: Path, data: bytes) -> None:
    """Write a whole small file. Raises: WriteError."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def write_error(path: Path, error: OSError) -> WriteError:
    """`error` in our words, with the number kept for callers that look at errno."""
    reason = error.strerror or str(error)
    result = WriteError(f"cannot write {path}: {reason}; free space or choose another place")
    result.errno = error.errno
    return result


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
