"""A mask's edges: shrunk or grown, faded in from a side, softened.

Masks are (S, S) float32 0..1 over the face square. Amounts are in permille of its side and mean
what DeepFaceLab's pixels mean on a 256 px model: `erode` is the diameter of the disc that shrinks
the mask, `blur` the width of the Gaussian's kernel. All of them act continuously, so that a
keyframed value never makes an edge jump.
"""

import math
from collections.abc import Callable
from functools import lru_cache

import cv2
import numpy as np

_SIGMA_PER_BLUR = 0.15  # OpenCV's sigma for a kernel of that width, as DeepFaceLab uses it
_FINE_SIGMA = 2.0  # px; a narrower Gaussian is badly sampled on a level of the pyramid
_SQUARE_SHARE = 1 / (1 + math.sqrt(2))  # of the steps: crosses and squares then sum to an octagon


def resize_by(mask: np.ndarray, erode: float) -> np.ndarray:
    """The mask shrunk by a disc of `erode` permille of the side across; negative grows it.

    An octagon stands in for the disc, within 8 %. A larger one contains the smaller ones, so more
    erosion never shows more, and between two whole pixels the result is interpolated. Outside the
    square counts as empty.
    """
    radius = abs(erode) / 2000 * len(mask)  # px
    x, y, width, height = cv2.boundingRect((mask > 0).astype(np.uint8))
    if radius == 0 or not width:
        return mask.copy()
    step = cv2.erode if erode > 0 else cv2.dilate
    reach = math.ceil(radius) if erode < 0 else 0
    part = mask[y : y + height, x : x + width]
    if reach:  # what leaves the square on the way may come back into it
        part = np.pad(part, reach)
    part = _by_octagon(part, step, radius)

    # where `part` lies in the square, cut to it
    top, left = y - reach, x - reach
    rows = slice(max(top, 0), min(top + len(part), len(mask)))
    columns = slice(max(left, 0), min(left + part.shape[1], mask.shape[1]))
    result = np.zeros_like(mask)
    result[rows, columns] = part[
        rows.start - top : rows.stop - top, columns.start - left : columns.stop - left
    ]
    return result


def _by_octagon(mask: np.ndarray, step: Callable[..., np.ndarray], radius: float) -> np.ndarray:
    whole = int(radius)
    for kernel in _kernels(whole):
        mask = _stepped(mask, step, kernel)
    rest = radius - whole
    if rest > 0:
        is_square = _squares(whole + 1) > _squares(whole)
        further = _stepped(mask, step, _ring(0, 1, is_square))
        mask = cv2.addWeighted(mask, 1 - rest, further, rest, 0)
    return mask


def _stepped(mask: np.ndarray, step: Callable[..., np.ndarray], kernel: np.ndarray) -> np.ndarray:
    return step(mask, kernel, borderType=cv2.BORDER_CONSTANT, borderValue=(0.0,))


def _squares(radius: int) -> int:
    return int(radius * _SQUARE_SHARE)


@lru_cache(maxsize=512)
def _kernels(radius: int) -> tuple[np.ndarray, ...]:
    """Few small sets of points that add up (Minkowski) to the octagon of `radius`.

    The octagon is a diamond plus a square, and a diamond or square of radius a + b, b at most a,
    is the one of radius a plus four points at distance b: the radius doubles with every set
    (van den Boomgaard and van Balen, "Methods for fast morphological image transforms", 1992).
    """
    squares = _squares(radius)
    return (*_doubling(radius - squares, False), *_doubling(squares, True))


def _doubling(radius: int, is_square: bool) -> list[np.ndarray]:
    sets, reached = [], 0
    while reached < radius:
        distance = min(max(reached, 1), radius - reached)
        sets.append(_ring(reached, distance, is_square))
        reached += distance
    return sets


def _ring(reached: int, distance: int, is_square: bool) -> np.ndarray:
    """Four points at `distance`, corners of a square or a diamond; the first step's is whole."""
    if not reached:
        return cv2.getStructuringElement(cv2.MORPH_RECT if is_square else cv2.MORPH_CROSS, (3, 3))
    kernel = np.zeros((2 * distance + 1, 2 * distance + 1), np.uint8)
    if is_square:
        kernel[:: 2 * distance, :: 2 * distance] = 1
    else:
        kernel[distance, :: 2 * distance] = kernel[:: 2 * distance, distance] = 1
    return kernel


def inset(mask: np.ndarray, blur: float) -> np.ndarray:
    """The mask emptied half a kernel of `blur` from the square's border, so that blurring fades it
    to nothing inside the square and cuts off no edge of it.
    """
    if blur <= 0:
        return mask
    size = len(mask)
    border = blur / 2000 * size  # px
    from_border = np.minimum(np.arange(size), np.arange(size)[::-1]) + 0.5  # of the pixel's centre
    inside = np.clip(from_border - border + 0.5, 0, 1).astype(np.float32)
    return mask * (inside[:, None] * inside)


def feathered(mask: np.ndarray, top: float, bottom: float, left: float, right: float) -> np.ndarray:
    """The mask faded in from its own edge on each side of the upright face, over that many permille
    of the square.

    The ramp follows the mask's outline, not the square's border: it rises with the mask that lies
    between a pixel and the outside, in px. Dust before the edge, a hand across the face and a soft
    edge hardly count there, where a search for the outermost pixel would jump.
    """
    result = mask
    for axis, near, far in ((0, top, bottom), (1, left, right)):
        if near <= 0 and far <= 0:
            continue
        passed = np.cumsum(mask, axis=axis, dtype=np.float32)
        total = passed.take([-1], axis=axis)
        passed -= 0.5 * mask  # up to the pixel's centre
        if near > 0:
            result = result * _ramp(passed, near / 1000 * len(mask))
        if far > 0:
            result = result * _ramp(total - passed, far / 1000 * len(mask))
    return result


def _ramp(distance: np.ndarray, width: float) -> np.ndarray:
    """0 at distance 0, 1 from `width` on, level at both: the smoothstep 3t^2 - 2t^3."""
    t = distance * np.float32(1 / width)
    np.clip(t, 0, 1, out=t)
    slope = 3 - 2 * t
    slope *= t
    slope *= t
    return slope


def blurred(mask: np.ndarray, blur: float) -> np.ndarray:
    """The mask, empty at the square's border (`inset`), after a Gaussian whose kernel is `blur`
    permille of the side wide.

    A wide Gaussian is applied on a level of the pyramid, where it costs a fraction (Burt and
    Adelson, "The Laplacian pyramid as a compact image code", 1983). Each level down and up again
    is a binomial filter of variance 1 px^2 of the finer level, which is taken off the Gaussian's.
    """
    if blur <= 0:
        return mask
    variance = (_SIGMA_PER_BLUR / 1000 * blur * len(mask)) ** 2
    levels = 0
    while _left_over(variance, levels + 1) >= _FINE_SIGMA**2:
        levels += 1
    soft = mask
    for _ in range(levels):
        soft = cv2.pyrDown(soft)
    sigma = math.sqrt(_left_over(variance, levels))
    soft = cv2.GaussianBlur(soft, (0, 0), sigma, borderType=cv2.BORDER_CONSTANT)
    for _ in range(levels):
        soft = cv2.pyrUp(soft)
    return np.clip(soft, 0, 1, out=soft)


def _left_over(variance: float, levels: int) -> float:
    """What a Gaussian of `variance` px^2 has left to do `levels` down, in that level's px^2."""
    return (variance - 2 * (4**levels - 1) / 3) / 4**levels
