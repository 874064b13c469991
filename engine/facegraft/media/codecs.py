"""The table of codecs: which encoder, containers and pixel formats each name stands for.

    name       encoder     containers     8-bit input   16-bit input  alpha            lossless
    h264       libx264     mp4 mov mkv    yuv420p       yuv420p       -                no
    h265       libx265     mp4 mov mkv    yuv420p10le   yuv420p10le   -                no
    prores     prores_ks   mov mkv        yuv422p10le   yuv422p10le   -                no (HQ)
    prores4444 prores_ks   mov mkv        yuv444p10le   yuv444p10le   yuva444p10le     no
    ffv1       ffv1        mkv            bgr0          gbrp16le      bgra gbrap16le   RGB exact
    png        png         mov            rgb24         rgb48be       rgba rgba64be    RGB exact
    h264-rgb   libx264rgb  mp4 mov mkv    rgb24         -             -                RGB exact

"lossless" is the exact codec that a container is best read with: FFV1 in mkv, PNG in mov (editors
read it, and mov does not hold FFV1), H.264 in RGB in mp4 (8 bit; VLC, mpv and FFmpeg read it).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from facegraft.errors import ParameterError

CONTAINERS: Mapping[str, str] = MappingProxyType({".mp4": "mp4", ".mov": "mov", ".mkv": "matroska"})
CRF_RANGE = (0, 51)  # x264's and x265's scale: 0 is best, 6 more halves the size


class VideoCodec(StrEnum):
    H264 = "h264"
    H265 = "h265"
    PRORES = "prores"
    PRORES4444 = "prores4444"
    FFV1 = "ffv1"
    PNG = "png"
    H264_RGB = "h264-rgb"
    LOSSLESS = "lossless"


@dataclass(frozen=True, slots=True)
class Codec:
    """One line of the table."""

    encoder: str
    suffixes: tuple[str, ...]
    formats: Mapping[int, str]  # depth of the pixels handed over -> FFmpeg pixel format
    alpha_formats: Mapping[int, str]
    options: Mapping[str, str]
    crf: int | None = None  # the default where the codec has a quality scale
    reorder: int = 0  # frames that B pictures are late; 0: the encoder's own times are used
    tag: str = ""  # four letters that mp4 and mov players look for


_MP4 = (".mp4", ".mov", ".mkv")
_MOV = (".mov", ".mkv")

CODECS: Mapping[VideoCodec, Codec] = MappingProxyType(
    {
        VideoCodec.H264: Codec(
            "libx264",
            _MP4,
            {8: "yuv420p"},
            {},
            # a quarter of the time of "faster" for 5 to 11 % more bytes at the same PSNR: finer
            # search and B pictures do not help with grain, which this crf keeps
            {"preset": "superfast", "mbtree": "1", "rc-lookahead": "10", "bf": "0"},
            crf=16,  # where artefacts stay below what an eye sees in a still
        ),
        VideoCodec.H265: Codec(
            "libx265",
            _MP4,
            {16: "yuv420p10le"},
            {},
            {"preset": "medium", "x265-params": "log-level=error:bframes=4:b-pyramid=1"},
            crf=18,  # x265 needs about two steps less than x264 for the same picture
            reorder=2,  # of a pyramid of B pictures
            tag="hvc1",
        ),
        VideoCodec.PRORES: Codec(
            "prores_ks", _MOV, {16: "yuv422p10le"}, {}, {"profile": "hq", "vendor": "apl0"}
        ),
        VideoCodec.PRORES4444: Codec(
            "prores_ks",
            _MOV,
            {16: "yuv444p10le"},
            {16: "yuva444p10le"},
            {"profile": "4444", "vendor": "apl0", "alpha_bits": "16"},
        ),
        VideoCodec.FFV1: Codec(
            "ffv1",
            (".mkv",),
            {8: "bgr0", 16: "gbrp16le"},
            {8: "bgra", 16: "gbrap16le"},
            # version 3, slices with checksums and key frames only: what archives ask for
            {"level": "3", "slicecrc": "1", "g": "1", "slices": "12"},
        ),
        VideoCodec.PNG: Codec(
            "png",
            (".mov",),
            {8: "rgb24", 16: "rgb48be"},
            {8: "rgba", 16: "rgba64be"},
            # five times as quick as FFmpeg's default level, for a third more bytes
            {"pred": "sub", "compression_level": "1"},
        ),
        VideoCodec.H264_RGB: Codec(
            "libx264rgb", _MP4, {8: "rgb24"}, {}, {"preset": "fast", "qp": "0"}
        ),
    }
)
LOSSLESS: Mapping[str, VideoCodec] = MappingProxyType(
    {".mkv": VideoCodec.FFV1, ".mov": VideoCodec.PNG, ".mp4": VideoCodec.H264_RGB}
)


def find_codec(name: VideoCodec | str, suffix: str) -> tuple[VideoCodec, Codec]:
    """The table's line for a name and a file suffix.

    Raises: ParameterError for an unknown name or container, or a codec that the container lacks.
    """
    suffix = suffix.lower()
    if suffix not in CONTAINERS:
        raise ParameterError(
            f"no movie format for {suffix or 'a name without a suffix'!r}; use one of "
            f"{', '.join(CONTAINERS)}, or a folder for numbered images"
        )
    try:
        codec = VideoCodec(name)
    except ValueError:
        raise ParameterError(f"unknown codec {name!r}; known: {', '.join(VideoCodec)}") from None
    if codec is VideoCodec.LOSSLESS:
        codec = LOSSLESS[suffix]
    line = CODECS[codec]
    if suffix not in line.suffixes:
        fitting = ", ".join(c for c, entry in CODECS.items() if suffix in entry.suffixes)
        raise ParameterError(
            f"{codec} does not go into {suffix}; use {' or '.join(line.suffixes)}, "
            f"or for {suffix} one of {fitting}"
        )
    return codec, line


def choose_format(codec: VideoCodec, bit_depth: int, alpha: bool) -> tuple[int, str]:
    """Depth of the pixels to hand over, and the pixel format they are stored in.

    A lossy codec takes any depth; a lossless one refuses what it would have to round.
    Raises: ParameterError.
    """
    line = CODECS[codec]
    formats = line.alpha_formats if alpha else line.formats
    if not formats:
        able = ", ".join(c for c, entry in CODECS.items() if entry.alpha_formats)
        raise ParameterError(f"{codec} stores no alpha; {able} do")
    depth = bit_depth if bit_depth in formats else next(iter(formats))
    if depth < bit_depth and codec in LOSSLESS.values():
        raise ParameterError(
            f"{codec} stores 8 bit, the pixels have {bit_depth}; use .mkv (ffv1) or .mov (png)"
        )
    return depth, formats[depth]
