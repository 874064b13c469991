"""ArrayStore: float32 arrays on disk by key, within a limit, for what is dear to compute again.

A folder of `<key>.f32` files: the shape, the numbers, and a checksum of both. It is a cache, so a
write that fails is told once and forgotten, a file that is damaged counts as absent, and the files
that were not read for longest go when the limit is passed. Several processes may share a folder.
"""

import hashlib
import logging
import os
import struct
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from facegraft.files import write_error

log = logging.getLogger(__name__)

SUFFIX = ".f32"
DEFAULT_BYTES = 8 << 30  # about 6,000 faces of a 256 px model
_HEAD = struct.Struct("<4sI")  # magic, number of sizes; then the sizes, the numbers, crc32
_MAGIC = b"fgA1"
_KEPT = 0.9  # of the limit is left after files went, so that not every write looks for some


class ArrayStore:
    """Arrays in `folder`, which is made; `limit` in bytes.

    Raises: WriteError where the folder cannot be made.
    """

    def __init__(self, folder: Path, limit: int = DEFAULT_BYTES) -> None:
        self.folder, self.limit = Path(folder), limit
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise write_error(self.folder, error) from error
        self._used = sum(size for _, _, size in self._files())
        self._told = False

    def get(self, key: str) -> np.ndarray | None:
        """The array that was put under `key`, float32; None where there is none that is sound."""
        path = self._path(key)
        try:
            data = path.read_bytes()
        except OSError:
            return None
        array = _decode(data)
        if array is None:
            log.warning("%s is damaged; it is computed again", path)
            path.unlink(missing_ok=True)
            return None
        try:
            os.utime(path)  # it was of use: it goes last
        except OSError:
            pass  # a folder that may only be read serves all the same
        return array

    def put(self, key: str, array: np.ndarray) -> None:
        """Keep `array`; a write that fails is logged once, since nothing is lost but time."""
        data = _encode(array)
        path = self._path(key)
        try:
            # no fsync: after a power cut the checksum finds what is not whole
            handle, name = tempfile.mkstemp(suffix=".part", dir=self.folder)
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(data)
                os.replace(name, path)
            except BaseException:
                Path(name).unlink(missing_ok=True)
                raise
        except OSError as error:
            if not self._told:
                log.warning("%s; what is computed is not kept", write_error(path, error))
                self._told = True
            return
        self._used += len(data)
        if self._used > self.limit:
            self._make_room()

    def _path(self, key: str) -> Path:
        return self.folder / f"{hashlib.sha256(key.encode()).hexdigest()}{SUFFIX}"

    def _files(self) -> Iterator[tuple[Path, float, int]]:
        """Path, time of last use and size of each; files that another process took are left out."""
        for path in self.folder.glob(f"*{SUFFIX}"):
            try:
                status = path.stat()
            except OSError:
                continue
            yield path, status.st_mtime, status.st_size

    def _make_room(self) -> None:
        files = sorted(self._files(), key=lambda file: file[1])
        self._used = sum(size for _, _, size in files)
        for path, _, size in files:
            if self._used <= self.limit * _KEPT:
                break
            path.unlink(missing_ok=True)
            self._used -= size


def _encode(array: np.ndarray) -> bytes:
    numbers = np.ascontiguousarray(array, np.float32)
    sizes = struct.pack(f"<{numbers.ndim}I", *numbers.shape)
    body = _HEAD.pack(_MAGIC, numbers.ndim) + sizes + numbers.astype("<f4", copy=False).tobytes()
    return body + struct.pack("<I", zlib.crc32(body))


def _decode(data: bytes) -> np.ndarray | None:
    body, tail = data[:-4], data[-4:]
    if len(data) < _HEAD.size + 4 or struct.pack("<I", zlib.crc32(body)) != tail:
        return None
    magic, count = _HEAD.unpack_from(body)
    start = _HEAD.size + 4 * count
    if magic != _MAGIC or start > len(body):
        return None
    sizes = struct.unpack_from(f"<{count}I", body, _HEAD.size)
    if len(body) - start != 4 * int(np.prod(sizes, dtype=np.int64)):
        return None
    return np.frombuffer(body, "<f4", offset=start).astype(np.float32).reshape(sizes)
