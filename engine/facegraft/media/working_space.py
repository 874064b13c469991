"""Working spaces: how a picture's numbers become what the network was trained on, and back.

Networks learn from display-referred sRGB. A working space is a pair of exact inverses between the
numbers that a file or a host hands over and such pictures:

    name            primaries          curve of the numbers
    display         as they are        none: the picture is display-referred already
    linear_rec709   Rec. 709 / sRGB    scene-linear
    linear_rec2020  Rec. 2020          scene-linear
    acescg          ACES AP1, D60      scene-linear
    aces2065_1      ACES AP0, D60      scene-linear
    rec2100_pq      Rec. 2020          SMPTE ST 2084; 203 cd/m2 are display white (BT.2408)
    rec2100_hlg     Rec. 2020          BT.2100 HLG, scene light; signal 0.75 is display white
    ocio:...        any space of an OpenColorIO config, see `ocio.py`

Scene-linear 1.0 is display 1.0. Nothing is clipped: values above 1 and below 0 go through the sRGB
curve extended beyond its ends (`color.py`), so colours outside Rec. 709 come back, too. White is
adapted from D60 to D65 by Bradford's matrix. A round trip changes finite values by less than 2e-5
of their size (5e-5 for PQ), far below a half float's step of 5e-4.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import cv2
import numpy as np

from facegraft.errors import ParameterError
from facegraft.media.color import power, srgb_decode, srgb_encode

Convert = Callable[[np.ndarray], np.ndarray]

AUTO = "auto"  # by what the clip says of itself, see `name_for`
OCIO_PREFIX = "ocio:"

D65 = (0.3127, 0.3290)
D60 = (0.32168, 0.33767)  # of ACES
# red, green, blue and white as CIE xy
PRIMARIES: Mapping[str, tuple[tuple[float, float], ...]] = MappingProxyType(
    {
        "bt709": ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060), D65),
        "bt2020": ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046), D65),
        "ap1": ((0.713, 0.293), (0.165, 0.830), (0.128, 0.044), D60),
        "ap0": ((0.7347, 0.2653), (0.0, 1.0), (0.0001, -0.0770), D60),
    }
)
BRADFORD = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)
_BUILT_IN: Mapping[str, tuple[str, str]] = MappingProxyType(  # name -> primaries, curve
    {
        "linear_rec709": ("bt709", "linear"),
        "linear_rec2020": ("bt2020", "linear"),
        "acescg": ("ap1", "linear"),
        "aces2065_1": ("ap0", "linear"),
        "rec2100_pq": ("bt2020", "pq"),
        "rec2100_hlg": ("bt2020", "hlg"),
    }
)
SPACE_NAMES = ("display", *_BUILT_IN)


@dataclass(frozen=True, slots=True)
class WorkingSpace:
    """A pair of functions on (..., 3) float32 RGB; equal to another one of the same name.

    to_display: working values to display-referred sRGB, unclipped.
    from_display: the way back. Both take finite values and leave their argument alone; the result
    may be the argument itself where nothing is to be done.
    """

    name: str
    to_display: Convert = field(compare=False, repr=False)
    from_display: Convert = field(compare=False, repr=False)

    @property
    def is_display(self) -> bool:
        """Whether nothing is converted at all."""
        return self.name == "display"


def _same(image: np.ndarray) -> np.ndarray:
    return image


DISPLAY = WorkingSpace("display", _same, _same)


def open_space(name: str) -> WorkingSpace:
    """The space of a name of the table above; case, blanks and dots do not count, so that a host's
    "Linear Rec.709" is understood.

    Raises: ParameterError naming what is known; for `ocio:` what `ocio.open_ocio_space` raises.
    """
    if name.startswith(OCIO_PREFIX):
        from facegraft.media.ocio import open_ocio_space  # an optional package

        return open_ocio_space(name)
    wanted = _plain(name)
    if wanted == "display":
        return DISPLAY
    for known, (primaries, curve) in _BUILT_IN.items():
        if _plain(known) == wanted:
            return _space(known, primaries, curve)
    raise ParameterError(
        f"unknown working space {name!r}; known: {', '.join(SPACE_NAMES)}, or "
        "ocio:CONFIG#SPACE for one of an OpenColorIO config"
    )


def name_for(primaries: str, transfer: str) -> str:
    """The space that a clip's colour tags ask for ('auto'): scene-linear and HDR ones as tagged,
    everything else is display-referred."""
    match transfer:
        case "linear":
            found = [n for n, kind in _BUILT_IN.items() if kind == (primaries, "linear")]
            return found[0] if found else "linear_rec709"
        case "smpte2084":
            return "rec2100_pq"
        case "arib-std-b67":
            return "rec2100_hlg"
        case _:
            return "display"


def rgb_to_rgb(source: str, target: str) -> np.ndarray:
    """(3, 3) float64 from linear RGB of one set of primaries to another's, white to white."""
    from_white, to_white = _white_xyz(source), _white_xyz(target)
    cones = (BRADFORD @ to_white) / (BRADFORD @ from_white)
    adapt = np.linalg.solve(BRADFORD, cones[:, None] * BRADFORD)
    return np.linalg.solve(_rgb_to_xyz(target), adapt @ _rgb_to_xyz(source))


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _space(name: str, primaries: str, curve: str) -> WorkingSpace:
    to_linear, from_linear = _CURVES[curve]
    to_709 = rgb_to_rgb(primaries, "bt709")
    from_709 = np.linalg.inv(to_709)
    if primaries == "bt709":
        return WorkingSpace(
            name, lambda x: srgb_encode(to_linear(x)), lambda x: from_linear(srgb_decode(x))
        )
    return WorkingSpace(
        name,
        lambda x: srgb_encode(_mixed(to_linear(x), to_709)),
        lambda x: from_linear(_mixed(srgb_decode(x), from_709)),
    )


def _mixed(image: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Every RGB value times a (3, 3) matrix."""
    if image.size == 0:
        return image
    flat = np.ascontiguousarray(image, np.float32).reshape(-1, 1, 3)
    return cv2.transform(flat, matrix).reshape(image.shape)


def _white_xyz(primaries: str) -> np.ndarray:
    x, y = PRIMARIES[primaries][3]
    return np.array([x / y, 1.0, (1 - x - y) / y])


def _rgb_to_xyz(primaries: str) -> np.ndarray:
    """(3, 3): columns are the primaries, scaled so that RGB (1, 1, 1) is white (SMPTE RP 177)."""
    columns = np.array([[x, y, 1 - x - y] for x, y in PRIMARIES[primaries][:3]]).T
    return columns * np.linalg.solve(columns, _white_xyz(primaries))


# SMPTE ST 2084: signal 0..1 to light of up to 10000 cd/m2
_M1, _M2 = 2610 / 16384, 2523 / 4096 * 128
_C1, _C2, _C3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
_PQ_PEAK = 10000 / 203  # in units of display white
_HLG_A = 0.17883277  # BT.2100 table 5
_HLG_B = 1 - 4 * _HLG_A
_HLG_C = 0.5 - _HLG_A * np.log(4 * _HLG_A)
_HLG_WHITE = (np.exp((0.75 - _HLG_C) / _HLG_A) + _HLG_B) / 12  # scene light of signal 0.75


def _pq_to_linear(signal: np.ndarray) -> np.ndarray:
    """Signals outside 0..1 do not exist in PQ, and count as the nearest that does."""
    root = power(np.clip(signal, 0, 1).astype(np.float32), 1 / _M2)
    return power(np.maximum(root - np.float32(_C1), 0) / (_C2 - _C3 * root), 1 / _M1) * np.float32(
        _PQ_PEAK
    )


def _pq_from_linear(light: np.ndarray) -> np.ndarray:
    part = power(np.clip(light / np.float32(_PQ_PEAK), 0, 1).astype(np.float32), _M1)
    # the exponent of 79 multiplies rounding errors, so this step is in double
    return np.power((_C1 + _C2 * part.astype(np.float64)) / (1 + _C3 * part), _M2).astype(
        np.float32
    )


def _hlg_to_linear(signal: np.ndarray) -> np.ndarray:
    size = np.abs(signal)
    light = np.where(size <= 0.5, size**2 / 3, (np.exp((size - _HLG_C) / _HLG_A) + _HLG_B) / 12)
    return np.copysign(light / _HLG_WHITE, signal).astype(np.float32)


def _hlg_from_linear(light: np.ndarray) -> np.ndarray:
    size = np.abs(light) * _HLG_WHITE
    upper = _HLG_A * np.log(np.maximum(12 * size - _HLG_B, 1e-9)) + _HLG_C
    return np.copysign(np.where(size <= 1 / 12, np.sqrt(3 * size), upper), light).astype(np.float32)


_CURVES: Mapping[str, tuple[Convert, Convert]] = MappingProxyType(
    {
        "linear": (_same, _same),
        "pq": (_pq_to_linear, _pq_from_linear),
        "hlg": (_hlg_to_linear, _hlg_from_linear),
    }
)
