"""The mask of one face: chosen by mode, shrunk or grown, softened.

Masks live in the face square at one working size, whatever the model's resolution, as
(MASK_SIZE, MASK_SIZE) float32 0..1. `erode` and `blur` are permille of the square's side and mean
what DeepFaceLab's pixels mean on a 256 px model: `erode` is the diameter of the disc that shrinks
the mask, `blur` the width of the Gaussian's kernel. All amounts act continuously, so that a
keyframed value never makes an edge jump.
"""

import math
from collections.abc import Callable

import cv2
import numpy as np

from facegraft.faces.landmarks import hull_mask
from facegraft.inference import Prediction
from facegraft.merge.params import MaskMode

MASK_SIZE = 512  # px; finer than a face in a 1080p frame needs, and erosion costs 5 ms at most
LEAST = 1 / 255  # below it a mask shows nothing, and an 8-bit matte could not hold it
_SIGMA_PER_BLUR = 0.15  # OpenCV's sigma for a kernel of that width, as DeepFaceLab uses it

_CROSS = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
_SQUARE = cv2.getStructuringElement(cv2.MORPH_RECT, (3, 3))
_SQUARE_SHARE = 1 / (1 + math.sqrt(2))  # of the steps: crosses and squares then sum to an octagon

_PREDICTED: dict[MaskMode, Callable[[Prediction], np.ndarray]] = {
    MaskMode.LEARNED_PRD: lambda prediction: prediction.mask,
    MaskMode.LEARNED_DST: lambda prediction: prediction.dst_mask,
    MaskMode.LEARNED_PRODUCT: lambda prediction: prediction.mask * prediction.dst_mask,
}


def face_mask(
    mode: MaskMode, prediction: Prediction, landmarks: np.ndarray, erode: float, blur: float
) -> np.ndarray:
    """The finished mask, (MASK_SIZE, MASK_SIZE) float32 0..1.

    `landmarks`: (68, 2) in pixels of the working square.
    """
    mask = soften(resize_by(base_mask(mode, prediction, landmarks), erode), blur)
    mask[mask < LEAST] = 0
    return mask


def base_mask(mode: MaskMode, prediction: Prediction, landmarks: np.ndarray) -> np.ndarray:
    """The mask before erosion and blur, (MASK_SIZE, MASK_SIZE) float32 0..1."""
    if mode is MaskMode.FULL:
        return np.ones((MASK_SIZE, MASK_SIZE), np.float32)
    if mode is MaskMode.HULL:
        return hull_mask(landmarks, MASK_SIZE, MASK_SIZE)
    mask = np.clip(_PREDICTED[mode](prediction), 0, 1)
    mask = np.where(mask < LEAST, np.float32(0), mask)
    method = cv2.INTER_CUBIC if len(mask) < MASK_SIZE else cv2.INTER_AREA
    resized = cv2.resize(mask, (MASK_SIZE, MASK_SIZE), interpolation=method)
    return np.clip(resized, 0, 1)  # cubic overshoots at edges


def resize_by(mask: np.ndarray, erode: float) -> np.ndarray:
    """The mask shrunk by a disc of `erode` permille of the side across; negative grows it.

    Steps of 3x3 crosses and squares in a fixed order sum to an octagon, within 8 % of a disc. Each
    step's disc contains the one before it, so more erosion never shows more, and between two steps
    the result is interpolated. Outside the square counts as empty.
    """
    radius = abs(erode) / 2000 * len(mask)  # px
    step = cv2.erode if erode > 0 else cv2.dilate
    whole = int(radius)
    for k in range(whole):
        mask = _stepped(mask, step, k)
    rest = np.float32(radius - whole)
    if rest > 0:
        mask = mask + rest * (_stepped(mask, step, whole) - mask)
    return mask


def _stepped(mask: np.ndarray, step: Callable[..., np.ndarray], k: int) -> np.ndarray:
    is_square = int((k + 1) * _SQUARE_SHARE) > int(k * _SQUARE_SHARE)
    kernel = _SQUARE if is_square else _CROSS
    return step(mask, kernel, borderType=cv2.BORDER_CONSTANT, borderValue=(0.0,))


def soften(mask: np.ndarray, blur: float) -> np.ndarray:
    """The mask after a Gaussian whose kernel is `blur` permille of the side wide; 0 leaves it.

    The mask is first emptied half a kernel from the square's border, so that it fades to nothing
    inside the square and no edge of it is cut off.
    """
    if blur <= 0:
        return mask.copy()
    size = len(mask)
    inset = blur / 2000 * size  # px, half the kernel
    from_border = np.minimum(np.arange(size), np.arange(size)[::-1]) + 0.5  # of the pixel's centre
    inside = np.clip(from_border - inset + 0.5, 0, 1).astype(np.float32)
    window = inside[:, None] * inside[None, :]
    sigma = _SIGMA_PER_BLUR / 1000 * blur * size
    soft = cv2.GaussianBlur(mask * window, (0, 0), sigma, borderType=cv2.BORDER_CONSTANT)
    return np.clip(soft, 0, 1)
