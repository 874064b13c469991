"""Numbered images, a folder of images or a single one, as a FrameSource; EXR files too.

Order is numerical (frame 10 after frame 9). A gap in the numbering is not filled: indices count the
files that are there, and Frame.name keeps each file's own number.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Self

import numpy as np

from facegraft.errors import UnreadableMedia
from facegraft.media.exr import EXR_SUFFIX, StoredExr, read_exr
from facegraft.media.images import IMAGE_SUFFIXES, read_image_file
from facegraft.media.source import ColorTags, Frame, SourceInfo
from facegraft.media.working_space import AUTO, name_for, open_space

DEFAULT_FPS = Fraction(25)  # what an image says nothing about; PAL's rate, and FFmpeg's default
SRGB_TAGS = ColorTags("bt709", "iec61966-2-1", "rgb", "pc")
FRAME_SUFFIXES = IMAGE_SUFFIXES | {EXR_SUFFIX}


def numeric_order(path: Path) -> tuple[tuple[tuple[int, int, str], ...], str]:
    """Sort key that compares runs of digits as numbers: shot2_9 before shot2_10."""
    parts = re.findall(r"\d+|\D+", path.name)
    return tuple((0, int(p), "") if p.isdigit() else (1, 0, p) for p in parts), path.name


@dataclass(frozen=True, slots=True, eq=False)
class _Picture:
    pixels: np.ndarray
    alpha: np.ndarray | None
    tags: ColorTags
    stored: StoredExr | None = None
    fps: Fraction | None = None  # where the file says it


class ImageSequence:
    """Image files in the order given; each is read when it is asked for.

    path: what the user named, for messages. space: a name of `working_space.open_space`, or auto:
    floats are scene-linear (an EXR's chromaticities say of which primaries), whole numbers are
    display-referred. layer: of EXR files, see `exr.py`.
    Raises: UnreadableMedia if the first file is corrupt; ParameterError for an unknown space.
    """

    def __init__(
        self,
        path: Path,
        files: Sequence[Path],
        fps: Fraction | None = None,
        space: str = AUTO,
        layer: str = "",
    ) -> None:
        self._files = list(files)
        self._path = path
        self._layer = layer
        first = self._read(self._files[0])
        self._fps = fps or first.fps or DEFAULT_FPS
        is_float = first.pixels.dtype.kind == "f"
        name = name_for(first.tags.primaries, first.tags.transfer) if space == AUTO else space
        self._info = SourceInfo(
            path=path,
            width=first.pixels.shape[1],
            height=first.pixels.shape[0],
            frame_count=len(self._files),
            fps=self._fps,
            bit_depth=16 if is_float else first.pixels.dtype.itemsize * 8,
            color=first.tags,
            has_audio=False,
            is_movie=False,
            time_base=1 / self._fps,
            space=open_space(name),
            is_float=is_float,
        )

    def _read(self, path: Path) -> _Picture:
        if path.suffix.lower() == EXR_SUFFIX:
            exr = read_exr(path, self._layer)
            return _Picture(exr.pixels, exr.alpha, _linear_tags(exr.primaries), exr.stored, exr.fps)
        pixels, alpha = read_image_file(path)
        is_float = pixels.dtype.kind == "f"
        return _Picture(pixels, alpha, _linear_tags("") if is_float else SRGB_TAGS)

    @property
    def info(self) -> SourceInfo:
        """Size and depth are those of the first file; others may differ, floats not."""
        return self._info

    def __iter__(self) -> Iterator[Frame]:
        return (self[index] for index in range(len(self._files)))

    def __getitem__(self, index: int) -> Frame:
        if not 0 <= index < len(self._files):
            raise IndexError(f"frame {index} of {self._path}, which has {len(self._files)}")
        path = self._files[index]
        picture = self._read(path)
        self._check_fits(path, picture.pixels)
        return Frame(
            picture.pixels,
            index,
            self.time_of(index),
            path.stem,
            picture.alpha,
            space=self._info.space,
            premultiplied=picture.stored is not None,
            stored=picture.stored,
        )

    def _check_fits(self, path: Path, pixels: np.ndarray) -> None:
        """Raises: UnreadableMedia where floats and whole numbers mix, or sizes of floats."""
        info = self._info
        if (pixels.dtype.kind == "f") != info.is_float:
            raise UnreadableMedia(
                f"{path} holds {pixels.dtype} pixels, {self._files[0].name} does not; their "
                "numbers mean different things. Give a pattern such as shot.####.exr for one kind"
            )
        height, width = pixels.shape[:2]
        if info.is_float and (width, height) != (info.width, info.height):
            raise UnreadableMedia(
                f"{path} is {width}x{height} px, the sequence began with {info.width}x"
                f"{info.height}; render it again, or leave it out"
            )

    def at_time(self, pts: Fraction) -> Frame:
        if pts < 0:
            raise IndexError(f"time {pts} s lies before the first frame of {self._path}")
        return self[min(int(pts * self._fps), len(self._files) - 1)]

    def time_of(self, index: int) -> Fraction:
        return index / self._fps

    def name_of(self, index: int) -> str:
        return self._files[index].stem

    def close(self) -> None:
        """Nothing is kept open between frames."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def _linear_tags(primaries: str) -> ColorTags:
    return ColorTags(primaries or "bt709", "linear", "rgb", "pc")
