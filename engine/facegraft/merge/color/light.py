"""Light match: a face keeps its own detail and takes the frame's light.

What is softer than a given size is shading; it is the local mean of the picture, measured under
the mask only, so that hair and background do not shine into the face. The face is multiplied by
the reference's local mean over its own: a ratio keeps the contrast of pores and lashes relative to
the light that falls on them. This is retinex turned around (Land and McCann, "Lightness and
retinex theory", 1971), and the "ratio image" of relighting.
"""

import cv2
import numpy as np

_SIGMA = 0.375  # of the size: a soft spot as wide as the size is then half kept
_FLOOR = 0.05  # of full scale, added to both means: deep shadow is not amplified into noise
_MOST_GAIN = 4.0  # either way: two stops are light, more is another picture
_LEAST = 1e-3  # of the weights' local mean: further away from the mask nothing is known
_FINE_SIGMA = 3.0  # px of the reduced picture that a local mean is computed on


def match_light(
    face: np.ndarray, reference: np.ndarray, weights: np.ndarray, amount: float, size_px: float
) -> np.ndarray:
    """`face` in the light of `reference`.

    face, reference: (H, W, 3) float32 RGB, display-referred; values above 1 stay.
    weights: (H, W) 0..1, what belongs to the face in both pictures.
    amount: 0..1, share of the way; size_px: detail smaller than this is the face's own.
    """
    if amount == 0:
        return face
    gain = _gain(face, reference, weights, size_px)
    return face * np.power(gain, np.float32(amount))


def _gain(
    face: np.ndarray, reference: np.ndarray, weights: np.ndarray, size_px: float
) -> np.ndarray:
    """(H, W, 3) float32: the reference's light over the face's, 1 where nothing is known."""
    height, width = weights.shape
    sigma = size_px * _SIGMA
    scale = min(1.0, _FINE_SIGMA / sigma)
    size = max(8, round(width * scale)), max(8, round(height * scale))
    small = cv2.resize(weights.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    known = _blurred(small, sigma * size[0] / width)
    known = cv2.merge((known,) * 3) + np.float32(_LEAST)
    means = []
    for image in (face, reference):
        part = image * cv2.merge((weights,) * 3)
        part = cv2.resize(part, size, interpolation=cv2.INTER_AREA)
        means.append(_blurred(part, sigma * size[0] / width) / known + np.float32(_FLOOR))
    gain = np.clip(means[1] / means[0], 1 / _MOST_GAIN, _MOST_GAIN)
    return cv2.resize(gain, (width, height), interpolation=cv2.INTER_CUBIC)


def _blurred(image: np.ndarray, sigma: float) -> np.ndarray:
    return cv2.GaussianBlur(image, (0, 0), sigma, borderType=cv2.BORDER_REFLECT)
