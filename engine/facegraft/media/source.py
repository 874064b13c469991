"""Frames and where they come from: one way to read movies and numbered images.

`open_source()` looks at the path and returns a FrameSource; callers never ask which kind it is.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Protocol, Self

import numpy as np

NAME_DIGITS = 6  # of a movie frame's name; nine hours at 30 frames a second
PIXEL_MAX = {"uint8": 255.0, "uint16": 65535.0}  # full scale by integer depth


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One picture in time, at the depth it was stored in.

    pixels: (H, W, 3) uint8 or uint16, RGB, display-referred full range, rotation tag applied.
    alpha:  (H, W) of the same dtype, or None where the source has none.
    """

    pixels: np.ndarray
    index: int  # 0-based position in the source
    pts: Fraction  # seconds from the start of the source, exact
    name: str  # file stem of an image; zero-padded index of a movie frame
    alpha: np.ndarray | None = None

    @property
    def image(self) -> np.ndarray:
        """(H, W, 3) float32, RGB, display-referred 0..1; made anew on every call."""
        scale = np.float32(1.0 / PIXEL_MAX[self.pixels.dtype.name])
        return self.pixels.astype(np.float32) * scale

    @property
    def image_u8(self) -> np.ndarray:
        """(H, W, 3) uint8 RGB for detectors; the stored pixels where they are 8-bit already."""
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
    bit_depth: int  # 8 or 16: depth of Frame.pixels
    color: ColorTags
    has_audio: bool
    is_movie: bool
    constant_rate: bool = True  # every frame's time is index / fps
    time_base: Fraction = Fraction(1, 25)  # tick of the stored times, for a variable rate
    pixel_aspect: Fraction = Fraction(1)  # width / height of one pixel, before rotation


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
