"""Between a host's pixels and the display-referred picture that the merge works on.

A host sends premultiplied RGBA, scene-linear (Rec. 709 primaries) or display-referred (sRGB), with
values above 1 and below 0. The merge sees straight colour, sRGB-encoded, clipped to 0..1, since
networks know nothing else. What comes back is a layer for

    out_rgb = layer_rgb + upstream_rgb * (1 - layer_alpha),   out_alpha = upstream_alpha

whose alpha is the matte. What the clip took away stays in the plate: out is the merged colour plus
(1 - matte) times the excess, so highlights fade out under the face instead of breaking off. Pixels
whose upstream alpha is 0 hold no picture to swap; the layer is 0 there.
"""

import cv2
import numpy as np

Roi = tuple[int, int, int, int]  # x0, y0, x1, y1


def detection_image(rgba: np.ndarray, color: str) -> np.ndarray:
    """(H, W, 3) uint8 RGB of the whole (H, W, 4) float32 frame."""
    display = _to_display(_straight(rgba), color)
    return cv2.convertScaleAbs(display, alpha=255.0)


def display_image(rgba: np.ndarray, color: str, roi: Roi) -> np.ndarray:
    """(H, W, 3) float32 RGB display-referred 0..1; filled inside `roi`, 0 elsewhere."""
    x0, y0, x1, y1 = roi
    image = np.zeros((*rgba.shape[:2], 3), np.float32)
    image[y0:y1, x0:x1] = _to_display(_straight(rgba[y0:y1, x0:x1]), color)
    return image


def face_layer(rgba: np.ndarray, merged: np.ndarray, matte: np.ndarray, color: str) -> np.ndarray:
    """(h, w, 4) float32 layer of one region, premultiplied, in the input's colour space.

    rgba:   (h, w, 4) upstream of the region, as the host sent it.
    merged: (h, w, 3) float32 display-referred, as the merge gave it.
    matte:  (h, w) float32 0..1.
    """
    alpha = rgba[..., 3]
    matte = np.where(alpha > 0, matte, np.float32(0))
    swapped = _from_display(merged, color)
    plate = np.clip(np.nan_to_num(_straight(rgba)), 0, 1)
    partial = (alpha > 0) & (alpha < 1)
    coverage = np.where(partial, alpha, np.float32(1))[..., None]
    part = np.empty_like(rgba)
    part[..., :3] = coverage * (swapped - plate * (1 - matte[..., None]))
    part[..., 3] = matte
    part[matte == 0] = 0  # the upstream pixel stays as it is, to the bit
    return part


def _straight(rgba: np.ndarray) -> np.ndarray:
    """(h, w, 3) colour without its alpha; untouched where alpha is 0 or not below 1."""
    alpha = rgba[..., 3]
    partial = (alpha > 0) & (alpha < 1)
    if not partial.any():
        return rgba[..., :3]
    return rgba[..., :3] / np.where(partial, alpha, np.float32(1))[..., None]


def _to_display(rgb: np.ndarray, color: str) -> np.ndarray:
    clipped = np.clip(np.nan_to_num(rgb), 0, 1)
    return encode_srgb(clipped) if color == "scene_linear" else clipped


def _from_display(rgb: np.ndarray, color: str) -> np.ndarray:
    return decode_srgb(rgb) if color == "scene_linear" else rgb


def encode_srgb(linear: np.ndarray) -> np.ndarray:
    """Scene-linear 0..1 to display 0..1 by the piecewise sRGB curve (IEC 61966-2-1), float32."""
    curve = cv2.pow(linear, 1 / 2.4) * np.float32(1.055) - np.float32(0.055)
    return np.where(linear <= 0.0031308, linear * np.float32(12.92), curve)


def decode_srgb(display: np.ndarray) -> np.ndarray:
    """The inverse of `encode_srgb`."""
    curve = cv2.pow((display + np.float32(0.055)) * np.float32(1 / 1.055), 2.4)
    return np.where(display <= 0.04045, display * np.float32(1 / 12.92), curve)
