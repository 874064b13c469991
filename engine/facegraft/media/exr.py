"""OpenEXR pictures, read whole and written again with nothing changed but the pixels that changed.

Through the OpenEXR project's own Python module. What a file holds beside red, green and blue (other
layers, depth, ids, parts, attributes) comes along, in its own type: half stays half, bit for bit.

The frame is the display window, so that it has one size though every file of a render may store
another data window. Where nothing is stored the frame is black and transparent; what is stored
beyond the frame's border (overscan) is kept and not shown.

Which colour: `R G B` of the first part that has them, else a layer called combined, rgba, rgb or
beauty, else the only layer with colour, else grey (`Y`). Names may be in lower case.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import OpenEXR

from facegraft.errors import SourceNotFound, UnreadableMedia
from facegraft.media.working_space import PRIMARIES

EXR_SUFFIX = ".exr"
KEEP_BYTES = 96 << 20  # of one file; larger ones are read again for writing, not held in memory
SIDE_LIMIT = 32768  # px of the display window; beyond any camera, so a damaged header
PREFERRED_LAYERS = ("combined", "rgba", "rgb", "beauty")
_GREY = "Y"
_TOLERANCE = 2e-3  # of CIE xy, as OpenEXR's own comparison of chromaticities

Parts = list[Any]  # of OpenEXR.Part


@dataclass(frozen=True, slots=True)
class Layer:
    """Channels that make a colour picture: `colors` are three, or one of a grey picture."""

    part: int
    name: str  # 'part.prefix' as a user says it; '' for plain R G B of a nameless part
    colors: tuple[str, ...]
    alpha: str  # '' where there is none


@dataclass(frozen=True, slots=True, eq=False)
class StoredExr:
    """The file that a picture came from, for writing it again.

    inside: of the frame, stored: of the data window; the rectangle that both share.
    """

    path: Path
    layer: Layer
    inside: tuple[slice, slice]
    stored: tuple[slice, slice]
    held: Parts | None  # None: too large to keep

    def parts(self) -> Parts:
        """All parts of the file. Raises: UnreadableMedia where it changed or went away."""
        return self.held if self.held is not None else _open(self.path)


@dataclass(frozen=True, slots=True, eq=False)
class ExrPicture:
    """pixels: (H, W, 3) float32; alpha: (H, W) float32 or None; colour is premultiplied by it.

    primaries: "bt709", "ap1", ... as `working_space.PRIMARIES`, '' where the file says none.
    fps: the attribute framesPerSecond, where there is one.
    """

    pixels: np.ndarray
    alpha: np.ndarray | None
    primaries: str
    fps: Fraction | None
    stored: StoredExr


def read_exr(path: Path, layer: str = "") -> ExrPicture:
    """The picture of one file. `layer`: name of a layer or part, '' for the usual colour.

    Raises: SourceNotFound; UnreadableMedia for a damaged file, deep data, mip levels, subsampled
    or whole-number colour, no colour at all, or an unknown layer; it names what the file has.
    """
    parts = _open(path)
    chosen = _choose(path, list(_layers(parts)), layer)
    part = parts[chosen.part]
    names = (*chosen.colors, chosen.alpha) if chosen.alpha else chosen.colors
    for name in names:
        _check_channel(path, name, part.channels[name])
    (x0, y0), (x1, y1) = (corner.tolist() for corner in part.header["displayWindow"])
    width, height = x1 - x0 + 1, y1 - y0 + 1
    if not (0 < width <= SIDE_LIMIT and 0 < height <= SIDE_LIMIT):
        raise UnreadableMedia(
            f"{path}: its display window is {width}x{height} px, the limit is {SIDE_LIMIT}; the "
            "file is damaged, or crop it"
        )
    left, top = part.header["dataWindow"][0].tolist()
    shape = part.channels[names[0]].pixels.shape
    inside_y, stored_y = _overlap(top - y0, shape[0], height)
    inside_x, stored_x = _overlap(left - x0, shape[1], width)
    inside, stored = (inside_y, inside_x), (stored_y, stored_x)

    def plane(name: str) -> np.ndarray:
        values = part.channels[name].pixels
        if values.shape == (height, width) == shape and inside == stored:
            return values.astype(np.float32)
        framed = np.zeros((height, width), np.float32)
        framed[inside] = values[stored]
        return framed

    colors = [plane(name) for name in chosen.colors]
    pixels = np.stack(colors if len(colors) == 3 else colors * 3, axis=-1)
    size = sum(c.pixels.nbytes for p in parts for c in p.channels.values())
    return ExrPicture(
        pixels,
        plane(chosen.alpha) if chosen.alpha else None,
        _primaries(part.header.get("chromaticities")),
        _rate(part.header.get("framesPerSecond")),
        StoredExr(path, chosen, inside, stored, parts if size <= KEEP_BYTES else None),
    )


def _open(path: Path) -> Parts:
    if not path.exists():
        raise SourceNotFound(f"no image at {path}; check the name")
    parts = _load(path, header_only=False)
    whole = bool(parts) and all(part.channels for part in parts)
    # of a file with mip levels OpenEXR may give no pixels, of its header it speaks all the same
    for part in parts if whole else _load(path, header_only=True):
        _check_kind(path, part.header)
    if not whole:
        raise UnreadableMedia(
            f"{path} is damaged or cut short: pixels are missing; render or copy it again"
        )
    return parts


def _load(path: Path, header_only: bool) -> Parts:
    try:
        file = OpenEXR.File(str(path), separate_channels=True, header_only=header_only)
        return list(file.parts)
    except (RuntimeError, ValueError, TypeError) as error:
        raise UnreadableMedia(
            f"{path} is no OpenEXR file that can be read ({error}); it may be cut short. Render, "
            "copy or export it again"
        ) from error


def _check_kind(path: Path, header: Mapping[str, Any]) -> None:
    if header["type"] in (OpenEXR.deepscanline, OpenEXR.deeptile):
        raise UnreadableMedia(
            f"{path} holds deep data, many values a pixel; flatten it (in Nuke: DeepToImage)"
        )
    tiles = header.get("tiles")
    if tiles is not None and tiles.mode != OpenEXR.ONE_LEVEL:
        raise UnreadableMedia(
            f"{path} is a texture with mip levels, which would be lost; export it without"
        )


def _layers(parts: Parts) -> Iterator[Layer]:
    """Every group of channels that makes a colour picture, plain names first."""
    found: list[Layer] = []
    for index, part in enumerate(parts):
        groups: dict[str, dict[str, str]] = {}
        for full in part.channels:
            prefix, _, last = full.rpartition(".")
            groups.setdefault(prefix, {})[last.upper()] = full
        for prefix, group in groups.items():
            name = ".".join(text for text in (part.header.get("name", ""), prefix) if text)
            alpha = group.get("A", "")
            if all(color in group for color in "RGB"):
                colors = tuple(group[color] for color in "RGB")
                found.append(Layer(index, name, colors, alpha))
            elif _GREY in group and not {"RY", "BY"} & set(group):
                found.append(Layer(index, name, (group[_GREY],), alpha))
    yield from sorted(found, key=lambda layer: (len(layer.colors) == 1, "." in layer.colors[0]))


def _choose(path: Path, layers: list[Layer], wanted: str) -> Layer:
    names = ", ".join(layer.name or "(plain R G B)" for layer in layers)
    if wanted:
        for layer in layers:
            if wanted.lower() in (layer.name.lower(), layer.colors[0].rpartition(".")[0].lower()):
                return layer
        raise UnreadableMedia(f"{path} has no layer {wanted!r}; it has {names or 'no colour'}")
    if not layers:
        raise UnreadableMedia(
            f"{path} has no colour: neither R, G and B nor Y among its channels (luminance with "
            "subsampled chroma is not read); export it with RGB"
        )
    for layer in layers:
        last = layer.colors[0].rpartition(".")[0].rpartition(".")[2].lower()
        if not last or last in PREFERRED_LAYERS:
            return layer
    if len(layers) > 1:
        raise UnreadableMedia(f"{path} has several pictures; choose a layer: {names}")
    return layers[0]


def _check_channel(path: Path, name: str, channel: Any) -> None:
    if channel.pixels.dtype.kind != "f":
        raise UnreadableMedia(
            f"{path}: channel {name} holds whole numbers ({channel.pixels.dtype}), not colour; "
            "export it as half or float"
        )
    if (channel.xSampling, channel.ySampling) != (1, 1):
        raise UnreadableMedia(f"{path}: channel {name} is subsampled; export it at full size")


def _overlap(start: int, length: int, side: int) -> tuple[slice, slice]:
    """Along one axis: which part of a frame of `side` px stored data cover, and which of theirs."""
    low, high = min(max(start, 0), side), max(min(start + length, side), 0)
    high = max(low, high)
    first = min(max(low - start, 0), length)
    return slice(low, high), slice(first, first + high - low)


def _rate(value: Any) -> Fraction | None:
    return value if isinstance(value, Fraction) and value > 0 else None


def _primaries(chromaticities: Any) -> str:
    """The name of a header's eight numbers (red, green, blue, white as xy), or ''."""
    if chromaticities is None:
        return ""
    given = np.array(chromaticities, np.float64).ravel()
    for name, known in PRIMARIES.items():
        if np.abs(given - np.array(known).ravel()).max() < _TOLERANCE:
            return name
    return ""


# compressions that change pixels; written anew they would change those that nobody touched
LOSSY: Mapping[str, str] = MappingProxyType(
    {
        "PXR24_COMPRESSION": "rounds float channels to 24 bit",
        "B44_COMPRESSION": "is lossy",
        "B44A_COMPRESSION": "is lossy",
        "DWAA_COMPRESSION": "is lossy",
        "DWAB_COMPRESSION": "is lossy",
        "LJ2K_COMPRESSION": "is lossy",
    }
)
