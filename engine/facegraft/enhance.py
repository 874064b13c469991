"""Enhancer: any image-to-image ONNX file, a super resolution or a face restoration network.

FaceGraft brings none. A file fits if it takes one RGB or BGR picture, (1, 3, H, W) or (1, H, W, 3),
float32 or float16, of one fixed square size or of any, and gives a picture 1, 2 or 4 times as
large. Such files do not say what numbers stand for black and white. Known are 0..1, common for
super resolution, and -1..1, common for face restoration. The user says which; else the file's
metadata does (`facegraft_range`: "0..1" or "-1..1", `facegraft_channels`: "rgb" or "bgr"); else it
is guessed: -1..1 for a file of fixed size that does not enlarge, 0..1 for others, and RGB.
"""

import logging
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Self, TypeVar

import cv2
import numpy as np
import onnxruntime

from facegraft.errors import NotAModel, ParameterError
from facegraft.onnx_file import OnnxFile, describe, open_onnx

log = logging.getLogger(__name__)

RANGE_KEY = "facegraft_range"
CHANNELS_KEY = "facegraft_channels"
NEXT_STEP = (
    "choose a network that takes one picture, [1, 3, height, width] or [1, height, width, 3], and "
    "gives it 1, 2 or 4 times as large"
)
_FACTORS = (1, 2, 4)
_PROBE_PX = 64  # side that shows how much a file of any size enlarges; a multiple of its strides
_DTYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16}
_NUMBERS = {**_DTYPES, "tensor(double)": np.float64}

Option = TypeVar("Option", bound=StrEnum)


class PixelRange(StrEnum):
    """Which numbers are black and white; `auto` asks the file, then guesses."""

    AUTO = "auto"
    UNIT = "0..1"
    SIGNED = "-1..1"


class ChannelOrder(StrEnum):
    AUTO = "auto"
    RGB = "rgb"
    BGR = "bgr"


class Enhancer:
    """An open network; `Enhancer.open` makes it."""

    path: Path
    digest: str  # of the file and of how its numbers are read: the cache key of its pictures
    size: int | None  # px, the side of what it takes; None for any
    pixel_range: PixelRange  # never auto
    channels: ChannelOrder  # never auto

    def __init__(self, file: OnnxFile, pixel_range: PixelRange, channels: ChannelOrder):
        """Raises: NotAModel where the file does not fit, ModelError where it does not run."""
        self.path = file.path
        self._file = file
        picture, *numbers = _check_inputs(file)
        self._name, self._dtype = picture.name, _DTYPES[picture.type]
        self._channels_first = picture.shape[1] == 3
        height = picture.shape[2 if self._channels_first else 1]
        self.size = height if isinstance(height, int) else None
        self._numbers = {n.name: np.ones([1] * len(n.shape), _NUMBERS[n.type]) for n in numbers}
        self._enlarges = self._measure()
        guess = PixelRange.SIGNED if self.size and self._enlarges == 1 else PixelRange.UNIT
        self.pixel_range = _read(file, pixel_range, RANGE_KEY, guess)
        self.channels = _read(file, channels, CHANNELS_KEY, ChannelOrder.RGB)
        self.digest = f"{file.digest} {self.pixel_range} {self.channels}"

    @classmethod
    def open(
        cls,
        path: Path,
        providers: Sequence[str] | None = None,
        threads: int = 0,
        pixel_range: PixelRange = PixelRange.AUTO,
        channels: ChannelOrder = ChannelOrder.AUTO,
    ) -> Self:
        """Open an ONNX file; `providers` and `threads` as in `SwapModel.open`.

        Raises: NotAModel naming what is wrong with the file, ModelError where it does not run,
        ParameterError for an unknown provider.
        """
        file = open_onnx(path, providers, threads, NEXT_STEP)
        enhancer = cls(file, pixel_range, channels)
        log.info("%s on %s", enhancer, file.provider)
        return enhancer

    def factor(self, side: int) -> int:
        """How many times as large as `side` px the pictures of `enhance` are: 1, 2 or 4.

        A file of fixed size has its own idea of the result's side; the nearest factor is taken.
        """
        if self.size is None:
            return self._enlarges
        wanted = self.size * self._enlarges / side
        return min(_FACTORS, key=lambda factor: abs(np.log2(wanted / factor)))

    def enhance(self, face: np.ndarray) -> np.ndarray:
        """`face` (R, R, 3) float32 RGB 0..1 as the network sees it, (kR, kR, 3) float32 RGB 0..1
        with k = `factor(R)`. What lies outside 0..1 is clipped.

        Raises: ParameterError for another shape; NotAModel where the network answers with another
        than it should; ModelError where it fails.
        """
        side = len(face)
        if face.shape != (side, side, 3) or not side:
            raise ParameterError(f"the face has shape {face.shape}; an enhancer takes (R, R, 3)")
        result = self._run(_resized(face, self.size or side))
        # clipped last, since enlarging overshoots
        result = np.clip(_resized(result, side * self.factor(side)), 0, 1)
        return np.ascontiguousarray(result)

    def _run(self, picture: np.ndarray) -> np.ndarray:
        """(S, S, 3) to (S * enlarges, S * enlarges, 3), both RGB; black is 0, white 1."""
        picture = np.clip(picture, 0, 1)
        if self.pixel_range is PixelRange.SIGNED:
            picture = picture * 2 - 1
        if self.channels is ChannelOrder.BGR:
            picture = picture[..., ::-1]
        result = self._answer(picture)
        side = len(picture) * self._enlarges
        if result.shape != (side, side, 3):
            raise self._unfit(f"for {picture.shape} it answers with {result.shape}")
        if self.channels is ChannelOrder.BGR:
            result = result[..., ::-1]
        if self.pixel_range is PixelRange.SIGNED:
            result = (result + 1) / 2
        return result

    def _answer(self, picture: np.ndarray) -> np.ndarray:
        """(H, W, 3) in the file's own numbers and order, float32; (h, w, 3) of the first output."""
        fed = picture.transpose(2, 0, 1) if self._channels_first else picture
        feeds = {self._name: np.ascontiguousarray(fed[None], self._dtype), **self._numbers}
        answer = self._file.run(feeds)[0]
        if answer.ndim != 4 or len(answer) != 1 or 3 not in (answer.shape[1], answer.shape[3]):
            raise self._unfit(f"it answers with shape {list(answer.shape)}")
        answer = answer[0].astype(np.float32)
        return answer.transpose(1, 2, 0) if answer.shape[0] == 3 else answer

    def _measure(self) -> int:
        """How many times larger the answer is: as the file states, else as a run of it shows."""
        output = self._file.session.get_outputs()[0]
        shape = output.shape or []
        side = self.size or _PROBE_PX
        stated = [n for n in shape[1:] if isinstance(n, int)]
        if self.size and len(stated) == 3 and stated.count(3) == 1:
            height, width = (n for n in stated if n != 3)
        else:
            height, width, _ = self._answer(np.full((side, side, 3), 0.5, np.float32)).shape
        if height != width or height not in [side * factor for factor in _FACTORS]:
            raise self._unfit(f"of {side}x{side} px it makes {width}x{height}")
        return height // side

    def _unfit(self, reason: str) -> NotAModel:
        return _unfit(self._file, reason)

    def __repr__(self) -> str:
        size = f"{self.size} px" if self.size else "any size"
        return (
            f"Enhancer({self.path.name}, {size}, {self._enlarges}x, {self.pixel_range}, "
            f"{self.channels})"
        )


def _check_inputs(file: OnnxFile) -> Sequence[onnxruntime.NodeArg]:
    """The file's inputs: a picture, and numbers that are held at 1.

    CodeFormer has such a number, and 1 is its most faithful.
    """
    inputs = file.session.get_inputs()
    if not inputs or not file.session.get_outputs():
        raise _unfit(file, "it has no inputs or no outputs")
    picture, *rest = inputs
    shape = picture.shape
    if len(shape) != 4 or 3 not in (shape[1], shape[3]):
        raise _unfit(file, "its first input is no picture of three channels")
    if picture.type not in _DTYPES:
        raise _unfit(file, f"{picture.name} takes neither float32 nor float16")
    if isinstance(shape[0], int) and shape[0] != 1:
        raise _unfit(file, f"{picture.name} takes {shape[0]} pictures at once")
    height, width = shape[2:] if shape[1] == 3 else shape[1:3]
    if height != width and (isinstance(height, int) or isinstance(width, int)):
        raise _unfit(file, f"{picture.name} is not square")
    for number in rest:
        if number.type not in _NUMBERS or any(n != 1 for n in number.shape):
            raise _unfit(file, f"its input {number.name} is neither a picture nor one number")
    return inputs


def _unfit(file: OnnxFile, reason: str) -> NotAModel:
    taken = describe(file.session.get_inputs())
    given = describe(file.session.get_outputs())
    return NotAModel(
        f"{file.path} is no enhancer: {reason}. It takes {taken} and gives {given}; {NEXT_STEP}"
    )


def _read(file: OnnxFile, wanted: Option, key: str, guess: Option) -> Option:
    """`wanted` unless it is auto, else what the metadata says, else the guess."""
    if wanted.value != "auto":
        return wanted
    said = file.metadata.get(key)
    if said is None:
        return guess
    known = [option for option in type(wanted) if option.value != "auto"]
    for option in known:
        if said.strip().lower() == option.value:
            return option
    raise NotAModel(
        f"{file.path} says {key} = {said!r}; known are {', '.join(known)}. Correct its "
        "metadata, or name the right one when opening it"
    )


def _resized(picture: np.ndarray, side: int) -> np.ndarray:
    """(S, S, 3) at another side, area-filtered where it gets smaller."""
    if len(picture) == side:
        return picture
    how = cv2.INTER_AREA if side < len(picture) else cv2.INTER_CUBIC
    return cv2.resize(np.ascontiguousarray(picture), (side, side), interpolation=how)
