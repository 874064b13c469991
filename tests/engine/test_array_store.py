"""Arrays kept on disk: exact, bounded, and never a reason to fail."""

import errno
import os

import numpy as np
import pytest

from facegraft.array_store import SUFFIX, ArrayStore
from facegraft.errors import WriteError


def noise(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).random(shape, dtype=np.float32)


def test_an_array_comes_back_bit_by_bit_also_in_another_process(tmp_path):
    array = noise(0, 5, 4, 3)
    ArrayStore(tmp_path).put("a", array)
    found = ArrayStore(tmp_path).get("a")
    assert found is not None and found.dtype == np.float32
    np.testing.assert_array_equal(found, array)
    assert ArrayStore(tmp_path).get("b") is None


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "zeros"])
def test_a_damaged_file_counts_as_absent(tmp_path, damage):
    store = ArrayStore(tmp_path)
    store.put("a", noise(0, 8, 8))
    (path,) = tmp_path.glob(f"*{SUFFIX}")
    data = bytearray(path.read_bytes())
    data[20] ^= 1
    path.write_bytes(
        {"cut": data[:-9], "flipped": data, "empty": b"", "zeros": bytes(len(data))}[damage]
    )
    assert store.get("a") is None
    assert not path.exists()


def test_what_was_not_read_for_longest_goes_first(tmp_path):
    store = ArrayStore(tmp_path, limit=3000)  # bytes: two arrays of 1 kB and their heads
    for age, key in enumerate("abc"):
        if key == "c":
            assert store.get("a") is not None  # which makes b the oldest
        store.put(key, noise(age, 16, 16))
        for path in tmp_path.iterdir():  # a second passes
            status = path.stat()
            os.utime(path, (status.st_atime, status.st_mtime - 1))
    assert [key for key in "abc" if store.get(key) is not None] == ["a", "c"]
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 3000


def test_a_full_disk_is_told_once_and_nothing_half_stays(tmp_path, monkeypatch, caplog):
    store = ArrayStore(tmp_path)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("facegraft.array_store.os.replace", full)
    store.put("a", noise(0, 4))
    store.put("b", noise(0, 4))
    assert caplog.text.count("No space left on device") == 1
    assert list(tmp_path.iterdir()) == []
    assert store.get("a") is None


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(WriteError, match="file"):
        ArrayStore(tmp_path / "file" / "store")
