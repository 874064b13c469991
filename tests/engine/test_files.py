"""A file is there whole or not at all."""

import errno
import os
from pathlib import Path

import pytest

from facegraft.errors import WriteError
from facegraft.files import atomic_path, write_atomic


def test_an_error_while_writing_keeps_the_old_file_and_leaves_nothing_behind(
    tmp_path: Path,
) -> None:
    target = tmp_path / "a.bin"
    write_atomic(target, b"old")
    with pytest.raises(RuntimeError), atomic_path(target) as temporary:
        temporary.write_bytes(b"half")
        raise RuntimeError("stop")
    assert target.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.bin"]


def test_a_full_disk_names_the_file_and_the_next_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_space(_fd: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    target = tmp_path / "a.bin"
    write_atomic(target, b"old")
    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(WriteError, match=r"a\.bin: No space left on device; free space"):
        write_atomic(target, b"new")
    assert target.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.bin"]


def test_a_folder_that_is_a_file_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WriteError, match="cannot write"):
        write_atomic(tmp_path / "file" / "a.bin", b"")


def test_permissions_follow_the_users_mask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_atomic(tmp_path / "a.bin", b"")
    finally:
        os.umask(before)
    assert (tmp_path / "a.bin").stat().st_mode & 0o777 == 0o640
