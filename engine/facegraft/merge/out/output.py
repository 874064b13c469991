"""Where merged frames go: a movie, a folder of images, or a numbered pattern such as m.####.exr.

Images are named after the frames of the source, so that plates, results and mattes line up; a
pattern takes the number at the end of the frame's name.
"""

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
from facegraft.media.provenance import Provenance
from facegraft.media.sequence import FRAME_SUFFIXES
from facegraft.media.source import Frame, SourceInfo
from facegraft.media.writer import FrameWriter, open_writer, write_frame
from facegraft.merge.out.naming import FileNames
from facegraft.model_spec import ModelRecord

_DIGEST_SHOWN = 16  # hex digits; enough to tell models apart


@dataclass(slots=True)
class Output:
    """An open writer that knows what to call a frame; close it, or use it as a context manager."""

    writer: FrameWriter
    path: Path  # as the user gave it
    names: FileNames | None  # None: a movie
    has_alpha: bool
    start: Fraction | None = None  # seconds in the source where the movie begins

    def path_of(self, name: str, index: int) -> Path | None:
        """File that a frame is written to; None in a movie."""
        return self.names and self.names.path_of(name, index)

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
        """The file's stem; a movie does not ask."""
        return self.names.stem_of(frame.name, frame.index) if self.names else ""

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
    image_suffix: str = "",
) -> Output:
    """Open `path` for frames of `like`; 16-bit sources stay 16-bit where the format holds it.

    alpha: keep the frames' alpha where the format has one. about: written into movies and images.
    compression: of EXR files. image_suffix: of the files in a folder; '' is EXR where the source
    is float, else PNG.
    Raises: WriteError; ParameterError, also where `path` would overwrite the source.
    """
    suffix = path.suffix.lower()
    if suffix in FRAME_SUFFIXES or not suffix or path.is_dir():
        names = FileNames.of(path, suffix or image_suffix)
        if path.is_dir() or not suffix:
            default = EXR_SUFFIX if like.is_float else ".png"
            names = FileNames(path, "", image_suffix or default)
        if names is None:
            raise ParameterError(
                f"{path} names one image; give a folder, or a pattern with one number mark such as "
                f"{path.stem}.####{path.suffix}"
            )
        of_source = like.path if like.path.is_dir() else like.path.parent
        if not like.is_movie and names.folder.resolve() == of_source.resolve():
            raise ParameterError(f"{names.folder} holds the source; choose another folder")
        writer = open_writer(
            names.folder, like, bit_depth=like.bit_depth, image_suffix=names.suffix, about=about,
            compression=compression, images=True,
        )  # fmt: skip
        holds_alpha = names.suffix.lower() in DEEP_SUFFIXES | {EXR_SUFFIX}
        return Output(writer, path, names, holds_alpha and alpha)
    if path.resolve() == like.path.resolve():
        raise ParameterError(f"{path} is the source itself; choose another name")
    alpha = alpha and bool(find_codec(codec, suffix)[1].alpha_formats)
    writer = open_writer(
        path, like, codec=codec, bit_depth=like.bit_depth, alpha=alpha, audio=audio, about=about
    )
    return Output(writer, path, None, alpha)


def provenance(model: SwapModel) -> Provenance:
    """What a merged clip says of itself: how it was made, and IPTC's term for such pictures."""
    record = model.record or ModelRecord()
    name = f" {record.name}" if record.name else ""
    return Provenance(
        f"Face replaced with FaceGraft {facegraft.__version__}, model{name} "
        f"{model.digest[:_DIGEST_SHOWN]}. Digital source type: {record.digital_source_type}",
        record.digital_source_type,
    )
