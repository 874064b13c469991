"""Pixels shared by two processes: one file, mapped by both, whose name is gone once they have it.

The client makes the file in memory (`/dev/shm`) where the system has such a place, else in the
temporary folder; the worker maps it by path and confirms; then the client removes the name, so a
killed host leaves nothing behind. Standard library and numpy only.
"""

import mmap
import os
import stat
import tempfile
from pathlib import Path

import numpy as np

from facegraft.errors import ProtocolError, WriteError
from facegraft.worker.protocol import ALIGNMENT, MATTE_BYTES, MAX_SIDE, PIXEL_BYTES

MAX_BYTES = MAX_SIDE * MAX_SIDE * (2 * PIXEL_BYTES + MATTE_BYTES)  # a frame in, one out, a matte
_MEMORY_FOLDER = Path("/dev/shm")
_WINDOWS = os.name == "nt"


def frame_bytes(width: int, height: int, pixel_bytes: int = PIXEL_BYTES) -> int:
    """Room for one RGBA float32 frame, or one of other pixels, rounded up so that the next one
    begins aligned."""
    return -(-width * height * pixel_bytes // ALIGNMENT) * ALIGNMENT


class SharedMapping:
    """`size` bytes that another process may map; read and written through `frame()`."""

    def __init__(self, view: mmap.mmap, path: Path | None) -> None:
        self._view = view
        self._path = path  # None once the name is removed, and for the side that opened it
        self.size = len(view)

    @classmethod
    def create(cls, size: int) -> "SharedMapping":
        """A new file of `size` bytes, readable by this user only.

        Raises: WriteError where neither place has the room: writing into a mapping that the disk
        cannot back would kill the host, so the room is taken beforehand.
        """
        folders = [Path(tempfile.gettempdir())]
        if _MEMORY_FOLDER.is_dir():
            folders.insert(0, _MEMORY_FOLDER)
        reasons: list[str] = []
        for folder in folders:
            try:
                return cls._create_in(folder, size)
            except OSError as error:
                reasons.append(f"{folder}: {error.strerror or error}")
        raise WriteError(
            f"no room for {size >> 20} MB of shared frames ({'; '.join(reasons)}); free some space"
        )

    @classmethod
    def _create_in(cls, folder: Path, size: int) -> "SharedMapping":
        handle, name = tempfile.mkstemp(prefix="facegraft-", dir=folder)  # made with mode 0600
        try:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(handle, 0, size)
            else:
                _fill(handle, size)
            return cls(mmap.mmap(handle, size), Path(name))
        except BaseException:
            os.unlink(name)
            raise
        finally:
            os.close(handle)

    @classmethod
    def open(cls, path: str, size: int) -> "SharedMapping":
        """Map a file that the client made. Raises: ProtocolError where it is not such a file."""
        if not os.path.isabs(path) or not 0 < size <= MAX_BYTES:
            raise ProtocolError(
                f"map {path!r} of {size} bytes: the path is absolute, the size 1 to {MAX_BYTES}"
            )
        flags = os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
        try:
            handle = os.open(path, flags)
        except OSError as error:
            raise ProtocolError(f"cannot map {path}: {error.strerror}") from error
        try:
            status = os.fstat(handle)
            if not stat.S_ISREG(status.st_mode) or status.st_size != size:
                raise ProtocolError(f"{path} is no file of {size} bytes; it has {status.st_size}")
            if not _WINDOWS and (status.st_uid != os.geteuid() or status.st_mode & 0o077):
                raise ProtocolError(f"{path} is open to other users; make it with mode 0600")
            return cls(mmap.mmap(handle, size), None)
        finally:
            os.close(handle)

    @property
    def path(self) -> str:
        return str(self._path)

    def remove_name(self) -> None:
        """Take the file out of its folder; both mappings stay valid.

        Windows keeps a mapped file's name, so there it goes when the mapping is closed.
        """
        if self._path is not None and not _WINDOWS:
            self._path.unlink(missing_ok=True)
            self._path = None

    def close(self) -> None:
        """Give the memory back once no frame of it is in use, and remove the name."""
        try:
            self._view.close()
        except BufferError:
            pass  # an array still looks at it; the memory goes with the array
        if self._path is not None:
            try:
                self._path.unlink(missing_ok=True)
            except OSError:
                pass  # Windows while the worker still has it mapped; the temporary folder's to keep
            self._path = None

    def frame(self, offset: int, width: int, height: int) -> np.ndarray:
        """(H, W, 4) float32 view, rows packed, top row first.

        Raises: ProtocolError where it does not fit or is not aligned.
        """
        return self._floats(offset, width, height, PIXEL_BYTES).reshape(height, width, 4)

    def plane(self, offset: int, width: int, height: int) -> np.ndarray:
        """(H, W) float32 view, the same of one channel. Raises: ProtocolError."""
        return self._floats(offset, width, height, MATTE_BYTES).reshape(height, width)

    def _floats(self, offset: int, width: int, height: int, pixel_bytes: int) -> np.ndarray:
        end = offset + width * height * pixel_bytes
        if offset < 0 or offset % ALIGNMENT or end > self.size:
            raise ProtocolError(
                f"a frame of {width}x{height} at byte {offset} does not fit the mapping of "
                f"{self.size} bytes, or its offset is not a multiple of {ALIGNMENT}"
            )
        return np.frombuffer(self._view, np.float32, width * height * pixel_bytes // 4, offset)


def _fill(handle: int, size: int) -> None:
    zeros = bytes(1 << 20)
    left = size
    while left:
        left -= os.write(handle, zeros[: min(left, len(zeros))])
