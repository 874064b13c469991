"""Movies through PyAV: frames by exact index and time, converted to RGB once each.

The index of frames is read from the packets when the file is opened (no decoding); a frame is found
by its presentation time, never by counting from a seek point. Reading in order never seeks.
One source serves one thread; open a second one for a second.
"""

import bisect
import logging
from collections.abc import Iterator
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Self

import av
import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from av.stream import Disposition
from av.video.reformatter import VideoReformatter

from facegraft.errors import SourceNotFound, UnreadableMedia
from facegraft.media.index import FrameIndex, count_frames, read_index
from facegraft.media.planes import read_pixels
from facegraft.media.source import NAME_DIGITS, Frame, SourceInfo
from facegraft.media.tags import read_tags
from facegraft.media.working_space import AUTO, DISPLAY, name_for, open_space

_log = logging.getLogger(__name__)

SEEK_GAP = 12  # frames; a seek empties the decoder's threads, which costs about as much
KEYS_TO_TRY = 3  # containers that seek by decoding time can land up to two key frames late


class MovieSource:
    """A movie file as a FrameSource.

    space: a name of `working_space.open_space`; auto takes PQ and HLG from the file's tags, and
    everything else for display-referred.
    Raises: SourceNotFound; UnreadableMedia for a file that is no movie, holds no picture, or
    cannot be decoded at all; ParameterError for an unknown space.
    """

    def __init__(self, path: Path, space: str = AUTO) -> None:
        self._path = path
        self._space = DISPLAY if space == AUTO else open_space(space)
        self._reformatter = VideoReformatter()
        self._index = _index_of(path)
        self._restart()
        stream = self._stream
        self._fps, self._constant = _rate_of(stream, self._index)
        try:
            picture = self._decode(0)
            pixels, alpha = read_pixels(picture, self._reformatter)
        except UnreadableMedia:
            self.close()
            raise
        tags = read_tags(
            picture.color_primaries, picture.color_trc, picture.colorspace, picture.color_range
        )
        if space == AUTO:
            self._space = open_space(name_for(tags.primaries, tags.transfer))
        self._last = self._frame(0, pixels, alpha)
        aspect = stream.sample_aspect_ratio
        self._info = SourceInfo(
            path=path,
            width=pixels.shape[1],
            height=pixels.shape[0],
            frame_count=self._index.count,
            fps=self._fps,
            bit_depth=pixels.dtype.itemsize * 8,
            color=tags,
            has_audio=bool(self._container.streams.audio),
            is_movie=True,
            constant_rate=self._constant,
            time_base=self._index.time_base,
            pixel_aspect=aspect or Fraction(1),
            space=self._space,
        )

    @property
    def info(self) -> SourceInfo:
        return self._info

    def __iter__(self) -> Iterator[Frame]:
        return (self[index] for index in range(self._index.count))

    def __getitem__(self, index: int) -> Frame:
        if not 0 <= index < self._index.count:
            raise IndexError(f"frame {index} of {self._path}, which has {self._index.count}")
        if self._last.index != index:
            pixels, alpha = read_pixels(self._decode(index), self._reformatter)
            self._last = self._frame(index, pixels, alpha)
        return self._last

    def _frame(self, index: int, pixels: np.ndarray, alpha: np.ndarray | None) -> Frame:
        time = self.time_of(index)
        return Frame(pixels, index, time, self.name_of(index), alpha, space=self._space)

    def at_time(self, pts: Fraction) -> Frame:
        if pts < 0:
            raise IndexError(f"time {pts} s lies before the first frame of {self._path}")
        if self._constant:
            return self[min(int(pts * self._fps), self._index.count - 1)]
        tick = self._index.ticks[0] + int(pts / self._index.time_base)
        return self[self._index.position_at(tick)]

    def time_of(self, index: int) -> Fraction:
        """Exact where the rate is constant, though the container may have rounded (mkv: to ms)."""
        ticks = self._index.ticks
        if self._constant or index >= len(ticks):
            return index / self._fps
        return (ticks[index] - ticks[0]) * self._index.time_base

    def name_of(self, index: int) -> str:
        return f"{index:0{NAME_DIGITS}d}"

    def close(self) -> None:
        self._container.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _decode(self, index: int) -> av.VideoFrame:
        """The frame at an index, unconverted; leaves the decoder just behind it."""
        if index >= len(self._index.ticks):
            raise UnreadableMedia(
                f"{self._path} is cut short ({self._index.damage}): frame {index} of "
                f"{self._index.count} is missing; copy the clip again, or stop before this frame"
            )
        if not self._next <= index <= self._next + SEEK_GAP and not self._is_same_group(index):
            self._seek(index)
        wanted = self._index.ticks[index]
        for tick, frame in self._frames:
            if tick == wanted:
                self._next = index + 1
                if frame.is_corrupt:
                    _log.warning("%s: frame %d is damaged; parts are guessed", self._path, index)
                return frame
            if tick > wanted:
                self._frames = chain([(tick, frame)], self._frames)
                break
        raise UnreadableMedia(
            f"{self._path}: frame {index} of {self._index.count} cannot be decoded "
            f"({self._complaint or 'its data is missing'}); copy or export the clip again"
        )

    def _is_same_group(self, index: int) -> bool:
        """Whether decoding on reaches the frame without passing another key frame."""
        if index < self._next:
            return False
        ticks, keys = self._index.ticks, self._index.keys
        here = bisect.bisect_right(keys, ticks[self._next], key=_pts)
        return here == bisect.bisect_right(keys, ticks[index], key=_pts)

    def _seek(self, index: int) -> None:
        """Put the decoder on a key frame from which the frame can be decoded."""
        keys = self._index.keys
        found = bisect.bisect_right(keys, self._index.ticks[index], key=_pts)
        for pts, dts in (
            () if self._index.by_count else keys[max(found - KEYS_TO_TRY, 0) : found][::-1]
        ):
            for stamp in dict.fromkeys((pts, dts)):
                if self._seek_to(stamp, pts):
                    return
        self._restart()

    def _seek_to(self, stamp: int, key_pts: int) -> bool:
        """Seek, and say whether the first packet is the key frame wanted or an earlier one."""
        try:
            self._container.seek(stamp, stream=self._stream, backward=True)
            packets = self._container.demux(self._stream)
            first = next(packets)
        except (FFmpegError, StopIteration):
            return False
        if first.pts is None or first.pts > key_pts:
            return False
        # a seek empties the decoder, which then guesses the depth anew and may drop B pictures
        self._stream.codec_context.reorder_depth = self._reorder_depth
        self._start(chain([first], packets))
        return True

    def _restart(self) -> None:
        """Open the file anew, at its first frame."""
        if hasattr(self, "_container"):
            self._container.close()
        self._container, self._stream = _open(self._path)
        self._reorder_depth = self._stream.codec_context.reorder_depth
        self._start(self._container.demux(self._stream))

    def _start(self, packets: Iterator[av.Packet]) -> None:
        self._complaint = ""
        self._frames: Iterator[tuple[int, av.VideoFrame]] = self._decoded(packets)
        self._next = 0

    def _decoded(self, packets: Iterator[av.Packet]) -> Iterator[tuple[int, av.VideoFrame]]:
        """Frames with their ticks; what a packet's damage costs shows as a missing tick."""
        count = 0
        while True:
            try:
                packet = next(packets, None)
                frames = [] if packet is None else packet.decode()
            except FFmpegError as error:
                self._complaint = error.strerror or str(error)
                continue
            for frame in frames:
                assert isinstance(frame, av.VideoFrame)
                if self._index.by_count:
                    yield count, frame
                elif frame.pts is not None:
                    yield frame.pts, frame
                count += 1
            if packet is None:
                return


def _pts(key: tuple[int, int]) -> int:
    return key[0]


def _open(path: Path) -> tuple[InputContainer, av.VideoStream]:
    """The container and its first video stream that is no cover picture, threads on."""
    try:
        container = av.open(str(path), metadata_errors="replace")
    except FileNotFoundError:
        raise SourceNotFound(f"no movie at {path}; check the name") from None
    except (FFmpegError, OSError) as error:
        raise UnreadableMedia(
            f"{path} is no movie that can be read ({error.strerror}). A movie whose recording or "
            "copy was cut short lacks its index (moov); copy or export it again"
        ) from error
    pictures = [
        stream
        for stream in container.streams.video
        if Disposition.attached_pic not in stream.disposition
    ]
    if not pictures:
        kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "nothing"
        container.close()
        raise UnreadableMedia(f"{path} holds no picture, only {kinds}; choose another file")
    stream = pictures[0]
    stream.codec_context.thread_type = "AUTO"
    return container, stream


def _index_of(path: Path) -> FrameIndex:
    container, stream = _open(path)
    with container:
        index = read_index(container, stream)
    if index is None:
        _log.info("%s stores no frame times; counting its frames by decoding", path)
        container, stream = _open(path)
        with container:
            index = count_frames(container, stream)
    if not index.ticks:
        raise UnreadableMedia(
            f"{path} has a video stream without a single frame "
            f"({index.damage or 'nothing is stored'}); export it again"
        )
    return index


def _rate_of(stream: av.VideoStream, index: FrameIndex) -> tuple[Fraction, bool]:
    """Frame rate, and whether it is constant; the average of the times where it is not."""
    for rate in (stream.average_rate, stream.guessed_rate, stream.base_rate):
        if rate and index.is_constant(Fraction(rate)):
            return Fraction(rate), True
    span = (index.ticks[-1] - index.ticks[0]) * index.time_base
    return (len(index.ticks) - 1) / span, False
