"""The names that DeepFaceLab's pickles use, and what each becomes: arrays, numbers, bytes.

Nothing is looked up or imported by name: `unpickle.py` refuses a name that KNOWN lacks. Arrays:
numpy's `ndarray.__reduce__`. The arguments come from a stranger's file, so each is checked before
use.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from facegraft.errors import DflFormatError

MOST_DIMS = 8  # of an array; previews have 5
_NUMBERS = re.compile("b1|[iu][1248]|f[248]")  # as numpy writes its types; objects are refused


@dataclass(frozen=True, slots=True)
class Name:
    """A module's member that the file asks for; never looked up."""

    module: str
    member: str

    def __str__(self) -> str:
        return f"{self.module}.{self.member}"


class Dtype:
    """A numpy dtype until its BUILD, which tells the byte order."""

    def __init__(self, text: Any) -> None:
        if not isinstance(text, str) or not _NUMBERS.fullmatch(text):
            raise DflFormatError(f"an array of the type {show(text)}; only numbers are read")
        self.dtype = np.dtype(text)

    def build(self, state: Any) -> "Dtype":
        """State: version, byte order, then fields and sizes that numbers leave empty."""
        order = state[1] if isinstance(state, tuple) and len(state) > 1 else None
        if not isinstance(order, str) or order not in ("<", ">", "=", "|"):
            raise DflFormatError(f"a number type with the byte order {show(order)}")
        self.dtype = self.dtype.newbyteorder(order)
        return self


class EmptyArray:
    """numpy's `_reconstruct`: an array whose BUILD brings shape, type and bytes."""

    def build(self, state: Any) -> np.ndarray:
        if not isinstance(state, tuple) or len(state) != 5:
            raise DflFormatError("an array without shape, type and bytes")
        _, shape, dtype, is_fortran, data = state
        if not isinstance(dtype, Dtype) or not _is_shape(shape) or not _is_bytes(data):
            raise DflFormatError("an array whose shape, type or bytes are something else")
        count = 1
        for side in shape:
            count *= side
        if count * dtype.dtype.itemsize != len(data):
            raise DflFormatError(
                f"an array of shape {shape} and type {dtype.dtype} with {len(data)} bytes instead "
                f"of {count * dtype.dtype.itemsize}"
            )
        flat = np.frombuffer(data, dtype.dtype)
        return flat.reshape(shape, order="F" if is_fortran is True else "C")


def show(value: Any) -> str:
    """A short text for a message; of anything nested, its type alone."""
    if isinstance(value, str | int | float | Name):
        return str(value)[:80]
    return type(value).__name__


def _is_shape(shape: Any) -> bool:
    if not isinstance(shape, tuple) or len(shape) > MOST_DIMS:
        return False
    return all(isinstance(side, int) and side >= 0 for side in shape)


def _is_bytes(data: Any) -> bool:
    return isinstance(data, bytes | memoryview)


def _reconstruct(cls: Any, *_: Any) -> EmptyArray:
    if cls != Name("numpy", "ndarray"):
        raise DflFormatError(f"an array of the class {show(cls)}")
    return EmptyArray()


def _scalar(dtype: Any, data: Any = None) -> Any:
    """A numpy number as Python's own."""
    if not isinstance(dtype, Dtype) or not _is_bytes(data):
        raise DflFormatError("a number whose type or bytes are something else")
    if len(data) != dtype.dtype.itemsize:
        raise DflFormatError(f"a number of type {dtype.dtype} with {len(data)} bytes")
    return np.frombuffer(data, dtype.dtype)[0].item()


def _encode(text: Any, codec: Any = None) -> bytes:
    """How protocol 2 spells bytes."""
    if not isinstance(text, str) or not isinstance(codec, str) or codec != "latin1":
        raise DflFormatError(f"bytes in the encoding {show(codec)}")
    return text.encode("latin1")


def _member(value: Any) -> int:
    """An IntEnum member: DeepFaceLab's sample type and face type, as the number it is."""
    if not isinstance(value, int):
        raise DflFormatError(f"an enumeration member {show(value)}")
    return int(value)


# every name that these formats use, and what it becomes; numpy 2 renamed `core` to `_core`
CALLS: dict[Name, Callable[..., Any]] = {
    Name("numpy", "dtype"): lambda text, *_: Dtype(text),
    Name("_codecs", "encode"): _encode,
    Name("samplelib.Sample", "SampleType"): _member,
    Name("facelib.FaceType", "FaceType"): _member,
}
for _core in ("numpy.core.multiarray", "numpy._core.multiarray"):
    CALLS[Name(_core, "_reconstruct")] = _reconstruct
    CALLS[Name(_core, "scalar")] = _scalar
KNOWN = {*CALLS, Name("numpy", "ndarray")}
