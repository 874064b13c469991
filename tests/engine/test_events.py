"""TensorBoard's event files, read back record by record."""

import struct
from pathlib import Path

import pytest

pytest.importorskip("tensorboardX")

from tensorboardX.proto.event_pb2 import (  # noqa: E402
    Event,  # pyright: ignore[reportAttributeAccessIssue]  # made at import
    SessionLog,  # pyright: ignore[reportAttributeAccessIssue]
)

from facegraft.training.events import EVENTS_FOLDER, EventLog  # noqa: E402


def crc32c(data: bytes) -> int:
    """Castagnoli's polynomial, bit by bit (RFC 3720)."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def masked(data: bytes) -> int:
    """As TensorFlow's record files store it."""
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def records(path: Path) -> list[Event]:
    """The events of a file whose lengths and contents fit their checksums."""
    data, events = path.read_bytes(), []
    while data:
        (length, length_crc) = struct.unpack("<QI", data[:12])
        content, (crc,) = data[12 : 12 + length], struct.unpack("<I", data[12 + length :][:4])
        assert (length_crc, crc) == (masked(data[:8]), masked(content))
        events.append(Event.FromString(content))
        data = data[16 + length :]
    return events


def test_losses_are_read_back_by_tag_and_iteration(tmp_path):
    assert 0xE3069283 == crc32c(b"123456789")  # the polynomial's published check value
    with EventLog(tmp_path, 10) as events:
        for iteration in (11, 12):
            events.add(iteration, {"loss/src": iteration / 4, "loss/dst": 2.0})
    (path,) = (tmp_path / EVENTS_FOLDER).iterdir()
    found = [
        (event.step, value.tag, value.simple_value)
        for event in records(path)
        for value in event.summary.value
    ]
    assert sorted(found) == [
        (11, "loss/dst", 2.0), (11, "loss/src", 2.75),
        (12, "loss/dst", 2.0), (12, "loss/src", 3.0),
    ]  # fmt: skip


def test_what_a_killed_session_wrote_beyond_its_save_is_hidden(tmp_path):
    """By an event that tells TensorBoard to drop everything from that iteration on."""
    EventLog(tmp_path, 10).close()
    (path,) = (tmp_path / EVENTS_FOLDER).iterdir()
    starts = [event.step for event in records(path) if event.session_log.status == SessionLog.START]
    assert [11] == starts
