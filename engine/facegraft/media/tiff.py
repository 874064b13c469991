"""Tags of TIFF files that OpenCV neither writes nor reads as we need them (TIFF 6.0, section 2).

OpenCV writes no ImageDescription, no XMP and leaves open what a fourth channel is; and it
multiplies 8-bit colour by an alpha that says it is straight, which would change every pixel.
Classic TIFF of one picture; the image data stay where they are.
"""

import struct

from facegraft.media.provenance import Provenance

_BYTE, _ASCII, _SHORT = 1, 2, 3  # types of fields
_DESCRIPTION, _EXTRA_SAMPLES, _XMP = 270, 338, 700
_UNSPECIFIED, _STRAIGHT = 0, 2  # values of ExtraSamples
_HEADS = {b"II*\0": "<", b"MM\0*": ">"}  # byte order by the first four bytes


def with_tags(data: bytes, about: Provenance | None, has_alpha: bool) -> bytes:
    """The TIFF with its directory written anew at the end: description, XMP, straight alpha."""
    order = _HEADS[data[:4]]
    entries = dict(_entries(data, order))
    base = len(data) + len(data) % 2  # values and directories begin at even places
    values = b""
    fields: list[tuple[int, int, bytes, int]] = []
    if about is not None:
        text = about.text.encode("ascii", "replace") + b"\0"
        packet = about.xmp()
        fields = [(_DESCRIPTION, _ASCII, text, len(text)), (_XMP, _BYTE, packet, len(packet))]
    if has_alpha:
        fields.append((_EXTRA_SAMPLES, _SHORT, struct.pack(order + "H", _STRAIGHT), 1))
    for tag, kind, value, count in fields:
        place = value.ljust(4, b"\0")
        if len(value) > 4:
            place = struct.pack(order + "I", base + len(values))
            values += value + b"\0" * (len(value) % 2)
        entries[tag] = struct.pack(order + "HHI", tag, kind, count) + place
    directory = struct.pack(order + "H", len(entries))
    directory += b"".join(entries[tag] for tag in sorted(entries)) + b"\0\0\0\0"
    head = data[:4] + struct.pack(order + "I", base + len(values))
    return head + data[8:].ljust(base - 8, b"\0") + values + directory


def without_alpha_kind(data: bytes) -> bytes:
    """The TIFF as a reader should see it that must not multiply colour by a straight alpha."""
    order = _HEADS.get(data[:4])
    if order is None:
        return data
    for position, entry in _places(data, order):
        tag, kind, count = struct.unpack(order + "HHI", entry[:8])
        if tag == _EXTRA_SAMPLES and kind == _SHORT and count == 1:
            value = struct.pack(order + "H", _UNSPECIFIED)
            return data[: position + 8] + value + data[position + 10 :]
    return data


def _entries(data: bytes, order: str) -> list[tuple[int, bytes]]:
    """Tags of the first directory with their entries of 12 bytes."""
    return [(struct.unpack(order + "H", e[:2])[0], e) for _, e in _places(data, order)]


def _places(data: bytes, order: str) -> list[tuple[int, bytes]]:
    """Where in the file each entry of the first directory begins, and its 12 bytes; none past the
    end of a file that was cut short."""
    if len(data) < 8:
        return []
    start = struct.unpack(order + "I", data[4:8])[0]
    if start + 2 > len(data):
        return []
    count = struct.unpack(order + "H", data[start : start + 2])[0]
    places = [start + 2 + 12 * index for index in range(count)]
    return [(p, data[p : p + 12]) for p in places if p + 12 <= len(data)]
