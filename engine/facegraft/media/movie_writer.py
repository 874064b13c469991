"""Movies out: pictures, exact times, colour tags and the source's sound, through PyAV.

Takes uint8, uint16 or float32 0..1 RGB in display-referred full range. The file appears under its
name only once it is complete; whatever goes wrong leaves nothing behind and an older file alone.
"""

import errno
import os
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Self

import av
import cv2
import numpy as np
from av.error import FFmpegError
from av.video.codeccontext import VideoCodecContext

from facegraft.errors import FacegraftError, ParameterError, WriteError
from facegraft.files import atomic_path, write_error
from facegraft.media.audio import AudioCarrier
from facegraft.media.codecs import CONTAINERS, CRF_RANGE, VideoCodec, choose_format, find_codec
from facegraft.media.images import to_depth
from facegraft.media.planes import make_frame
from facegraft.media.source import ColorTags
from facegraft.media.tags import (
    HDR_TRANSFERS,
    MATRICES,
    PRIMARIES,
    RANGES,
    TRANSFERS,
    number_of,
    tags_for_rgb,
    tags_for_yuv,
)


class VideoWriter:
    """A movie file; container by suffix (mp4, mov, mkv), codecs in `codecs.py`.

    fps: exact rate. time_base: tick for frames with times of their own (variable rate); None keeps
    frames on the grid of `fps`. crf: quality of h264 and h265, 0 (best) to 51. bit_depth: 8 or 16,
    depth of the frames to come. color: tags of the source whose pixels these are. audio_from: clip
    whose sound is taken. comment: the file's comment tag, which players and asset tools show.

    Codecs that halve colour need even sides: an odd side is made even by repeating its last row or
    column. The lossless codecs keep every size.
    Raises: ParameterError, WriteError, and for `audio_from` SourceNotFound and UnreadableMedia.
    """

    def __init__(
        self,
        path: Path,
        width: int,
        height: int,
        fps: Fraction | int,
        *,
        codec: VideoCodec | str = VideoCodec.H264,
        crf: int | None = None,
        bit_depth: int = 8,
        alpha: bool = False,
        time_base: Fraction | None = None,
        color: ColorTags | None = None,
        pixel_aspect: Fraction = Fraction(1),
        audio_from: Path | None = None,
        comment: str = "",
    ) -> None:
        name, line = find_codec(codec, path.suffix)
        self._depth, self._pix_fmt = choose_format(name, bit_depth, alpha)
        if self._depth == 8 and color is not None and color.transfer in HDR_TRANSFERS:
            raise ParameterError(
                f"{name} stores 8 bit here, {color.transfer} (HDR) needs 10 or it shows bands; use "
                "h265, prores or, in mkv or mov, lossless"
            )
        options = dict(line.options)
        if crf is not None and line.crf is None:
            raise ParameterError(f"{name} has no crf; h264 and h265 have")
        if line.crf is not None:
            quality = line.crf if crf is None else crf
            if not CRF_RANGE[0] <= quality <= CRF_RANGE[1]:
                raise ParameterError(f"crf is {quality}; the limits are 0 to 51")
            options["crf"] = str(quality)
        if min(width, height, fps) <= 0:
            raise ParameterError(f"{width}x{height} at {fps} frames/s; all must be above 0")
        self._path, self._size, self._alpha = path, (width, height), alpha
        self._fps = Fraction(fps)
        self._time_base = time_base or 1 / self._fps
        make_tags = tags_for_yuv if self._pix_fmt.startswith("yuv") else tags_for_rgb
        self._tags = make_tags(color or ColorTags())
        kind = av.VideoFormat(self._pix_fmt, 16, 16)
        step_x, step_y = 16 // kind.chroma_width(16), 16 // kind.chroma_height(16)
        self._pad = (-width % step_x, -height % step_y)
        self._ticks: list[int] = []  # of the frames so far
        self._muxed = 0  # packets so far
        self._reorder = line.reorder
        self._audio: AudioCarrier | None = None
        self._replacing = atomic_path(path)
        part = self._replacing.__enter__()
        self._is_open = True
        try:
            # the index of mp4 and mov goes to the front, so that a copy cut short still opens
            flags = {"movflags": "+faststart"} if path.suffix.lower() != ".mkv" else {}
            self._container = av.open(
                str(part), "w", format=CONTAINERS[path.suffix.lower()], container_options=flags
            )
            stream = self._container.add_stream(line.encoder, rate=self._fps, options=options)
            assert isinstance(stream, av.VideoStream)
            self._stream = stream
            stream.width, stream.height = width + self._pad[0], height + self._pad[1]
            stream.pix_fmt = self._pix_fmt
            stream.time_base = self._time_base
            context = stream.codec_context
            context.time_base = self._time_base
            context.thread_type = "AUTO"
            context.sample_aspect_ratio = pixel_aspect
            _put_tags(context, self._tags)
            if line.tag and path.suffix.lower() != ".mkv":
                context.codec_tag = line.tag
            if audio_from is not None:
                self._audio = AudioCarrier(audio_from, self._container, path.suffix.lower())
            if comment:
                self._container.metadata["comment"] = comment
            self._container.start_encoding()
        except BaseException as error:
            raise self._fail(error) from error

    def write(
        self,
        pixels: np.ndarray,
        name: str = "",
        pts: Fraction | None = None,
        alpha: np.ndarray | None = None,
    ) -> None:
        if not self._is_open:
            raise WriteError(f"{self._path} is closed already; open a new writer")
        width, height = self._size
        if pixels.shape[:2] != (height, width):
            raise ParameterError(
                f"a frame of {pixels.shape[1]}x{pixels.shape[0]} for the movie {self._path} of "
                f"{width}x{height}; resize it, or write a folder of images"
            )
        tick = self._tick_of(pts)
        frame = make_frame(
            self._prepare(pixels), self._prepare_alpha(alpha), self._pix_fmt, self._tags.matrix
        )
        frame.pts, frame.time_base = tick, self._time_base
        frame.duration = self._frame_ticks()
        _put_tags(frame, self._tags)
        self._ticks.append(tick)
        try:
            for packet in self._stream.encode(frame):
                self._mux(packet)
        except (FFmpegError, OSError) as error:
            raise self._fail(error) from error

    def close(self) -> None:
        """Finish the file and give it its name. Raises: WriteError, also if no frame came."""
        if not self._is_open:
            return
        try:
            if not self._ticks:
                raise WriteError(f"no frame was written to {self._path}, so it is not made")
            for packet in self._stream.encode(None):
                self._mux(packet)
            if self._audio is not None:
                self._audio.finish((self._ticks[-1] + self._frame_ticks()) * self._time_base)
                self._audio.close()
            self._container.close()
            self._is_open = False
            self._replacing.__exit__(None, None, None)
        except BaseException as error:
            raise self._fail(error) from error

    def discard(self) -> None:
        """Give up: nothing of the movie stays on disk."""
        if self._is_open:
            self._fail(WriteError("discarded"))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind is None:
            self.close()
        else:
            self.discard()

    def _tick_of(self, pts: Fraction | None) -> int:
        """The frame's time on the movie's clock. Raises: ParameterError unless it moves on."""
        last = self._ticks[-1] if self._ticks else None
        if pts is None:
            return 0 if last is None else last + self._frame_ticks()
        tick = round(pts / self._time_base)
        if last is not None and tick <= last:
            raise ParameterError(
                f"a frame at {float(pts):.6f} s after one at {float(last * self._time_base):.6f} s "
                f"(ticks of {self._time_base} s); times must rise by a tick at least"
            )
        return tick

    def _frame_ticks(self) -> int:
        return max(1, round(1 / (self._fps * self._time_base)))

    def _prepare(self, pixels: np.ndarray) -> np.ndarray:
        """RGB, or grey for YUV, at the codec's depth, padded to its chroma step."""
        image = to_depth(pixels, self._depth)
        if image.ndim == 2 and not self._pix_fmt.startswith("yuv"):
            image = cv2.cvtColor(image, cv2.COLOR_GRAY2RGB)
        return self._padded(image)

    def _prepare_alpha(self, alpha: np.ndarray | None) -> np.ndarray | None:
        if alpha is None or not self._alpha:
            return None
        return self._padded(to_depth(alpha, self._depth))

    def _padded(self, image: np.ndarray) -> np.ndarray:
        right, bottom = self._pad
        if not right and not bottom:
            return image
        return cv2.copyMakeBorder(image, 0, bottom, 0, right, cv2.BORDER_REPLICATE)

    def _mux(self, packet: av.Packet) -> None:
        """Sound first, so that both lie side by side in the file."""
        if self._reorder:
            packet.dts = self._decoding_tick()
        self._muxed += 1
        if self._audio is not None and packet.dts is not None:
            self._audio.carry(packet.dts * packet.time_base)
        self._container.mux(packet)

    def _decoding_tick(self) -> int:
        """When the next packet is decoded: the times of the frames, late by the reordering depth.

        x265 says the same, but random numbers in a clip shorter than its own delay.
        """
        place = self._muxed - self._reorder
        if place >= 0:
            return self._ticks[place]
        return self._ticks[0] + place * self._frame_ticks()

    def _fail(self, error: BaseException) -> BaseException:
        """Close everything, remove the temporary file, and give the error to raise."""
        self._is_open = False
        if self._audio is not None:
            self._audio.close()
        with suppress(FFmpegError, OSError, AttributeError):  # the container may not be there yet
            self._container.close()
        with suppress(WriteError, StopIteration):
            self._replacing.__exit__(WriteError, WriteError(str(error)), None)
        if isinstance(error, FacegraftError):
            return error
        number = error.errno if isinstance(error, FFmpegError | OSError) else None
        # disk full, no permission, ...; FFmpeg says EINVAL where an encoder refuses its settings
        if number is not None and number in errno.errorcode and number != errno.EINVAL:
            return write_error(self._path, OSError(number, os.strerror(number)))
        if isinstance(error, FFmpegError | ValueError):
            return WriteError(
                f"cannot write {self._path}: the encoder says '{error}'; try another codec"
            )
        return error


def _put_tags(target: VideoCodecContext | av.VideoFrame, tags: ColorTags) -> None:
    """Some encoders (H.264) store the context's tags, others (ProRes) those of each frame."""
    target.color_primaries = number_of(PRIMARIES, tags.primaries)
    target.color_trc = number_of(TRANSFERS, tags.transfer)
    target.colorspace = number_of(MATRICES, tags.matrix)
    target.color_range = number_of(RANGES, tags.range)
