"""Colour tags of movie streams: the numbers of ITU-T H.273 and FFmpeg's names for them.

A matrix that a file leaves open is guessed as players do (mpv's rule): BT.709 from 1280 px width
or 577 px height on, BT.601 below. An open range is "tv" for YUV and "pc" for RGB and grey.
"""

from collections.abc import Mapping
from types import MappingProxyType

from facegraft.media.source import ColorTags

Names = Mapping[int, str]

PRIMARIES: Names = MappingProxyType(
    {
        1: "bt709",
        4: "bt470m",
        5: "bt470bg",
        6: "smpte170m",
        7: "smpte240m",
        8: "film",
        9: "bt2020",
        10: "smpte428",
        11: "smpte431",
        12: "smpte432",
        22: "ebu3213",
    }
)
TRANSFERS: Names = MappingProxyType(
    {
        1: "bt709",
        4: "bt470m",
        5: "bt470bg",
        6: "smpte170m",
        7: "smpte240m",
        8: "linear",
        9: "log100",
        10: "log316",
        11: "iec61966-2-4",
        12: "bt1361e",
        13: "iec61966-2-1",
        14: "bt2020-10",
        15: "bt2020-12",
        16: "smpte2084",
        17: "smpte428",
        18: "arib-std-b67",
    }
)
MATRICES: Names = MappingProxyType(
    {
        0: "rgb",
        1: "bt709",
        4: "fcc",
        5: "bt470bg",
        6: "smpte170m",
        7: "smpte240m",
        8: "ycgco",
        9: "bt2020nc",
        10: "bt2020c",
        14: "ictcp",
    }
)
RANGES: Names = MappingProxyType({1: "tv", 2: "pc"})

HDR_TRANSFERS = frozenset({"smpte2084", "arib-std-b67"})  # PQ and HLG

# red and blue luma weights of the matrices that a weighted sum describes
LUMA_WEIGHTS: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        "bt709": (0.2126, 0.0722),
        "fcc": (0.30, 0.11),
        "bt470bg": (0.299, 0.114),
        "smpte170m": (0.299, 0.114),
        "smpte240m": (0.212, 0.087),
        "bt2020nc": (0.2627, 0.0593),
    }
)

HD_WIDTH, HD_HEIGHT = 1280, 576  # px; from this width, or above this height, untagged is BT.709


def number_of(names: Names, name: str) -> int:
    """The H.273 number of a tag; 2 ("unspecified") for ''."""
    return next((number for number, known in names.items() if known == name), 2)


def read_tags(primaries: int, transfer: int, matrix: int, color_range: int) -> ColorTags:
    """Tags by name; '' for what the file leaves open."""
    return ColorTags(
        PRIMARIES.get(primaries, ""),
        TRANSFERS.get(transfer, ""),
        MATRICES.get(matrix, ""),
        RANGES.get(color_range, ""),
    )


def guess_matrix(width: int, height: int) -> str:
    """The matrix of an untagged YUV stream by the size it is stored in."""
    return "bt709" if width >= HD_WIDTH or height > HD_HEIGHT else "smpte170m"


def tags_for_yuv(source: ColorTags) -> ColorTags:
    """Tags of a YUV movie made from the pixels of a source.

    Pixels keep the primaries and the transfer curve of their source, so those are passed on; only
    the matrix is ours: BT.2020 for BT.2020 primaries, else BT.709. sRGB images (screens show both
    curves alike, and players know BT.709 best) and untagged sources become BT.709.
    """
    wide = source.primaries == "bt2020"
    transfer = source.transfer
    if transfer in ("", "iec61966-2-1"):
        transfer = "bt2020-10" if wide else "bt709"
    return ColorTags(source.primaries or "bt709", transfer, "bt2020nc" if wide else "bt709", "tv")


def tags_for_rgb(source: ColorTags) -> ColorTags:
    """Tags of a movie that stores RGB as it is; sRGB where the source says nothing."""
    return ColorTags(source.primaries or "bt709", source.transfer or "iec61966-2-1", "rgb", "pc")
