"""Where DeepFaceLab keeps a face's data: the APP15 segment of a JPEG file.

The segment (ISO/IEC 10918-1 B.2.4.6) stands after the other APPn segments and holds a pickle of one
dict. The picture's own bytes are never touched, read or decoded here.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from facegraft.dfl.pickler import to_pickle
from facegraft.dfl.unpickle import unpickle
from facegraft.errors import DflFormatError

LIMIT = 65533  # bytes; a segment's length has 16 bits and counts itself
_SOS, _COM, _APP0, _APP15 = 0xDA, 0xFE, 0xE0, 0xEF
# start of frame: C0 to CF without the tables DHT (C4), JPG (C8) and DAC (CC)
_SOF = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


@dataclass(frozen=True, slots=True)
class Segment:
    """A marker and what belongs to it; `data[start:end]` includes marker and length."""

    marker: int
    start: int
    end: int


def segments(data: bytes, where: str) -> Iterator[Segment]:
    """The segments up to the first scan. Raises: DflFormatError for damage."""
    if data[:2] != b"\xff\xd8":
        raise DflFormatError(f"{where} is no JPEG file")
    at = 2
    while True:
        while data[at : at + 2] == b"\xff\xff":  # fill bytes
            at += 1
        head = data[at : at + 4]
        if len(head) < 4 or head[0] != 0xFF:
            raise DflFormatError(f"{where} is damaged: no segment at byte {at}")
        marker, length = head[1], struct.unpack(">H", head[2:])[0]
        if marker == _SOS:
            return
        if length < 2 or at + 2 + length > len(data):
            raise DflFormatError(f"{where} is cut short at byte {at}")
        yield Segment(marker, at, at + 2 + length)
        at += 2 + length


def image_size(data: bytes, where: str) -> tuple[int, int]:
    """(width, height) in px as the file says. Raises: DflFormatError."""
    for segment in segments(data, where):
        if segment.marker in _SOF:
            if segment.end - segment.start < 9:
                break
            height, width = struct.unpack(">HH", data[segment.start + 5 : segment.start + 9])
            return width, height
    raise DflFormatError(f"{where} is damaged: it does not say its size")


def read_dict(data: bytes, where: str) -> dict[str, Any] | None:
    """DeepFaceLab's dict in a JPEG file, None where it has none.

    Raises: DflFormatError for damage, and for pickles of more than plain data.
    """
    for segment in segments(data, where):
        if segment.marker == _APP15:
            values = unpickle(data[segment.start + 4 : segment.end], where)
            if not isinstance(values, dict):
                raise DflFormatError(f"{where}: its face data is no dict")
            return values
    return None


def without_data(data: bytes, comments: tuple[bytes, ...], where: str) -> bytes:
    """The file without APP15 and without comments that begin like one of `comments`.

    Raises: DflFormatError.
    """
    kept, at = [], 0
    for segment in segments(data, where):
        is_comment = segment.marker == _COM and data.startswith(comments, segment.start + 4)
        if segment.marker == _APP15 or is_comment:
            kept.append(data[at : segment.start])
            at = segment.end
    return b"".join([*kept, data[at:]])


def with_dict(data: bytes, values: dict[str, Any], where: str) -> bytes:
    """The JPEG file with `values` as its APP15 segment, after the other APPn segments.

    Raises: DflFormatError where the values do not fit into a segment.
    """
    payload = to_pickle(values)
    if len(payload) > LIMIT:
        raise DflFormatError(
            f"{where}: the face data takes {len(payload)} bytes, DeepFaceLab's segment holds "
            f"{LIMIT}; a polygon with fewer points or a smaller mask fits"
        )
    at = 2
    for segment in segments(data, where):
        if _APP0 <= segment.marker <= _APP15:
            at = segment.end
    segment_bytes = b"\xff\xef" + struct.pack(">H", len(payload) + 2) + payload
    return data[:at] + segment_bytes + data[at:]
