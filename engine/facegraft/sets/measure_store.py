"""Measures of faces kept in the set, so that only new or changed faces are measured again.

One `.npy` file (numpy's own format, no pickle) of records a kind of measure, in the set's
`_facegraft/measures`. It is a cache: a damaged file counts as absent, a set that may only be read
or that is packed does without one, and who writes last wins. Records of faces that left the set,
say to the trash, stay until MOST_RECORDS is passed.
"""

import io
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from facegraft.errors import WriteError
from facegraft.files import write_atomic
from facegraft.sets.lock import INSIDE

FOLDER = "measures"
MOST_RECORDS = 200_000  # about 180 MB of picture measures

_log = logging.getLogger(__name__)


def load_records(folder: Path, name: str, dtype: np.dtype) -> np.ndarray:
    """(N,) of `dtype`, sorted by their field `key`; none where nothing sound is stored."""
    path = _path(folder, name)
    try:
        data = np.load(io.BytesIO(path.read_bytes()), allow_pickle=False)
    except (FileNotFoundError, NotADirectoryError):
        return np.empty(0, dtype)
    except (OSError, ValueError, EOFError) as error:
        _log.warning("%s is damaged (%s); its faces are measured again", path, error)
        return np.empty(0, dtype)
    if data.dtype != dtype or data.ndim != 1:
        return np.empty(0, dtype)  # of another version
    return data


def save_records(folder: Path, name: str, used: np.ndarray, others: np.ndarray) -> None:
    """Store `used`, and of `others` what has no record in `used`, up to MOST_RECORDS."""
    if folder.is_file():  # a packed set is one file
        return
    left = others[~np.isin(others["key"], used["key"])]
    records = np.concatenate([used, left])[:MOST_RECORDS]
    _, first = np.unique(records["key"], return_index=True)
    buffer = io.BytesIO()
    np.save(buffer, records[first], allow_pickle=False)
    try:
        write_atomic(_path(folder, name), buffer.getvalue())
    except WriteError as error:
        _log.warning("measures are not kept: %s", error)


def find_records(stored: np.ndarray, keys: Sequence[bytes]) -> tuple[np.ndarray, np.ndarray]:
    """(places in `stored`, is it there) for each key; `stored` as `load_records` gives it."""
    wanted = np.array(keys, stored.dtype["key"])
    if not len(stored):
        return np.zeros(len(wanted), np.intp), np.zeros(len(wanted), bool)
    places = np.minimum(np.searchsorted(stored["key"], wanted), len(stored) - 1)
    return places, stored["key"][places] == wanted


def _path(folder: Path, name: str) -> Path:
    return folder / INSIDE / FOLDER / f"{name}.npy"
