"""What the worker keeps: results under a memory bound, and opened files until they change."""

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np

from facegraft.errors import NotAModel

T = TypeVar("T")


class BoundedCache:
    """Values with a stated size in bytes; `limit` bounds their sum, the longest unused going first.
    Not locked."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0
        self._entries: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()

    def get(self, key: Hashable) -> Any | None:
        """The value, now the most recently used, or None."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        self._entries.move_to_end(key)
        return entry[0]

    def put(self, key: Hashable, value: Any, size: int) -> None:
        """Keep `value`; one larger than the whole limit is not kept."""
        if key in self._entries:
            self.used -= self._entries.pop(key)[1]
        if size > self.limit:
            return
        self._entries[key] = (value, size)
        self.used += size
        while self.used > self.limit:
            self.used -= self._entries.popitem(last=False)[1][1]

    def __len__(self) -> int:
        return len(self._entries)


class PictureKeeper:
    """The merge's Keeper of one picture, on a cache that many pictures share.

    ran: milliseconds of each stage that was computed and not found, by its name.
    """

    def __init__(self, cache: BoundedCache, picture: Hashable) -> None:
        self._cache = cache
        self._picture = picture
        self.ran: dict[str, float] = {}

    def __call__(self, key: Any, compute: Callable[[], T]) -> T:
        whole = (self._picture, key)
        found = self._cache.get(whole)
        if found is None:
            since = time.perf_counter()
            found = compute()
            name = str(key[0])
            self.ran[name] = self.ran.get(name, 0.0) + (time.perf_counter() - since) * 1e3
            self._cache.put(whole, found, size_of(found))
        return found


def size_of(value: Any) -> int:
    """Bytes of the arrays in a value: an array, a dataclass, a list; 1 kB for what holds none."""
    if isinstance(value, np.ndarray):
        return value.nbytes
    if is_dataclass(value):
        return 1024 + sum(size_of(getattr(value, field.name)) for field in fields(value))
    if isinstance(value, list | tuple):
        return 1024 + sum(size_of(part) for part in value)
    return 1024


class OpenFiles(Generic[T]):
    """Networks by path, opened again when the file changed; the longest unused is closed first."""

    def __init__(self, what: str, limit: int, opener: Callable[[Path], T]) -> None:
        self._what, self._limit, self._opener = what, limit, opener
        self._open: OrderedDict[tuple[Path, int, int], T] = OrderedDict()

    def get(self, path: Path) -> T:
        """Raises: NotAModel where the file cannot be read; what opening it raises."""
        try:
            status = path.stat()
        except OSError as error:
            raise NotAModel(f"cannot read the {self._what} {path}: {error.strerror}") from error
        key = (path, status.st_mtime_ns, status.st_size)
        if key not in self._open:
            self._open[key] = self._opener(path)
            while len(self._open) > self._limit:
                self._open.popitem(last=False)
        self._open.move_to_end(key)
        return self._open[key]
