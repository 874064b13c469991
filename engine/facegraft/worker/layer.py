"""Between a host's pixels and the display-referred picture that the merge works on.

A host sends premultiplied RGBA in a working space (`media/working_space.py`). The merge sees
straight, display-referred colour; nothing is clipped on the way. What goes back is a layer for

    out_rgb = layer_rgb + upstream_rgb * (1 - layer_alpha),   out_alpha = upstream_alpha

whose alpha is the matte; out_rgb is then what the merge gave, in the host's space. Pixels whose
upstream alpha is 0 hold no picture to swap: the layer is 0 there.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np

from facegraft.media.working_space import WorkingSpace
from facegraft.merge.geometry import Rect, finite

_BAND_PX = 1 << 15  # of a band of rows: its pictures stay in a core's second cache
_THREADS = min(4, os.cpu_count() or 1)  # memory is the limit beyond
_POOL = ThreadPoolExecutor(_THREADS, "layer")


@dataclass(frozen=True, slots=True, eq=False)
class Pasted:
    """One face of a layer, all of it (h, w, 3) float32.

    below: the display-referred frame, straight. face: what is laid on it; decoded: the same in the
    host's space. Both None leave the frame as it is.
    """

    below: np.ndarray
    face: np.ndarray | None
    decoded: np.ndarray | None


def detection_image(rgba: np.ndarray, space: WorkingSpace) -> np.ndarray:
    """(H, W, 3) uint8 RGB of a whole (H, W, 4) float32 frame."""
    shown = space.to_display(_straight(rgba)[0])
    return cv2.convertScaleAbs(np.clip(shown, 0, 1), alpha=255.0)


def display_image(rgba: np.ndarray, space: WorkingSpace, rect: Rect) -> np.ndarray:
    """(H, W, 3) float32 RGB display-referred, filled inside `rect` and 0 elsewhere."""
    x0, y0, x1, y1 = rect
    image = np.zeros((*rgba.shape[:2], 3), np.float32)
    if x0 < x1 and y0 < y1:
        image[y0:y1, x0:x1] = space.to_display(_straight(rgba[y0:y1, x0:x1])[0])
    return image


def face_layer(
    rgba: np.ndarray, merged: np.ndarray, matte: np.ndarray, space: WorkingSpace, out: np.ndarray
) -> None:
    """Fill `out` (h, w, 4) float32 with the layer of one region, premultiplied.

    rgba:   (h, w, 4) float32, upstream as the host sent it, not empty.
    merged: (h, w, 3) float32 display-referred, straight, as the merge gave it.
    matte:  (h, w) float32 0..1.
    """

    def fill(band: slice) -> None:
        upstream, coverage = _straight(rgba[band])
        alpha = _shown(rgba[band], matte[band], coverage)
        upstream *= _tripled(1 - alpha)
        _write(space.from_display(merged[band]) - upstream, alpha, coverage, out[band])

    _in_bands(fill, matte.shape)


def patch_layer(
    rgba: np.ndarray, pasted: Pasted, matte: np.ndarray, space: WorkingSpace, out: np.ndarray
) -> None:
    """The same of one face: only where the matte is neither 0 nor 1 is colour converted.

    rgba, matte, out: as `face_layer`; `matte` is the face's alpha.
    """

    def fill(band: slice) -> None:
        coverage = _coverage(rgba[band])
        alpha = _shown(rgba[band], matte[band], coverage)
        if pasted.face is None or pasted.decoded is None:
            _write(_straight(rgba[band])[0] * _tripled(alpha), alpha, coverage, out[band])
            return
        rgb = pasted.decoded[band] * _tripled(alpha)
        if not space.is_display:
            places = np.flatnonzero((alpha > 0) & (alpha < 1))
            if len(places):
                below, face = pasted.below[band], pasted.face[band]
                _mend(rgb, places, alpha, rgba[band], below, face, coverage, space)
        _write(rgb, alpha, coverage, out[band])

    _in_bands(fill, matte.shape)


def _mend(
    rgb: np.ndarray,
    places: np.ndarray,
    alpha: np.ndarray,
    rgba: np.ndarray,
    below: np.ndarray,
    face: np.ndarray,
    coverage: np.ndarray | None,
    space: WorkingSpace,
) -> None:
    """Write into `rgb`, at its flat `places`, what blending in display space gives: colour times
    alpha is that of hard edges alone."""
    part = _tripled(np.take(alpha, places)[:, None])[:, 0]
    rest = 1 - part
    blended = _taken(below, places)
    blended *= rest
    part *= _taken(face, places)
    blended += part
    upstream = finite(_taken(rgba, places)[:, :3])
    if coverage is not None:
        upstream = upstream / _taken(coverage, places)
    rest *= upstream
    mended = space.from_display(blended) - rest
    # as pixels of 12 bytes: numpy moves rows of three values four times slower
    np.put(rgb.view("V12"), places, np.ascontiguousarray(mended).view("V12"))


def _taken(pixels: np.ndarray, places: np.ndarray) -> np.ndarray:
    """(n, C): the pixels at flat places of (h, w, C)."""
    return np.take(pixels.reshape(-1, pixels.shape[-1]), places, axis=0)


def decoded(face: np.ndarray, space: WorkingSpace) -> np.ndarray:
    """(h, w, 3) float32: a display-referred picture in the host's space."""
    result = np.empty_like(face)

    def fill(band: slice) -> None:
        result[band] = space.from_display(face[band])

    _in_bands(fill, face.shape)
    return result


def _in_bands(fill: Callable[[slice], None], shape: tuple[int, ...]) -> None:
    rows = max(1, _BAND_PX // shape[1])
    bands = [slice(top, top + rows) for top in range(0, shape[0], rows)]
    for _ in _POOL.map(fill, bands):
        pass


def _shown(rgba: np.ndarray, matte: np.ndarray, coverage: np.ndarray | None) -> np.ndarray:
    return matte if coverage is None else np.where(rgba[..., 3] > 0, matte, np.float32(0))


def _write(
    rgb: np.ndarray, alpha: np.ndarray, coverage: np.ndarray | None, out: np.ndarray
) -> None:
    if coverage is not None:
        rgb *= coverage
    layer = cv2.cvtColor(rgb, cv2.COLOR_RGB2RGBA)
    cv2.insertChannel(np.ascontiguousarray(alpha), layer, 3)
    # all four channels 0 there, so that upstream stays as it is, to the bit
    out[...] = cv2.copyTo(layer, (alpha > 0).view(np.uint8))


def _straight(rgba: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """(h, w, 3) finite colour without its alpha, and what it was divided by, None for 1.

    Where alpha is 0, or not below 1, colour stays as it is.
    """
    rgb = finite(cv2.cvtColor(rgba, cv2.COLOR_RGBA2RGB))
    coverage = _coverage(rgba)
    return (rgb, None) if coverage is None else (rgb / coverage, coverage)


def _coverage(rgba: np.ndarray) -> np.ndarray | None:
    """(h, w, 3): what premultiplied colour is divided by; None where that is 1 throughout."""
    alpha = cv2.extractChannel(rgba, 3)
    if alpha.min() >= 1:
        return None
    return _tripled(np.where((alpha > 0) & (alpha < 1), alpha, np.float32(1)))


def _tripled(plane: np.ndarray) -> np.ndarray:
    """(h, w, 3): a plane for each channel; numpy broadcasts over three values ten times slower."""
    return cv2.merge((plane, plane, plane))
