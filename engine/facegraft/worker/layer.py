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
    shown = np.clip(_straight(rgba), 0, 1)
    if color == "scene_linear":
        shown = srgb_encode(shown)
    return cv2.convertScaleAbs(shown, alpha=255.0)


def display_image(rgba: np.ndarray, color: str, rect: Rect) -> np.ndarray:
    """(H, W, 3) float32 RGB display-referred, filled inside `rect` and 0 elsewhere."""
    x0, y0, x1, y1 = rect
    image = np.zeros((*rgba.shape[:2], 3), np.float32)
    region = _straight(rgba[y0:y1, x0:x1])
    image[y0:y1, x0:x1] = srgb_encode(region) if color == "scene_linear" else region
    return image


def face_layer(rgba: np.ndarray, merged: np.ndarray, matte: np.ndarray, color: str) -> np.ndarray:
    """(h, w, 4) float32 layer of one region, premultiplied, in the input's colour space.

    rgba:   (h, w, 4) float32, upstream as the host sent it.
    merged: (h, w, 3) float32 display-referred, straight, as the merge gave it.
    matte:  (h, w) float32 0..1.
    """
    alpha = rgba[..., 3]
    matte = np.where(alpha > 0, matte, np.float32(0))
    shown = srgb_decode(merged) if color == "scene_linear" else merged
    layer = np.empty(rgba.shape, np.float32)
    layer[..., :3] = (shown - _straight(rgba) * (1 - matte[..., None])) * _coverage(alpha)
    layer[..., 3] = matte
    layer[matte == 0] = 0  # upstream stays as it is, to the bit
    return layer


def _straight(rgba: np.ndarray) -> np.ndarray:
    """(h, w, 3) finite colour without its alpha; as it is where alpha is 0 or not below 1."""
    rgb = np.nan_to_num(rgba[..., :3], nan=0.0, posinf=LARGEST, neginf=-LARGEST)
    coverage = _coverage(rgba[..., 3])
    if (coverage < 1).any():
        rgb /= coverage
    return rgb


def _coverage(alpha: np.ndarray) -> np.ndarray:
    """(h, w, 1) float32: what a premultiplied colour was multiplied by."""
    partial = (alpha > 0) & (alpha < 1)
    return np.where(partial, alpha, np.float32(1))[..., None]
