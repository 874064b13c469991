"""Which rule gives a swapped face the plate's highlights: error in stops, by rule and network.

    python benchmarks/highlights.py

Heads are drawn: a shaded ellipsoid with two specular spots. The plate has them at the peak named;
the wanted face has them equal, moved and narrower, a third as strong, or not at all. A network that
learned from 0..1 is imitated by clipping, a blur, a loss of contrast and noise. The error is the
mean of |log2| between given and wanted luminance where either is above 1, over the four cases.
Rules: `media/hdr.py` says which one was chosen, and why.
"""

from collections.abc import Callable

import cv2
import numpy as np
from scipy.optimize import brentq

from facegraft.media.color import srgb_decode, srgb_encode
from facegraft.media.hdr import carry_highlights

SIDE = 256  # px
LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32)
PLATE_SKIN, FACE_SKIN = (0.55, 0.38, 0.30), (0.35, 0.22, 0.17)  # linear
# of the wanted face's spots: shift in px (x, y), width in px, strength as a share of the plate's
CASES = ((0, 0, 22, 1.0), (6, 4, 17, 1.0), (2, 0, 22, 0.33), (0, 0, 22, 0.003))
NETWORKS = {  # contrast kept, blur in px
    "faithful": (1.0, 1.5),
    "flatter by 5 %": (0.95, 2.5),
    "flatter by 10 %": (0.9, 3.0),
}
PEAKS = (1.2, 6.0, 20.0)  # of the plate's highlights, in units of white
NOISE = 0.008  # of the network, display
KNEE, TOP = 0.8, 2.6  # of the soft shoulder: display values from KNEE to TOP become KNEE to 1
FLOOR = 0.02  # luminance added on both sides, so that deep shadows do not count

Picture = np.ndarray  # (SIDE, SIDE, 3) float32


def head(skin: tuple[float, float, float], seed: int, spot: tuple[float, ...]) -> Picture:
    """Scene-linear light; `spot` is shift x, shift y, width and peak."""
    y, x = np.mgrid[:SIDE, :SIDE].astype(np.float32)
    u, v = (x - 128) / 100, (y - 128) / 115
    inside = u * u + v * v < 1
    depth = np.sqrt(np.maximum(1 - u * u - v * v, 0))
    shade = 0.25 + 0.9 * np.maximum(0, 0.3 * u - 0.4 * v + 0.86 * depth)
    noise = np.random.default_rng(seed).normal(0, 1, (SIDE, SIDE)).astype(np.float32)
    albedo = np.array(skin, np.float32) * (1 + 0.72 * cv2.GaussianBlur(noise, (0, 0), 6))[..., None]
    dx, dy, width, peak = spot
    brow = np.exp(-(((x - 150 - dx) / width) ** 2) - ((y - 80 - dy) / (0.7 * width)) ** 2)
    nose = np.exp(-(((x - 140 - dx) / (0.35 * width)) ** 2) - ((y - 150 - dy) / (0.8 * width)) ** 2)
    gloss = peak * (brow + 0.6 * nose)[..., None] * np.array([1, 0.95, 0.85], np.float32)
    light = np.maximum(0.8 * albedo * shade[..., None] + gloss, 0) * inside[..., None]
    return light.astype(np.float32)


def imitate(display: Picture, contrast: float, blur: float) -> Picture:
    """What a network makes of the wanted face, shown to it as `display`."""
    noise = np.random.default_rng(7).normal(0, NOISE, display.shape).astype(np.float32)
    seen = cv2.GaussianBlur(np.clip(display, 0, 1), (0, 0), blur)
    return np.clip(0.4 + contrast * (seen - 0.4) + noise, 0, 1)


def shoulder() -> tuple[Callable[[Picture], Picture], Callable[[Picture], Picture]]:
    """A logarithm from the knee on, of slope 1 there, and its inverse."""

    def slope(bend: float) -> float:
        return (1 - KNEE) / (TOP - KNEE) * bend / np.log1p(bend) - 1

    bend = float(brentq(slope, 1e-3, 1e9))  # type: ignore[arg-type]

    def squeeze(x: Picture) -> Picture:
        part = np.maximum((x - KNEE) / (TOP - KNEE), 0)
        curve = KNEE + (1 - KNEE) * np.log1p(bend * part) / np.log1p(bend)
        return np.where(x <= KNEE, x, curve).astype(np.float32)

    def stretch(y: Picture) -> Picture:
        part = np.maximum((y - KNEE) / (1 - KNEE), 0)
        curve = KNEE + (TOP - KNEE) * np.expm1(part * np.log1p(bend)) / bend
        return np.where(y <= KNEE, y, curve).astype(np.float32)

    return squeeze, stretch


def errors(peak: float, contrast: float, blur: float) -> dict[str, float]:
    """Mean error in stops by rule."""
    squeeze, stretch = shoulder()
    sums: dict[str, float] = {}
    for dx, dy, width, share in CASES:
        plate = head(PLATE_SKIN, 3, (0, 0, 22, peak))
        wanted = head(FACE_SKIN, 40, (dx, dy, width, share * peak))
        face = imitate(srgb_encode(wanted), contrast, blur)
        rules = {
            "clip": srgb_decode(face),
            "this": srgb_decode(carry_highlights(face, srgb_encode(plate))),
            "add": srgb_decode(face) + plate - np.clip(plate, 0, 1),
            "shoulder": srgb_decode(stretch(imitate(squeeze(srgb_encode(wanted)), contrast, blur))),
        }
        bright = (plate.max(axis=2) > 1) | (wanted.max(axis=2) > 1)
        truth = wanted[bright] @ LUMA + FLOOR
        for name, light in rules.items():
            stops = np.abs(np.log2((light[bright] @ LUMA + FLOOR) / truth)).mean()
            sums[name] = sums.get(name, 0.0) + float(stops) / len(CASES)
    return sums


def main() -> None:
    print(f"{'network':18}{'peak':>6}{'clip':>8}{'this':>8}{'add':>8}{'shoulder':>10}  (stops)")
    for name, (contrast, blur) in NETWORKS.items():
        for peak in PEAKS:
            found = errors(peak, contrast, blur)
            figures = f"{found['clip']:8.2f}{found['this']:8.2f}{found['add']:8.2f}"
            print(f"{name:18}{peak:6.1f}{figures}{found['shoulder']:10.2f}")


if __name__ == "__main__":
    main()
