"""Messages, the refusal sentences, and the shared mapping."""

import os
import socket
import struct
import tempfile
import threading
from pathlib import Path

import numpy as np
import pytest

from facegraft import __version__, errors
from facegraft.errors import NotAModel, ProtocolError, WorkerError, WorkerTimeout, WriteError
from facegraft.worker import mapping, protocol
from facegraft.worker.mapping import SharedMapping, frame_bytes


@pytest.fixture
def pair():
    left, right = socket.socketpair()
    with left, right:
        yield left, right


def test_a_message_is_a_little_endian_length_and_utf8_json():
    """The bytes that another language has to write."""
    assert protocol.encode({"type": "ping", "id": 1, "text": "é"}) == (
        struct.pack("<I", 39) + '{"type": "ping", "id": 1, "text": "é"}'.encode()
    )


def test_a_message_comes_out_as_it_went_in(pair):
    """Large and non-Latin messages survive the socket."""
    left, right = pair
    message = {"type": "x", "path": "/тест/日本", "long": "a" * 300_000, "n": [1, 2.5, None, True]}
    sender = threading.Thread(target=protocol.send, args=(left, protocol.encode(message)))
    sender.start()
    body = protocol.receive(right, 5)
    sender.join()
    assert body is not None and protocol.decode(body) == message


def test_an_end_between_messages_is_none_and_inside_one_an_error(pair):
    """A truncated message is never taken for a whole one."""
    left, right = pair
    left.sendall(struct.pack("<I", 100) + b'{"type"')
    left.shutdown(socket.SHUT_WR)
    with pytest.raises(ConnectionError):
        protocol.receive(right, 5)
    right.shutdown(socket.SHUT_WR)
    assert protocol.receive(left, 5) is None


def test_an_oversize_length_is_refused_before_it_is_read(pair):
    """No memory is taken on the word of a stranger."""
    left, right = pair
    left.sendall(struct.pack("<I", 0xFFFFFFFF))
    with pytest.raises(ProtocolError, match="4294967295 bytes"):
        protocol.receive(right, 5)


def test_silence_and_stalls_time_out(pair, monkeypatch):
    """Both a message that never begins and one that stops half way."""
    left, right = pair
    with pytest.raises(WorkerTimeout, match="within 0.05 s"):
        protocol.receive(right, 0.05)
    monkeypatch.setattr(protocol, "MESSAGE_S", 0.05)
    left.sendall(b"\x10")
    with pytest.raises(WorkerTimeout, match="stalled"):
        protocol.receive(right, 5)


@pytest.mark.parametrize("body", [b"\xff\xfe", b"{", b"[1]", b'{"type": 3}', b"{}", b"[" * 90_000])
def test_what_is_no_message_is_named_so(body):
    """Neither bad UTF-8, bad JSON, nesting without end nor a missing type gets further."""
    with pytest.raises(ProtocolError):
        protocol.decode(body)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object(), "\ud800"])
def test_what_json_cannot_hold_is_not_sent(value):
    """A NaN would be read differently by every language."""
    with pytest.raises(ProtocolError):
        protocol.encode({"type": "x", "value": value})


def test_a_good_hello_passes():
    protocol.check_hello(protocol.hello("t", "test"))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"protocol": 0}, "update the plug-in"),
        ({"protocol": 99}, "update the engine"),
        ({"protocol": None}, "update the engine"),
        ({"table_digest": "0" * 16, "version": "0.0.9"}, "update the plug-in"),
        ({"table_digest": "0" * 16, "version": "99.0.0"}, "update the engine"),
        ({"table_digest": "0" * 16}, "reinstall both from the same release"),
        ({"type": "merge"}, "send 'hello' first"),
    ],
)
def test_a_refusal_says_which_side_to_update(change, sentence):
    """The user can act on the sentence."""
    with pytest.raises(ProtocolError, match=sentence):
        protocol.check_hello({**protocol.hello("t", "test"), **change})


def test_errors_keep_their_class_and_text_across_the_channel():
    """A host can tell a missing model from a missing network."""
    there = protocol.error_from(protocol.error_message(NotAModel("no model is set")))
    assert type(there) is NotAModel and str(there) == "no model is set"
    own = protocol.error_from(protocol.error_message(KeyError("x")))
    assert type(own) is WorkerError and "KeyError" in str(own)


@pytest.mark.parametrize("name", ["SystemExit", "FutureError", "annotations", None])
def test_an_error_name_outside_the_family_becomes_a_worker_error(name):
    """Nothing but the family can be raised by a message."""
    assert type(protocol.error_from({"error": name, "text": "x"})) is WorkerError
    assert not hasattr(errors, "SystemExit")


def test_two_mappings_of_one_file_show_the_same_pixels():
    """What one side writes the other reads, after the name is gone as well."""
    size = 2 * frame_bytes(5, 3)
    mine = SharedMapping.create(size)
    path = Path(mine.path)
    assert path.stat().st_mode & 0o777 == 0o600
    theirs = SharedMapping.open(mine.path, size)
    mine.remove_name()
    assert not path.exists()
    pixels = np.arange(60, dtype=np.float32).reshape(3, 5, 4)
    mine.frame(frame_bytes(5, 3), 5, 3)[:] = pixels
    assert np.array_equal(theirs.frame(frame_bytes(5, 3), 5, 3), pixels)
    assert frame_bytes(5, 3) == 256  # 240 bytes rounded up to a multiple of 64
    mine.close()
    theirs.close()


def test_a_mapping_refuses_frames_that_do_not_fit():
    """Past the end, before the start, or off the 64-byte grid."""
    shared = SharedMapping.create(4096)
    path = Path(shared.path)
    for offset, width, height in ((0, 17, 16), (-64, 1, 1), (32, 1, 1), (4096, 1, 1)):
        with pytest.raises(ProtocolError, match="does not fit|multiple"):
            shared.frame(offset, width, height)
    shared.close()
    assert not path.exists()


def test_only_a_private_file_of_the_stated_size_is_mapped(tmp_path):
    """Not a relative path, another size, a folder, a link, or a file that others may read."""
    file = tmp_path / "f"
    file.write_bytes(bytes(4096))
    file.chmod(0o600)
    link = tmp_path / "link"
    link.symlink_to(file)
    open_file = tmp_path / "open"
    open_file.write_bytes(bytes(4096))
    open_file.chmod(0o644)
    SharedMapping.open(str(file), 4096).close()
    for path, size in (
        ("f", 4096),
        (str(file), 4097),
        (str(file), 0),
        (str(file), 1 << 60),
        (str(tmp_path), 4096),
        (str(link), 4096),
        (str(open_file), 4096),
        (str(tmp_path / "missing"), 4096),
    ):
        with pytest.raises(ProtocolError):
            SharedMapping.open(path, size)


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="the room is taken by writing")
def test_a_full_memory_folder_falls_back_and_two_full_ones_say_so(tmp_path, monkeypatch):
    """Writing into pages without room would end the host by a signal; this must be an error."""
    real = os.posix_fallocate

    def full_in_memory(handle: int, offset: int, size: int) -> None:
        if os.readlink(f"/proc/self/fd/{handle}").startswith(full):
            raise OSError(28, "No space left on device")
        real(handle, offset, size)

    monkeypatch.setattr(os, "posix_fallocate", full_in_memory)
    memory = tmp_path / "memory"
    memory.mkdir()
    monkeypatch.setattr(mapping, "_MEMORY_FOLDER", memory)
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path))
    full = str(memory)
    shared = SharedMapping.create(1 << 20)
    assert Path(shared.path).parent == tmp_path
    shared.close()
    full = str(tmp_path)
    with pytest.raises(WriteError, match="no room for 1 MB"):
        SharedMapping.create(1 << 20)
    assert not list(memory.iterdir()) and [p.name for p in tmp_path.iterdir()] == ["memory"]


def test_the_versions_compared_are_numbers():
    """0.10 is newer than 0.9."""
    assert protocol._numbers("0.10.0") > protocol._numbers("0.9.1")
    assert protocol._numbers(__version__)
