"""Light match: a face keeps its own detail and takes the frame's light.

What is softer than a given size is shading; it is the local mean of the picture, measured under
the mask only, so that hair and background do not shine into the face. The face is multiplied by
the reference's local mean over its own: a ratio keeps the contrast of pores and lashes relative to
the light that falls on them, as retinex (Land and McCann 1971) takes a picture apart.

Two faces differ in more than light: where one has a brow the other has skin. Such places tell
nothing about the light and would leave ghosts of the reference's features. So a first estimate from
three times the size finds how well each place agrees, and the second counts it by that.
"""

import cv2
import numpy as np

_SIGMA = 0.375  # of the size: a soft spot as wide as the size is then half kept
_FIRST = 3.0  # times the sigma of the first estimate: wider than any feature that a size lets pass
_AGREEMENT = 0.4  # of a natural logarithm, half a stop: differing so, a place counts half
_FLOOR = 0.05  # of full scale, added to both means: deep shadow is not amplified into noise
_MOST_GAIN = 4.0  # either way: two stops are light, more is another picture
_LEAST = 1e-3  # of the weights' local mean: further away from the mask nothing is known
_REDUCED_SIGMA = 2.0  # px; a blur is computed on a picture made so small, where it is larger


def match_light(
    face: np.ndarray, reference: np.ndarray, weights: np.ndarray, amount: float, size_px: float
) -> np.ndarray:
    """`face` in the light of `reference`.

    face, reference: (H, W, 3) float32 RGB, display-referred, 0 or more; values above 1 stay.
    weights: (H, W) float32 0..1, what belongs to the face in both pictures; where it is empty, the
    face stays as it is.
    amount: 0..1, share of the way; size_px: detail smaller than this is the face's own.
    """
    if amount == 0:
        return face.copy()
    return face * np.power(_gain(face, reference, weights, size_px), np.float32(amount))


def _gain(
    face: np.ndarray, reference: np.ndarray, weights: np.ndarray, size_px: float
) -> np.ndarray:
    """(H, W, 3) float32: the reference's light over the face's, 1 where nothing is known."""
    height, width = weights.shape
    scale = min(1.0, _REDUCED_SIGMA / (size_px * _SIGMA))
    size = max(8, round(width * scale)), max(8, round(height * scale))
    sigma = size_px * _SIGMA * size[0] / width
    # what each reduced pixel knows, and the colour that it shows, times that
    known = _threefold(cv2.resize(weights, size, interpolation=cv2.INTER_AREA))
    spread = _threefold(weights)
    own, other = (
        cv2.resize(image * spread, size, interpolation=cv2.INTER_AREA)
        for image in (face, reference)
    )
    first = _ratio(
        _local_mean(own, known, sigma * _FIRST), _local_mean(other, known, sigma * _FIRST)
    )
    floor = np.float32(_FLOOR) * known + np.float32(1e-6)
    apart = np.log((other + floor) / (own * first + floor)) ** 2
    agree = 1 / (1 + apart.mean(axis=2) / np.float32(_AGREEMENT**2))
    agree = _threefold(agree)
    own, other, known = own * agree, other * agree, known * agree
    gain = _ratio(_local_mean(own, known, sigma), _local_mean(other, known, sigma))
    return cv2.resize(gain, (width, height), interpolation=cv2.INTER_CUBIC)


def _ratio(own: np.ndarray, other: np.ndarray) -> np.ndarray:
    floor = np.float32(_FLOOR)
    return np.clip((other + floor) / (own + floor), 1 / _MOST_GAIN, _MOST_GAIN)


def _local_mean(parts: np.ndarray, known: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian mean of `parts`, which are colours times `known`; towards 0 where nothing is."""
    parts, known = _blurred(parts, sigma), _blurred(known, sigma)
    return parts / (known + np.float32(_LEAST))


def _blurred(values: np.ndarray, sigma: float) -> np.ndarray:
    height, width = values.shape[:2]
    scale = min(1.0, _REDUCED_SIGMA / sigma)
    size = max(8, round(width * scale)), max(8, round(height * scale))
    small = cv2.resize(values, size, interpolation=cv2.INTER_AREA)
    sigma *= size[0] / width
    small = cv2.GaussianBlur(small, (0, 0), sigma, borderType=cv2.BORDER_REFLECT)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)


def _threefold(plane: np.ndarray) -> np.ndarray:
    return cv2.merge((plane, plane, plane))  # numpy broadcasts slowly over channels
