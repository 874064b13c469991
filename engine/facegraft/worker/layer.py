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
from functools import partial

import cv2
import numpy as np

from facegraft.media.working_space import WorkingSpace
from facegraft.merge.geometry import Rect, finite

_BAND_PX = 1 << 14  # of a band of rows: its pictures stay in a core's second cache
_THREADS = min(4, os.cpu_count() or 1)  # memory is the limit beyond
_POOL = ThreadPoolExecutor(_THREADS, "layer")

Window = tuple[slice, slice]
# a window's display-referred picture, given its matte and one minus that, thrice
Paint = Callable[[Window, np.ndarray, np.ndarray], np.ndarray]


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
    _in_bands(partial(_fill, rgba, matte, lambda at, *_: merged[at], space, out), matte, out)


def patch_layer(
    rgba: np.ndarray,
    below: np.ndarray,
    face: np.ndarray | None,
    alpha: np.ndarray,
    space: WorkingSpace,
    out: np.ndarray,
) -> None:
    """The same of one face, which need not be merged first.

    rgba, out: as `face_layer`. below, face: (h, w, 3) float32, the display-referred frame,
    straight and finite, and what is laid on it; None leaves the frame as it is. alpha: (h, w)
    float32 0..1, the face's.
    """
    if face is None:
        _in_bands(partial(_fill_unchanged, rgba, alpha, out), alpha, out)
    elif space.is_display:
        _in_bands(partial(_fill_plain, rgba, face, alpha, out), alpha, out)
    else:

        def blended(at: Window, part: np.ndarray, rest: np.ndarray) -> np.ndarray:
            part *= face[at]
            picture = below[at] * rest
            picture += part
            return picture

        _in_bands(partial(_fill, rgba, alpha, blended, space, out), alpha, out)


def _fill(
    rgba: np.ndarray,
    matte: np.ndarray,
    paint: Paint,
    space: WorkingSpace,
    out: np.ndarray,
    at: Window,
) -> None:
    """One window of a layer: what is painted, in the host's space, less what upstream adds."""
    upstream, coverage = _straight(rgba[at])
    alpha = _shown(rgba[at], matte[at], coverage)
    part = _tripled(alpha)
    rest = 1 - part
    upstream *= rest
    rgb = space.from_display(paint(at, part, rest)) - upstream
    _write(rgb, alpha, coverage, out[at])


def _fill_unchanged(rgba: np.ndarray, matte: np.ndarray, out: np.ndarray, at: Window) -> None:
    """One window of a layer that shows what upstream shows."""
    rgb, coverage = _straight(rgba[at])
    alpha = _shown(rgba[at], matte[at], coverage)
    _write(rgb * _tripled(alpha), alpha, coverage, out[at])


def _fill_plain(
    rgba: np.ndarray,
    face: np.ndarray,
    matte: np.ndarray,
    out: np.ndarray,
    at: Window,
) -> None:
    """One window of a face's layer where nothing is converted: the frame below cancels out."""
    coverage = _coverage(rgba[at])
    alpha = _shown(rgba[at], matte[at], coverage)
    _write(face[at] * _tripled(alpha), alpha, coverage, out[at])


def _in_bands(fill: Callable[[Window], None], matte: np.ndarray, out: np.ndarray) -> None:
    """Call `fill` with the windows of `matte` that hold any of it; the rest of `out` becomes 0."""

    def band(rows: slice) -> None:
        x, y, width, height = cv2.boundingRect((matte[rows] > 0).view(np.uint8))
        top, bottom = rows.start + y, rows.start + y + height
        out[rows.start : top] = out[bottom : rows.stop] = 0
        if width:
            out[top:bottom, :x] = out[top:bottom, x + width :] = 0
            fill(np.s_[top:bottom, x : x + width])

    height, width = matte.shape
    rows = max(1, _BAND_PX // width)
    bands = [slice(top, min(top + rows, height)) for top in range(0, height, rows)]
    for _ in _POOL.map(band, bands):
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
