"""Pictures out: a movie (`VideoWriter`), numbered images (`SequenceWriter`) or EXR (`ExrWriter`).

`write_frame` gives a writer a frame's pixels in the form that its files have. Movies and images
take uint8, uint16 or float32 0..1 RGB in display-referred full range. Files appear under their
name only once they are complete; whatever goes wrong leaves nothing behind and an older file alone.
"""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Protocol, Self

import numpy as np

from facegraft.media.codecs import VideoCodec
from facegraft.media.color import srgb_decode
from facegraft.media.exr import EXR_SUFFIX
from facegraft.media.exr_writer import ExrWriter
from facegraft.media.images import (
    DEEP_SUFFIXES,
    JPEG_QUALITY,
    TIFF_SUFFIXES,
    to_depth,
    to_unit,
    write_image,
)
from facegraft.media.movie_writer import VideoWriter
from facegraft.media.provenance import Provenance
from facegraft.media.sequence import SRGB_TAGS
from facegraft.media.source import NAME_DIGITS, Frame, SourceInfo

__all__ = [
    "ExrWriter",
    "FrameWriter",
    "SequenceWriter",
    "VideoWriter",
    "open_writer",
    "write_frame",
]


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
    own, but for formats that hold 8 bit only; 32 writes floats as they are (TIFF). quality: 1 to
    100, for JPEG. about: written into every file.
    """

    def __init__(
        self,
        folder: Path,
        suffix: str = ".png",
        *,
        bit_depth: int = 8,
        quality: int = JPEG_QUALITY,
        about: Provenance | None = None,
    ) -> None:
        self._folder = folder
        self._suffix = suffix.lower()
        self._depth = bit_depth
        self._quality = quality
        self._about = about
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
        layer = None if alpha is None else self._stored(alpha, depth)
        write_image(path, self._stored(pixels, depth), layer, self._quality, self._about)
        self._count += 1

    def _stored(self, values: np.ndarray, depth: int) -> np.ndarray:
        return values.astype(np.float32) if depth == 32 else to_depth(values, depth)

    @property
    def holds_floats(self) -> bool:
        return self._depth == 32

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
    about: Provenance | None = None,
    compression: str = "",
    images: bool = False,
) -> VideoWriter | SequenceWriter | ExrWriter:
    """A writer for frames made from `like`: its size, rate, times, colour tags and sound.

    A path with a movie's suffix becomes a movie; one without, or any where `images` is set, a
    folder of images with `image_suffix`. Floats stay floats in EXR and TIFF. compression: of EXR.
    Raises: as VideoWriter and ExrWriter.
    """
    if images or not path.suffix or path.is_dir():
        suffix = image_suffix.lower()
        if suffix == EXR_SUFFIX:
            return ExrWriter(path, compression=compression, about=about)
        depth = 32 if like.is_float and suffix in TIFF_SUFFIXES else bit_depth
        return SequenceWriter(path, image_suffix, bit_depth=depth, about=about)
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
        color=SRGB_TAGS if like.is_float else like.color,
        pixel_aspect=like.pixel_aspect,
        audio_from=like.path if audio and like.has_audio else None,
        comment=about.text if about else "",
    )


def write_frame(
    writer: FrameWriter,
    frame: Frame,
    pixels: np.ndarray,
    name: str = "",
    pts: Fraction | None = None,
    keep_alpha: bool = False,
) -> None:
    """Give `writer` a frame's pixels, or others in their place, of the same size, kind and space.

    EXR from EXR is the plate's own file with the pixels that differ; from whole numbers it is
    scene-linear Rec. 709. Floats become display-referred for movies and whole-number images, where
    what lies outside 0..1 is clipped. keep_alpha: with the frame's alpha.
    Raises: WriteError, ParameterError.
    """
    alpha = frame.alpha if keep_alpha else None
    if isinstance(writer, ExrWriter):
        if frame.stored is not None:
            writer.replace(frame.stored, frame.pixels, pixels, name)
            return
        pixels = scene_linear(frame, pixels)
        if alpha is not None:
            pixels = pixels * to_unit(alpha)[..., None]
    elif frame.is_float and not (isinstance(writer, SequenceWriter) and writer.holds_floats):
        pixels = np.clip(replace(frame, pixels=pixels).display(), 0, 1)
    writer.write(pixels, name, pts, alpha)


def scene_linear(frame: Frame, pixels: np.ndarray) -> np.ndarray:
    """(H, W, 3) linear Rec. 709, straight, of pixels in place of the frame's own: float32, or half
    where that holds every level of theirs."""
    light = srgb_decode(replace(frame, pixels=pixels).display())
    return light.astype(np.float16) if pixels.dtype == np.uint8 else light
