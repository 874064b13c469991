"""The sRGB transfer curve (IEC 61966-2-1) for float pixels, extended beyond 0..1.

Scene-linear light is what compositors hand over; networks and blending work display-referred, on
encoded values. Values above 1 continue the power segment, negative values mirror it (odd symmetry),
so that encode and decode are inverse to each other for any finite pixel and nothing is clipped.
"""

import cv2
import numpy as np

LINEAR_LIMIT = 0.0031308  # below this the curve is a straight line, so black has a finite slope
ENCODED_LIMIT = 0.04045  # the same point on the encoded side
SLOPE = 12.92
OFFSET = 0.055
GAMMA = 2.4


def srgb_encode(linear: np.ndarray) -> np.ndarray:
    """Scene-linear to display-referred sRGB. Any shape, float32, any finite value."""
    values = np.ascontiguousarray(linear, np.float32)
    magnitude, low = _magnitude(values)
    curve = power(magnitude, 1 / GAMMA)
    curve *= np.float32(1 + OFFSET)
    curve -= np.float32(OFFSET)
    if not low * np.float32(SLOPE) > np.float32(LINEAR_LIMIT * SLOPE):
        line = magnitude * np.float32(SLOPE)
        _put(curve, line, line <= np.float32(LINEAR_LIMIT * SLOPE))
    return curve if low >= 0 else np.copysign(curve, values, out=curve)


def srgb_decode(encoded: np.ndarray) -> np.ndarray:
    """Display-referred sRGB to scene-linear, the inverse of `srgb_encode`."""
    values = np.ascontiguousarray(encoded, np.float32)
    magnitude, low = _magnitude(values)
    curve = magnitude + np.float32(OFFSET)
    curve *= np.float32(1 / (1 + OFFSET))
    curve = power(curve, GAMMA)
    if not low > np.float32(ENCODED_LIMIT):
        small = magnitude <= np.float32(ENCODED_LIMIT)
        _put(curve, magnitude * np.float32(1 / SLOPE), small)
    return curve if low >= 0 else np.copysign(curve, values, out=curve)


def _magnitude(values: np.ndarray) -> tuple[np.ndarray, np.float32]:
    """Without their signs, and the smallest of `values`: most pictures need neither the mirrored
    half nor, in many a band of rows, the straight line."""
    low = values.min() if values.size else np.float32(0)
    return (values if low >= 0 else np.abs(values)), low


def _put(curve: np.ndarray, line: np.ndarray, small: np.ndarray) -> None:
    """`line` into `curve` where `small`; OpenCV is twice as quick at it as numpy."""
    if curve.size:
        cv2.copyTo(line.reshape(1, -1), small.reshape(1, -1).view(np.uint8), curve.reshape(1, -1))


def power(values: np.ndarray, exponent: float) -> np.ndarray:
    """cv2.pow keeps 3e-6 relative and is three times as quick as numpy; it takes no empty array."""
    if values.size == 0:
        return values.copy()
    return cv2.pow(values, exponent).reshape(values.shape)
