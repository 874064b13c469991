"""Movies to numbered images and back: what `facegraft video` does."""

import json
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path

from facegraft.errors import Cancelled, ParameterError, WriteError
from facegraft.files import write_atomic
from facegraft.media.codecs import VideoCodec, find_codec
from facegraft.media.exr import EXR_SUFFIX
from facegraft.media.images import JPEG_QUALITY
from facegraft.media.sequence import FRAME_SUFFIXES, SRGB_TAGS
from facegraft.media.source import NAME_DIGITS, FrameSource
from facegraft.media.writer import ExrWriter, SequenceWriter, VideoWriter, write_frame
from facegraft.progress import Progress, Silent

RECORD_NAME = "frames.json"  # in the folder: which clip its images come from
RECORD_VERSION = 1


@dataclass(frozen=True, slots=True)
class ExtractResult:
    """What `extract_frames` did."""

    written: int
    kept: int  # there already from an earlier, interrupted run
    total: int  # frames of the clip


@dataclass(frozen=True, slots=True)
class _Record:
    """Tells a run that was interrupted from one of another clip or with other settings."""

    clip: str
    size_bytes: int
    modified_ns: int
    fps: str  # of thinning; '' for every frame
    suffix: str
    quality: int
    version: int = RECORD_VERSION


def thin(source: FrameSource, fps: Fraction | None) -> list[int]:
    """Indices of the frames to keep: the first in each interval of 1 / fps by exact time.

    A rate above the clip's own, or None, keeps every frame; none is ever repeated.
    """
    count = source.info.frame_count
    if fps is None:
        return list(range(count))
    if fps <= 0:
        raise ParameterError(f"fps is {fps}; it must be above 0")
    kept: list[int] = []
    last = -1
    for index in range(count):
        interval = int(source.time_of(index) * fps)
        if interval > last:
            kept.append(index)
            last = interval
    return kept


def extract_frames(
    source: FrameSource,
    folder: Path,
    *,
    fps: Fraction | None = None,
    suffix: str = ".png",
    quality: int = JPEG_QUALITY,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> ExtractResult:
    """Write frames as numbered images, named by their index in the clip (000000.png, ...).

    A folder that an interrupted run of the same clip and settings left is completed; overwrite
    removes its images first. 16-bit clips give 16-bit PNG and TIFF, floats go through `space`.
    Raises: WriteError, also for a folder with other images; UnreadableMedia at a damaged frame,
    with the frames before it written; Cancelled.
    """
    progress = progress or Silent()
    record = _record_of(source, fps, suffix, quality)
    _claim_folder(folder, record, overwrite)
    indices = thin(source, fps)
    progress.start(len(indices), "frames")
    written = 0
    if suffix.lower() == EXR_SUFFIX:
        writer = ExrWriter(folder)
    else:
        writer = SequenceWriter(folder, suffix, bit_depth=source.info.bit_depth, quality=quality)
    with writer:
        for index in indices:
            if progress.cancelled:
                raise Cancelled(
                    f"{written} frames written to {folder}; the same command goes on from there"
                )
            name = f"{index:0{NAME_DIGITS}d}"
            if not (folder / f"{name}{suffix}").exists():
                frame = source[index]
                write_frame(writer, frame, frame.pixels, name, keep_alpha=writer.holds_alpha)
                written += 1
            progress.advance()
    return ExtractResult(written, len(indices) - written, source.info.frame_count)


def assemble_frames(
    source: FrameSource,
    out: Path,
    *,
    fps: Fraction | None = None,
    like: FrameSource | None = None,
    audio: bool = True,
    codec: VideoCodec | str = VideoCodec.H264,
    crf: int | None = None,
    progress: Progress | None = None,
) -> None:
    """Write all frames of `source` as one movie.

    like: clip whose frame rate or times, colour tags and sound are taken; it must have as many
    frames. Without it those of `source` stay. fps: a new, constant rate, to which no sound fits.
    Alpha is kept by codecs that have it.
    Raises: ParameterError, WriteError, UnreadableMedia, Cancelled (no movie is left then).
    """
    progress = progress or Silent()
    model = source.info if like is None else like.info
    if model.frame_count != source.info.frame_count:
        raise ParameterError(
            f"{source.info.path} has {source.info.frame_count} frames, {model.path} has "
            f"{model.frame_count}: times and sound would not fit. Give fps instead"
        )
    _, line = find_codec(codec, out.suffix)
    alpha = bool(line.alpha_formats) and source[0].alpha is not None
    progress.start(source.info.frame_count, "frames")
    with VideoWriter(
        out,
        source.info.width,
        source.info.height,
        fps or model.fps,
        codec=codec,
        crf=crf,
        bit_depth=source.info.bit_depth,
        alpha=alpha,
        time_base=None if fps or model.constant_rate else model.time_base,
        color=SRGB_TAGS if source.info.is_float else model.color,
        pixel_aspect=model.pixel_aspect,
        audio_from=model.path if audio and model.has_audio and not fps else None,
    ) as writer:
        for frame in source:
            if progress.cancelled:
                raise Cancelled(f"no movie written; {out} is as it was")
            time = None if fps else (like or source).time_of(frame.index)
            write_frame(writer, frame, frame.pixels, pts=time, keep_alpha=alpha)
            progress.advance()


def _record_of(source: FrameSource, fps: Fraction | None, suffix: str, quality: int) -> _Record:
    path = source.info.path
    state = path.stat() if path.exists() else None  # a pattern names no file
    return _Record(
        clip=path.name,
        size_bytes=state.st_size if state else 0,
        modified_ns=state.st_mtime_ns if state else 0,
        fps="" if fps is None else str(fps),
        suffix=suffix,
        quality=quality if suffix in (".jpg", ".jpeg") else 0,
    )


def _claim_folder(folder: Path, record: _Record, overwrite: bool) -> None:
    """Make the folder ours: new, left by the same work, or emptied of images on request.

    Raises: WriteError for images of other origin, so that two clips never mix.
    """
    mark = folder / RECORD_NAME
    images = (
        [file for file in folder.iterdir() if file.suffix.lower() in FRAME_SUFFIXES]
        if folder.is_dir()
        else []
    )
    if overwrite:
        for file in images:
            file.unlink()
    elif images and _read_mark(mark) != asdict(record):
        raise WriteError(
            f"{folder} holds {len(images)} images of another clip or other settings; choose an "
            "empty folder, or overwrite to remove them"
        )
    write_atomic(mark, json.dumps(asdict(record), indent=2).encode())


def _read_mark(mark: Path) -> dict[str, object] | None:
    try:
        return json.loads(mark.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
