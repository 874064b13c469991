"""The sound of a source clip, carried into a movie that is being written.

Packets are copied untouched where players of the container know the codec, else decoded and encoded
as AAC. Times are those of the source, counted from its first picture, so lips stay in step; sound
is cut where the written picture ends.
"""

import logging
from collections.abc import Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType

import av
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.error import FFmpegError

from facegraft.errors import SourceNotFound, UnreadableMedia

_log = logging.getLogger(__name__)

# what players of a container know; mkv holds everything
COPIED: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        ".mp4": frozenset({"aac", "mp3", "ac3", "eac3", "alac"}),
        ".mov": frozenset(
            {"aac", "mp3", "ac3", "alac", "pcm_s16le", "pcm_s16be", "pcm_s24le", "pcm_s24be"}
        ),
    }
)
AAC_BITS_PER_CHANNEL = 128_000  # bit/s; transparent for FFmpeg's own encoder
AAC_RATES = (
    96000,
    88200,
    64000,
    48000,
    44100,
    32000,
    24000,
    22050,
    16000,
    12000,
    11025,
    8000,
)  # Hz
AAC_FRAME = 1024  # samples


class AudioCarrier:
    """All audio streams of `source`, muxed into `target` bit by bit as the picture advances.

    Make it before the first picture is muxed. Raises: SourceNotFound, UnreadableMedia.
    """

    def __init__(self, source: Path, target: OutputContainer, suffix: str) -> None:
        self._source = source
        self._target = target
        self._container = _open(source)
        pictures = self._container.streams.video
        start = pictures[0].start_time if pictures else None
        self._start = Fraction(0) if start is None else start * _tick(pictures[0])
        known = COPIED.get(suffix)
        self._routes = {
            stream.index: _Copy(stream, target)
            if known is None or stream.codec_context.name in known
            else _Encode(stream, target)
            for stream in self._container.streams.audio
        }
        self._packets = self._demux()
        self._waiting: av.Packet | None = None

    def carry(self, until: Fraction) -> None:
        """Mux every packet that begins before `until` seconds from the first picture."""
        while True:
            packet = self._waiting or next(self._packets, None)
            if packet is None:
                return
            stamp = packet.pts if packet.pts is not None else packet.dts
            if stamp is None:
                continue
            seconds = stamp * packet.time_base - self._start
            if seconds >= until:
                self._waiting = packet
                return
            self._waiting = None
            for ready in self._routes[packet.stream_index].convert(packet, self._start):
                self._target.mux(ready)

    def finish(self, until: Fraction) -> None:
        """Carry the rest up to the end of the picture, and empty the encoders."""
        self.carry(until)
        for route in self._routes.values():
            for ready in route.flush():
                self._target.mux(ready)

    def close(self) -> None:
        self._container.close()

    def _demux(self) -> Iterator[av.Packet]:
        streams = [self._container.streams[index] for index in self._routes]
        if not streams:
            return
        try:
            for packet in self._container.demux(*streams):
                if packet.size:
                    yield packet
        except FFmpegError as error:
            _log.warning("the sound of %s ends early: %s", self._source, error.strerror)


class _Copy:
    """Packets as they are, moved in time."""

    def __init__(self, stream: AudioStream, target: OutputContainer) -> None:
        self._out = target.add_stream_from_template(stream)

    def convert(self, packet: av.Packet, start: Fraction) -> list[av.Packet]:
        shift = round(start / packet.time_base)
        packet.pts = None if packet.pts is None else packet.pts - shift
        packet.dts = None if packet.dts is None else packet.dts - shift
        packet.stream = self._out
        return [packet]

    def flush(self) -> list[av.Packet]:
        return []


class _Encode:
    """Decode and encode as AAC, at the nearest sample rate that AAC has."""

    def __init__(self, stream: AudioStream, target: OutputContainer) -> None:
        self._in = stream
        rate = next((r for r in AAC_RATES if r <= stream.rate), AAC_RATES[-1])
        # a plain WAV names no layout, and the encoder refuses "1 channels"
        layout = {1: "mono", 2: "stereo"}.get(stream.channels, stream.layout.name)
        self._out = target.add_stream("aac", rate=rate, layout=layout)
        self._out.bit_rate = AAC_BITS_PER_CHANNEL * stream.channels
        self._resampler = av.AudioResampler("fltp", layout, rate, frame_size=AAC_FRAME)
        _log.info("%s sound is encoded as AAC", stream.codec_context.name)

    def convert(self, packet: av.Packet, start: Fraction) -> list[av.Packet]:
        ready: list[av.Packet] = []
        for frame in packet.decode():
            assert isinstance(frame, av.AudioFrame)
            if frame.pts is not None and frame.time_base is not None:
                frame.pts -= round(start / frame.time_base)
            for piece in self._resampler.resample(frame):
                ready += self._out.encode(piece)
        return ready

    def flush(self) -> list[av.Packet]:
        ready = [p for piece in self._resampler.resample(None) for p in self._out.encode(piece)]
        return ready + self._out.encode(None)


def _tick(stream: av.VideoStream) -> Fraction:
    assert stream.time_base is not None  # every demuxer sets it
    return stream.time_base


def _open(path: Path) -> InputContainer:
    try:
        return av.open(str(path), metadata_errors="replace")
    except FileNotFoundError:
        raise SourceNotFound(f"no clip at {path} to take the sound from; check the name") from None
    except (FFmpegError, OSError) as error:
        raise UnreadableMedia(
            f"cannot take the sound from {path}: {error.strerror}; choose another clip, or none"
        ) from error
