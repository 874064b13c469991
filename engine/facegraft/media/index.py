"""Where each frame of a movie is: read once from its packets, without decoding anything."""

import bisect
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.error import FFmpegError

CUT = "it is shorter than its header says"


@dataclass(frozen=True, slots=True, eq=False)
class FrameIndex:
    """Presentation times of all frames in order, in ticks of `time_base`."""

    ticks: list[int]  # strictly increasing; those of the frames that the file really holds
    keys: list[tuple[int, int]]  # (pts, dts) of the key frames, by pts
    time_base: Fraction  # seconds of a tick
    promised: int  # frames that the header speaks of; more than len(ticks) if the file is cut
    damage: str  # what the demuxer complained about, or ''
    by_count: bool = False  # ticks are plain counts: the file stores no usable times

    @property
    def count(self) -> int:
        return max(len(self.ticks), self.promised)

    def position_at(self, tick: int) -> int:
        """Index of the last frame whose tick is not later; -1 before the first."""
        return bisect.bisect_right(self.ticks, tick) - 1

    def is_constant(self, fps: Fraction) -> bool:
        """Whether every frame lies at index / fps, but for rounding to a tick."""
        step = float(1 / (fps * self.time_base))
        ticks = np.array(self.ticks, np.float64)
        drift = np.abs(ticks - ticks[0] - step * np.arange(len(ticks))).max()
        return bool(drift <= min(1.0, step / 4))  # rounding of two ends; a quarter frame at most


def read_index(container: InputContainer, stream: av.VideoStream) -> FrameIndex | None:
    """Demux the stream to its end; None where packets carry no usable times (raw H.264, AVI with
    B frames, whose times FFmpeg can only guess).

    Packets that an edit list marks as discarded are decoded by FFmpeg but never shown. Incomplete
    packets at the end mean a file that was cut short; elsewhere the decoder conceals them.
    """
    if container.format.name == "avi" and stream.codec_context.reorder_depth:
        return None
    packets: list[tuple[int, int | None, bool, bool]] = []  # pts, dts, key, corrupt
    discarded = 0
    damage = ""
    try:
        for packet in container.demux(stream):
            if packet.size == 0:  # PyAV's flush packet at the end
                continue
            if packet.is_discard:
                discarded += 1
            elif packet.pts is None:
                return None
            else:
                packets.append((packet.pts, packet.dts, packet.is_keyframe, packet.is_corrupt))
    except FFmpegError as error:
        damage = error.strerror or str(error)
    while packets and packets[-1][3]:
        packets.pop()
        damage = damage or "its last packet is incomplete"
    if not damage and _is_cut(Path(container.name)):
        damage = CUT
    ticks = sorted(pts for pts, *_ in packets)
    if len(set(ticks)) < len(ticks) or (ticks and not any(key for *_, key, _ in packets)):
        return None
    promised = 0
    if damage:
        ticks = _certain_ticks(ticks, packets, stream)
        promised = max(_count_in_header(container, stream) - discarded, len(ticks) + 1)
    keys = sorted((pts, pts if dts is None else dts) for pts, dts, key, _ in packets if key)
    assert stream.time_base is not None  # every demuxer sets it
    return FrameIndex(ticks, keys, stream.time_base, promised, damage)


def count_frames(container: InputContainer, stream: av.VideoStream) -> FrameIndex:
    """An index for a file without times: decode everything once, at the rate it is marked with."""
    count = 0
    is_cut = False  # the last packet is incomplete
    damage = ""
    try:
        for packet in container.demux(stream):
            is_cut = packet.is_corrupt if packet.size else is_cut
            count += len(packet.decode())
    except FFmpegError as error:
        damage = error.strerror or str(error)
    if not (is_cut or damage) and _is_cut(Path(container.name)):
        damage = CUT
    if is_cut or damage:
        damage = damage or "its last packet is incomplete"
        # the frame of that packet is a guess, and so may be those that wait to be reordered
        count = max(count - 1 - stream.codec_context.reorder_depth, 0)
    promised = max(_count_in_header(container, stream), count + 1) if damage else 0
    rate = stream.average_rate or stream.guessed_rate or Fraction(25)  # FFmpeg's own default
    return FrameIndex(list(range(count)), [], 1 / Fraction(rate), promised, damage, by_count=True)


def _certain_ticks(
    ticks: list[int], packets: list[tuple[int, int | None, bool, bool]], stream: av.VideoStream
) -> list[int]:
    """The times before the first frame that a cut may have taken.

    Packets are stored in decoding order, so a lost one is decoded later than the last (dts) and
    shown no earlier than that. Without dts the reordering depth of the codec says the same.
    """
    if not packets:
        return []
    last_dts = packets[-1][1]
    if last_dts is None:
        return ticks[: max(len(ticks) - stream.codec_context.reorder_depth, 0)]
    return ticks[: bisect.bisect_right(ticks, last_dts)]


def _count_in_header(container: InputContainer, stream: av.VideoStream) -> int:
    """Frames that the header promises: a count (mp4, mov, avi) or a duration (mkv)."""
    if stream.frames or not container.duration or not stream.average_rate:
        return stream.frames
    return round(Fraction(container.duration, av.time_base) * stream.average_rate)


def _is_cut(path: Path) -> bool:
    """Whether the file is shorter than its header says; FFmpeg tells of a cut packet only."""
    return _matroska_is_cut(path) or _riff_is_cut(path)


def _riff_is_cut(path: Path) -> bool:
    """AVI: a RIFF file's length follows its first four bytes; 0 where it was never finished."""
    with path.open("rb") as file:
        head = file.read(8)
    return head[:4] == b"RIFF" and int.from_bytes(head[4:], "little") + 8 > path.stat().st_size


def _matroska_is_cut(path: Path) -> bool:
    """Whether a Matroska segment is longer than the file; FFmpeg ends such a file in silence.

    EBML (RFC 8794): an element is an id, a size whose leading zero bits give its length, and data;
    a size of all ones means "unknown", as in a live recording.
    """
    with path.open("rb") as file:
        head = file.read(4 + 8)
        if head[:4] != bytes.fromhex("1a45dfa3"):
            return False
        header_size, width = _ebml_size(head[4:])
        file.seek(4 + width + header_size)
        segment = file.read(4 + 8)
        if segment[:4] != bytes.fromhex("18538067") or len(segment) < 12:
            return False
        size, width = _ebml_size(segment[4:])
        end = file.tell() - 12 + 4 + width + size
        unknown = size == (1 << 7 * width) - 1
        return not unknown and end > path.stat().st_size


def _ebml_size(data: bytes) -> tuple[int, int]:
    """A variable-length size and the number of bytes that it takes."""
    width = 9 - data[0].bit_length() if data[0] else 8
    return int.from_bytes(data[:width], "big") & (1 << 7 * width) - 1, width
