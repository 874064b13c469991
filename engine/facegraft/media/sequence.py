"""Numbered images, a folder of images or a single one, as a FrameSource.

Order is numerical (frame 10 after frame 9). A gap in the numbering is not filled: indices count the
files that are there, and Frame.name keeps each file's own number.
"""

import re
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Self

from facegraft.media.images import read_image_file
from facegraft.media.source import ColorTags, Frame, SourceInfo

DEFAULT_FPS = Fraction(25)  # what an image says nothing about; PAL's rate, and FFmpeg's default
SRGB_TAGS = ColorTags("bt709", "iec61966-2-1", "rgb", "pc")


def numeric_order(path: Path) -> tuple[tuple[tuple[int, int, str], ...], str]:
    """Sort key that compares runs of digits as numbers: shot2_9 before shot2_10."""
    parts = re.findall(r"\d+|\D+", path.name)
    return tuple((0, int(p), "") if p.isdigit() else (1, 0, p) for p in parts), path.name


class ImageSequence:
    """Image files in the order given; each is read when it is asked for.

    path: what the user named, for messages. Raises: UnreadableMedia if the first file is corrupt.
    """

    def __init__(self, path: Path, files: Sequence[Path], fps: Fraction | None = None) -> None:
        self._files = list(files)
        self._fps = fps or DEFAULT_FPS
        self._path = path
        pixels, _ = read_image_file(self._files[0])
        self._info = SourceInfo(
            path=path,
            width=pixels.shape[1],
            height=pixels.shape[0],
            frame_count=len(self._files),
            fps=self._fps,
            bit_depth=pixels.dtype.itemsize * 8,
            color=SRGB_TAGS,
            has_audio=False,
            is_movie=False,
            time_base=1 / self._fps,
        )

    @property
    def info(self) -> SourceInfo:
        """Size and depth are those of the first file; others of a folder may differ."""
        return self._info

    def __iter__(self) -> Iterator[Frame]:
        return (self[index] for index in range(len(self._files)))

    def __getitem__(self, index: int) -> Frame:
        if not 0 <= index < len(self._files):
            raise IndexError(f"frame {index} of {self._path}, which has {len(self._files)}")
        path = self._files[index]
        pixels, alpha = read_image_file(path)
        return Frame(pixels, index, self.time_of(index), path.stem, alpha)

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
