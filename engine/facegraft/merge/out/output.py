"""Where merged frames go: a movie, a folder of images, or a numbered pattern such as m.####.exr.

Images are named after the frames of the source, so that plates, results and mattes line up; a
pattern takes the number at the end of the frame's name.
"""

import re
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Self

import numpy as np

import facegraft
from facegraft.errors import ParameterError
from facegraft.inference import SwapModel
from facegraft.media.codecs import VideoCodec, find_codec
from facegraft.media.exr import EXR_SUFFIX
from facegraft.media.images import DEEP_SUFFIXES
from facegraft.media.open import PATTERN
from facegraft.media.provenance import Provenance
from facegraft.media.sequence import FRAME_SUFFIXES
from facegraft.media.source import Frame, SourceInfo
from facegraft.media.writer import FrameWriter, open_writer, write_frame
from facegraft.model_spec import ModelRecord

_DIGEST_SHOWN = 16  # hex digits; enough to tell models apart


@dataclass(slots=True)
class Output:
    """An open writer that knows what to call a frame; close it, or use it as a context manager."""

    writer: FrameWriter
    folder: Path | None  # None: a movie
    pattern: str  # file name of an image with one number mark, or '' for the frame's own name
    suffix: str
    has_alpha: bool
    start: Fraction | None = None  # seconds in the source where the movie begins

    def path_of(self, frame: Frame) -> Path | None:
        """File that the frame is written to; None in a movie."""
        return self.folder and self.folder / f"{self.name_of(frame)}{self.suffix}"

    def write(self, frame: Frame, pixels: np.ndarray) -> None:
        """Add `pixels` in place of the frame's own, of the frame's kind and space.

        Raises: WriteError, ParameterError.
        """
        write_frame(
            self.writer, frame, pixels, self.name_of(frame), self._since(frame), self.has_alpha
        )

    def write_layer(
        self, frame: Frame, pixels: np.ndarray, alpha: np.ndarray | None = None
    ) -> None:
        """Add what belongs to the frame and is written as it is: a matte (H, W), a face layer.

        Raises: WriteError, ParameterError.
        """
        self.writer.write(pixels, self.name_of(frame), self._since(frame), alpha)

    def _since(self, frame: Frame) -> Fraction:
        if self.start is None:
            self.start = frame.pts
        return frame.pts - self.start

    def name_of(self, frame: Frame) -> str:
        """The file's stem."""
        if not self.pattern:
            return frame.name
        number = re.search(r"\d+$", frame.name)
        value = int(number[0]) if number else frame.index
        return PATTERN.sub(lambda mark: f"{value:0{_digits(mark[0])}d}", self.pattern)

    def close(self) -> None:
        self.writer.close()

    def __enter__(self) -> Self:
        self.writer.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        self.writer.__exit__(kind, *rest)


def open_output(
    path: Path,
    like: SourceInfo,
    *,
    codec: VideoCodec | str = VideoCodec.H264,
    audio: bool = True,
    alpha: bool = False,
    about: Provenance | None = None,
    compression: str = "",
) -> Output:
    """Open `path` for frames of `like`; 16-bit sources stay 16-bit where the format holds it.

    A folder gets PNG files, or EXR where the source is float. alpha: keep the frames' alpha where
    the format has one. about: written into movies and images. compression: of EXR files.
    Raises: WriteError; ParameterError, also where `path` would overwrite the source.
    """
    suffix = path.suffix.lower()
    if suffix in FRAME_SUFFIXES or not suffix or path.is_dir():
        is_folder = suffix not in FRAME_SUFFIXES or path.is_dir()
        if not is_folder and len(PATTERN.findall(path.name)) != 1:
            raise ParameterError(
                f"{path} names one image; give a folder, or a pattern with one number mark such as "
                f"{path.stem}.####{path.suffix}"
            )
        folder = path if is_folder else path.parent
        of_source = like.path if like.path.is_dir() else like.path.parent
        if not like.is_movie and folder.resolve() == of_source.resolve():
            raise ParameterError(f"{folder} holds the source; choose another folder")
        if is_folder:
            suffix = EXR_SUFFIX if like.is_float else ".png"
        else:
            suffix = path.suffix
        writer = open_writer(
            folder, like, bit_depth=like.bit_depth, image_suffix=suffix, about=about,
            compression=compression, images=True,
        )  # fmt: skip
        holds_alpha = suffix.lower() in DEEP_SUFFIXES or suffix.lower() == EXR_SUFFIX
        return Output(writer, folder, "" if is_folder else path.stem, suffix, holds_alpha and alpha)
    if path.resolve() == like.path.resolve():
        raise ParameterError(f"{path} is the source itself; choose another name")
    alpha = alpha and bool(find_codec(codec, suffix)[1].alpha_formats)
    writer = open_writer(
        path, like, codec=codec, bit_depth=like.bit_depth, alpha=alpha, audio=audio, about=about
    )
    return Output(writer, None, "", suffix, alpha)


def provenance(model: SwapModel) -> Provenance:
    """What a merged clip says of itself: how it was made, and IPTC's term for such pictures."""
    record = model.record or ModelRecord()
    name = f" {record.name}" if record.name else ""
    return Provenance(
        f"Face replaced with FaceGraft {facegraft.__version__}, model{name} "
        f"{model.digest[:_DIGEST_SHOWN]}. Digital source type: {record.digital_source_type}",
        record.digital_source_type,
    )


def _digits(mark: str) -> int:
    """How many digits '####', '%04d' or '%d' stands for."""
    number = re.search(r"\d+", mark)
    return len(mark) if mark.startswith("#") else int(number[0]) if number else 1
