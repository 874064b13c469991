"""Pixels of a single-part, uncompressed, 32-bit scanline OpenEXR file, as Blender writes it.

Format: openexr.com, "OpenEXR File Layout". Only this one kind is read, because it is only a way of
getting floats out of a nested render: with no compression a file is a header, a table of offsets
and one chunk per scanline, which numpy reads several times faster than Blender's own loader.
"""

import struct
from pathlib import Path

import numpy as np

_MAGIC = b"v/1\x01"
_VERSION = 2
_LONG_NAMES = 0x400  # the one flag that does not change the layout; Cycles' statistics set it
_FLOAT = 2
_NO_COMPRESSION = 0
_CHANNELS = ["A", "B", "G", "R"]  # stored by name, each a whole scanline
_RGBA = [3, 2, 1, 0]


def read_rgba(path: Path) -> np.ndarray:
    """(H, W, 4) float32 RGBA as stored, row 0 at the top.

    Raises: OSError where the file is missing, ValueError where it is of another kind or cut short.
    """
    data = path.read_bytes()
    try:
        if data[:4] != _MAGIC or struct.unpack_from("<I", data, 4)[0] & ~_LONG_NAMES != _VERSION:
            raise ValueError("not a plain scanline OpenEXR file")
        attributes, position = _attributes(data)
        if _channels(attributes["channels"]) != [(name, _FLOAT) for name in _CHANNELS]:
            raise ValueError("its channels are not R, G, B, A in 32 bit")
        if attributes["compression"][0] != _NO_COMPRESSION:
            raise ValueError("it is compressed")
        x0, y0, x1, y1 = struct.unpack("<4i", attributes["dataWindow"])
    except (KeyError, IndexError, struct.error) as error:
        raise ValueError(f"{path} is a damaged OpenEXR file ({error})") from error
    except ValueError as error:
        raise ValueError(f"{path} cannot be used: {error}") from error
    width, height = x1 - x0 + 1, y1 - y0 + 1
    chunk = np.dtype([("y", "<i4"), ("size", "<i4"), ("line", "<f4", (4, width))])
    start = position + 8 * height  # behind the table of 64-bit chunk offsets
    if len(data) < start + height * chunk.itemsize:
        raise ValueError(f"{path} cannot be used: it is cut short")
    chunks = np.frombuffer(data, chunk, height, start)
    if chunks["y"][0] != y0:
        chunks = chunks[::-1]  # Blender writes from the bottom up
    if not np.array_equal(chunks["y"], np.arange(y0, y1 + 1)):
        raise ValueError(f"{path} cannot be used: its scanlines are out of order")
    pixels = np.empty((height, width, 4), np.float32)
    for channel, stored in enumerate(_RGBA):
        pixels[..., channel] = chunks["line"][:, stored]
    return pixels


def _attributes(data: bytes) -> tuple[dict[str, bytes], int]:
    """Header attributes by name, and where the header ends."""
    attributes: dict[str, bytes] = {}
    position = 8  # magic and version
    while data[position]:
        name_end = data.index(b"\0", position)
        type_end = data.index(b"\0", name_end + 1)
        (size,) = struct.unpack_from("<i", data, type_end + 1)
        value = type_end + 5
        attributes[data[position:name_end].decode()] = data[value : value + size]
        position = value + size
    return attributes, position + 1


def _channels(value: bytes) -> list[tuple[str, int]]:
    """(name, pixel type) of each channel; an entry is name, type, linear flag and two samplings."""
    channels = []
    position = 0
    while value[position]:
        end = value.index(b"\0", position)
        channels.append((value[position:end].decode(), struct.unpack_from("<i", value, end + 1)[0]))
        position = end + 17
    return channels
