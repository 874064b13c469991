"""Between a host's pixels and the display-referred picture that the merge works on.

A host sends premultiplied RGBA, scene-linear (Rec. 709 primaries) or display-referred (sRGB). The
merge sees straight, sRGB-encoded colour; nothing is clipped on the way. What goes back is a layer
for

    out_rgb = layer_rgb + upstream_rgb * (1 - layer_alpha),   out_alpha = upstream_alpha

whose alpha is the matte; out_rgb is then what the merge gave, in the host's colour. Pixels whose
upstream alpha is 0 hold no picture to swap: the layer is 0 there.
"""

import cv2
import numpy as np

from facegraft.media.color import srgb_decode, srgb_encode

Rect = tuple[int, int, int, int]  # x0, y0, x1, y1 in px, the last two exclusive

LARGEST = 65504.0  # of half floats; infinite pixels are read as it, so that the maths stays finite


def detection_image(rgba: np.ndarray, color: str) -> np.ndarray:
    """(H, W, 3) uint8 RGB of a whole (H, W, 4) float32 frame."""
    shown, _ = _straight(rgba)
    np.clip(shown, 0, 1, out=shown)
    if color == "scene_linear":
        shown = srgb_encode(shown)
    return cv2.convertScaleAbs(shown, alpha=255.0)


def display_image(rgba: np.ndarray, color: str, rect: Rect) -> np.ndarray:
    """(H, W, 3) float32 RGB display-referred, filled inside `rect` and 0 elsewhere."""
    x0, y0, x1, y1 = rect
    image = np.zeros((*rgba.shape[:2], 3), np.float32)
    if x0 < x1 and y0 < y1:
        region, _ = _straight(rgba[y0:y1, x0:x1])
        image[y0:y1, x0:x1] = srgb_encode(region) if color == "scene_linear" else region
    return image


def face_layer(rgba: np.ndarray, merged: np.ndarray, matte: np.ndarray, color: str) -> np.ndarray:
    """(h, w, 4) float32 layer of one region, premultiplied, in the input's colour space.

    rgba:   (h, w, 4) float32, upstream as the host sent it, not empty.
    merged: (h, w, 3) float32 display-referred, straight, as the merge gave it.
    matte:  (h, w) float32 0..1.
    """
    upstream, coverage = _straight(rgba)
    if coverage is not None:
        matte = np.where(rgba[..., 3] > 0, matte, np.float32(0))
    rgb = srgb_decode(merged) if color == "scene_linear" else merged
    upstream *= _tripled(1 - matte)
    rgb = rgb - upstream
    if coverage is not None:
        rgb *= coverage
    layer = cv2.cvtColor(rgb, cv2.COLOR_RGB2RGBA)
    cv2.insertChannel(np.ascontiguousarray(matte), layer, 3)
    # all four channels 0 there, so that upstream stays as it is, to the bit
    return cv2.copyTo(layer, (matte > 0).astype(np.uint8))


def _straight(rgba: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """(h, w, 3) finite colour without its alpha, and what it was divided by, None for 1.

    Where alpha is 0, or not below 1, colour stays as it is.
    """
    rgb = cv2.cvtColor(rgba, cv2.COLOR_RGBA2RGB)
    if not np.isfinite(rgb.sum()):  # a sum is five times as quick as looking at every value
        np.nan_to_num(rgb, copy=False, nan=0.0, posinf=LARGEST, neginf=-LARGEST)
    alpha = cv2.extractChannel(rgba, 3)
    if alpha.min() >= 1:
        return rgb, None
    coverage = _tripled(np.where((alpha > 0) & (alpha < 1), alpha, np.float32(1)))
    rgb /= coverage
    return rgb, coverage


def _tripled(plane: np.ndarray) -> np.ndarray:
    """(h, w, 3): a plane for each channel; numpy broadcasts over three values ten times slower."""
    return cv2.merge((plane, plane, plane))
