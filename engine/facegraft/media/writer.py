"""Pictures out: a movie (`VideoWriter`) or numbered images (`SequenceWriter`), one interface.

Both take uint8, uint16 or float32 0..1 RGB in display-referred full range. Files appear under their
name only once they are complete; whatever goes wrong leaves nothing behind and an older file alone.
"""

from fractions import Fraction
from pathlib import Path
from typing import Protocol, Self

import numpy as np

from facegraft.media.codecs import VideoCodec
from facegraft.media.images import DEEP_SUFFIXES, JPEG_QUALITY, to_depth, write_image
from facegraft.media.movie_writer import VideoWriter
from facegraft.media.source import NAME_DIGITS, SourceInfo

__all__ = ["FrameWriter", "SequenceWriter", "VideoWriter", "open_writer"]


class FrameWriter(Protocol):
    """Where finished frames go; close it, or use it as a context manager."""

    def write(
        self,
        pixels: np.ndarray,
        name: str = "",
        pts: Fraction | None = None,
        alpha: np.ndarray | None = None,
    ) -> None:
        """Add a frame: (H, W, 3) RGB or (H, W) grey; uint8, uint16 or float32 0..1 (rounded).

        name: file stem in a sequence. pts: seconds in a movie; None: one frame after the last.
        alpha: (H, W) of the same kind. Raises: WriteError, ParameterError.
        """
        ...

    def close(self) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None: ...


class SequenceWriter:
    """Images in a folder, one file a frame, each written at once.

    suffix: ".png", ".tif", ".jpg", ... bit_depth: 8 or 16, of float frames; integers keep their
    own, but for formats that hold 8 bit only. quality: 1 to 100, for JPEG.
    """

    def __init__(
        self,
        folder: Path,
        suffix: str = ".png",
        *,
        bit_depth: int = 8,
        quality: int = JPEG_QUALITY,
    ) -> None:
        self._folder = folder
        self._suffix = suffix.lower()
        self._depth = bit_depth
        self._quality = quality
        self._count = 0

    def write(
        self,
        pixels: np.ndarray,
        name: str = "",
        pts: Fraction | None = None,
        alpha: np.ndarray | None = None,
    ) -> None:
        depth = self._depth if pixels.dtype.kind == "f" else pixels.dtype.itemsize * 8
        if self._suffix not in DEEP_SUFFIXES:
            depth = 8
        path = self._folder / f"{name or self.default_name(self._count)}{self._suffix}"
        layer = None if alpha is None else to_depth(alpha, depth)
        write_image(path, to_depth(pixels, depth), layer, self._quality)
        self._count += 1

    @property
    def holds_alpha(self) -> bool:
        return self._suffix in DEEP_SUFFIXES

    @staticmethod
    def default_name(index: int) -> str:
        """File stem of a frame without a name: its index, as MovieSource names frames too."""
        return f"{index:0{NAME_DIGITS}d}"

    def close(self) -> None:
        """Every file is complete already."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        self.close()


def open_writer(
    path: Path,
    like: SourceInfo,
    *,
    codec: VideoCodec | str = VideoCodec.H264,
    crf: int | None = None,
    bit_depth: int = 8,
    alpha: bool = False,
    audio: bool = True,
    image_suffix: str = ".png",
    comment: str = "",
) -> VideoWriter | SequenceWriter:
    """A writer for frames made from `like`: its size, rate, times, colour tags and sound.

    A path with a movie's suffix becomes a movie, a path without one a folder of images.
    Raises: as VideoWriter.
    """
    if not path.suffix or path.is_dir():
        return SequenceWriter(path, image_suffix, bit_depth=bit_depth)
    return VideoWriter(
        path,
        like.width,
        like.height,
        like.fps,
        codec=codec,
        crf=crf,
        bit_depth=bit_depth,
        alpha=alpha,
        time_base=None if like.constant_rate else like.time_base,
        color=like.color,
        pixel_aspect=like.pixel_aspect,
        audio_from=like.path if audio and like.has_audio else None,
        comment=comment,
    )
