"""Frames and where they come from: one way to read movies and numbered images.

`open_source()` looks at the path and returns a FrameSource; callers never ask which kind it is.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Self

import numpy as np

from facegraft.media.images import to_depth, to_unit
from facegraft.media.working_space import DISPLAY, WorkingSpace

if TYPE_CHECKING:
    from facegraft.media.exr import StoredExr

NAME_DIGITS = 6  # of a movie frame's name; nine hours at 30 frames a second


WHOLE = np.s_[:, :]  # the area of a whole frame
LARGEST = 65504.0  # of half floats; infinite pixels count as it where something is computed


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One picture in time, at the depth it was stored in.

    pixels: (H, W, 3) uint8, uint16 or float32, RGB full range in `space`, rotation tag applied.
            Floats hold any value, NaN too.
    alpha:  (H, W) of the same dtype, or None where the source has none.
    space:  what the numbers mean.
    premultiplied: colour was multiplied by alpha, as EXR files have it.
    stored: all that an EXR file holds beside the picture, for writing it again.
    """

    pixels: np.ndarray
    index: int  # 0-based position in the source
    pts: Fraction  # seconds from the start of the source, exact
    name: str  # file stem of an image; zero-padded index of a movie frame
    alpha: np.ndarray | None = None
    space: WorkingSpace = DISPLAY
    premultiplied: bool = False
    stored: "StoredExr | None" = None

    @property
    def is_float(self) -> bool:
        return self.pixels.dtype.kind == "f"

    def display(self, area: tuple[slice, slice] = WHOLE) -> np.ndarray:
        """(h, w, 3) float32 of a rectangle: RGB, display-referred, straight, finite, unclipped.

        Made anew on every call.
        """
        values = self.pixels[area]
        if self.is_float:
            image = np.nan_to_num(values, nan=0.0, posinf=LARGEST, neginf=-LARGEST)
        else:
            image = to_unit(values)
        coverage = self._coverage(area)
        if coverage is not None:
            image /= coverage
        return self.space.to_display(image)

    def from_display(self, image: np.ndarray, area: tuple[slice, slice] = WHOLE) -> np.ndarray:
        """A rectangle that `display` gave, changed or not, as pixels of this frame's kind.

        Floats come back to within the error of `space`, integers rounded and clipped.
        """
        values = self.space.from_display(image)
        coverage = self._coverage(area)
        if coverage is not None:
            values = values * coverage
        return values if self.is_float else to_depth(values, 8 * self.pixels.dtype.itemsize)

    def _coverage(self, area: tuple[slice, slice]) -> np.ndarray | None:
        """(h, w, 1) what colour was multiplied by, 1 where alpha is 0 or makes no difference."""
        if not self.premultiplied or self.alpha is None:
            return None
        alpha = self.alpha[area]
        if not alpha.size or alpha.min() >= 1:
            return None
        return np.where((alpha > 0) & (alpha < 1), alpha, np.float32(1))[..., None]

    @property
    def image(self) -> np.ndarray:
        """(H, W, 3) float32, RGB, display-referred; made anew on every call."""
        return self.display()

    @property
    def image_u8(self) -> np.ndarray:
        """(H, W, 3) uint8 RGB for detectors; the stored pixels where they are 8-bit already."""
        if not self.space.is_display or self.is_float:
            return to_depth(self.display(), 8)
        if self.pixels.dtype == np.uint8:
            return self.pixels
        return (self.pixels >> 8).astype(np.uint8)

    def __repr__(self) -> str:
        height, width = self.pixels.shape[:2]
        return f"Frame({self.name}, {width}x{height} {self.pixels.dtype}, {float(self.pts):.3f} s)"


@dataclass(frozen=True, slots=True)
class ColorTags:
    """Colour description of a stream, as FFmpeg's enum names; '' where the file says nothing."""

    primaries: str = ""  # "bt709", ...
    transfer: str = ""  # "bt709", "iec61966-2-1", ...
    matrix: str = ""  # "bt709", "smpte170m", "rgb", ...
    range: str = ""  # "tv" or "pc"


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """What is known before the first frame is decoded."""

    path: Path
    width: int  # px, after rotation
    height: int
    frame_count: int  # exact for sequences; for movies counted from the index of packets
    fps: Fraction  # average rate; 25 for a sequence unless the caller says otherwise
    bit_depth: int  # 8 or 16: of Frame.pixels; 16 for floats, the depth of whole numbers from them
    color: ColorTags
    has_audio: bool
    is_movie: bool
    constant_rate: bool = True  # every frame's time is index / fps
    time_base: Fraction = Fraction(1, 25)  # tick of the stored times, for a variable rate
    pixel_aspect: Fraction = Fraction(1)  # width / height of one pixel, before rotation
    space: WorkingSpace = DISPLAY  # of Frame.pixels
    is_float: bool = False  # Frame.pixels are float32


class FrameSource(Protocol):
    """Frames in order and by index; close it, or use it as a context manager."""

    @property
    def info(self) -> SourceInfo: ...

    def __iter__(self) -> Iterator[Frame]: ...

    def __getitem__(self, index: int) -> Frame:
        """The frame at a 0-based index. Raises: IndexError outside, UnreadableMedia if corrupt."""
        ...

    def at_time(self, pts: Fraction) -> Frame:
        """The frame shown at an exact time in seconds: the last one whose pts is not later.

        Raises: IndexError before the first frame; after the end the last frame stays.
        """
        ...

    def time_of(self, index: int) -> Fraction:
        """Seconds from the start of the source at which a frame appears; nothing is decoded."""
        ...

    def name_of(self, index: int) -> str:
        """Frame.name of the frame at an index; nothing is decoded."""
        ...

    def close(self) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *exc_info: object) -> None: ...
