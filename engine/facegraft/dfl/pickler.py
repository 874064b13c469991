"""Plain data as a pickle that DeepFaceLab's Python 3.6 and numpy 1 read.

Python's own pickler names numpy's functions as the numpy at hand does, and numpy 2 has moved them
to where numpy 1 finds nothing. So the few opcodes of protocol 3 that are needed are written here.
Format: Python's Lib/pickletools.py.
"""

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np

_MODULE = "numpy.core.multiarray"  # numpy 2 still answers to it


@dataclass(frozen=True, slots=True)
class Call:
    """`module.member(*arguments)` on the reader's side: an enumeration member, an array."""

    module: str
    member: str
    arguments: tuple[Any, ...]


def to_pickle(value: Any) -> bytes:
    """`value` of None, bool, int, float, str, bytes, list, tuple, dict, Call and numpy arrays of
    numbers, as a pickle of protocol 3. Raises: TypeError for anything else."""
    parts = [b"\x80\x03"]
    _write(value, parts)
    return b"".join([*parts, b"."])


def _write(value: Any, parts: list[bytes]) -> None:
    match value:
        case None:
            parts.append(b"N")
        case bool():
            parts.append(b"\x88" if value else b"\x89")
        case int() if -(1 << 31) <= value < 1 << 31:
            parts.append(b"J" + struct.pack("<i", value))
        case int():
            data = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
            parts.append(b"\x8a" + struct.pack("<B", len(data)) + data)
        case float():
            parts.append(b"G" + struct.pack(">d", value))
        case str():
            data = value.encode("utf-8", "surrogatepass")
            parts.append(b"X" + struct.pack("<I", len(data)) + data)
        case bytes():
            parts.append(b"B" + struct.pack("<I", len(value)) + value)
        case list():
            parts.append(b"](")
            for item in value:
                _write(item, parts)
            parts.append(b"e")
        case tuple():
            parts.append(b"(")
            for item in value:
                _write(item, parts)
            parts.append(b"t")
        case dict():
            parts.append(b"}(")
            for key, item in value.items():
                _write(key, parts)
                _write(item, parts)
            parts.append(b"u")
        case Call():
            _name(value.module, value.member, parts)
            _write(value.arguments, parts)
            parts.append(b"R")
        case np.ndarray() if value.dtype.kind in "biuf":
            _write_array(value, parts)
        case _:
            raise TypeError(f"a {type(value).__name__} is no plain data")


def _name(module: str, member: str, parts: list[bytes]) -> None:
    parts.append(f"c{module}\n{member}\n".encode())


def _write_array(array: np.ndarray, parts: list[bytes]) -> None:
    """As numpy's `ndarray.__reduce__`: an empty array, then its shape, type and bytes."""
    little = array.astype(array.dtype.newbyteorder("<"))
    order = "|" if array.dtype.itemsize == 1 else "<"
    _name(_MODULE, "_reconstruct", parts)
    parts.append(b"(")
    _name("numpy", "ndarray", parts)
    _write((0,), parts)
    _write(b"b", parts)
    parts.append(b"tR(")
    _write(1, parts)  # version of the state
    _write(array.shape, parts)
    _write(Call("numpy", "dtype", (little.dtype.str[1:], False, True)), parts)
    _write((3, order, None, None, None, -1, -1, 0), parts)  # 3: version of a dtype's state
    parts.append(b"b")
    _write(False, parts)  # row order
    _write(little.tobytes(), parts)
    parts.append(b"tb")
