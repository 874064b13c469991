"""From a face in a frame to its square and back.

The square is DeepFaceLab's: a similarity transform from 33 points to a mean face (Umeyama 1991),
then a crop whose side and centre in mean-face units depend on the face type. Matrices are (2, 3)
float64 and map points in the corner convention of `landmarks.py`; `warp_image` alone knows that
OpenCV counts from pixel centres.
"""

import math

import cv2
import numpy as np

from facegraft.faces.landmarks import ALIGNMENT_POINTS, MEAN_FACE
from facegraft.model_spec import FaceType

_PADDING = {  # share of the unit square's half diagonal added on each side
    FaceType.HALF: 0.0,
    FaceType.MID_FULL: 0.0675,
    FaceType.FULL: 0.2109375,
    FaceType.WHOLE_FACE: 0.40,
    FaceType.HEAD: 0.70,
}
_LIFT = {FaceType.WHOLE_FACE: 0.07, FaceType.HEAD: 0.50}  # centre moved up, in mean-face units


def fit_similarity(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Least-squares similarity from (N, 2) `source` to (N, 2) `target`, without reflection.

    Umeyama, "Least-squares estimation of transformation parameters between two point
    patterns", 1991. Gives a (2, 3) matrix.
    """
    source, target = source.astype(np.float64), target.astype(np.float64)
    source_mean, target_mean = source.mean(axis=0), target.mean(axis=0)
    centered = source - source_mean
    covariance = (target - target_mean).T @ centered / len(source)
    u, singular, vt = np.linalg.svd(covariance)
    sign = np.array([1.0, math.copysign(1.0, np.linalg.det(u) * np.linalg.det(vt))])
    rotation = (u * sign) @ vt
    scale = (singular * sign).sum() / centered.var(axis=0).sum()
    linear = scale * rotation
    return np.column_stack([linear, target_mean - linear @ source_mean])


def align_matrix(
    landmarks: np.ndarray, face_type: FaceType, size: int, scale: float = 1.0
) -> np.ndarray:
    """`frame_to_aligned`: (2, 3), from frame pixels to a square of `size` px.

    `landmarks` (68, 2) in frame pixels; a `scale` above 1 takes a smaller part of the frame, so the
    face fills more of the square.
    """
    to_mean = fit_similarity(landmarks[ALIGNMENT_POINTS], MEAN_FACE[ALIGNMENT_POINTS - 17])
    side = (1 + 2 * math.sqrt(2) * _PADDING[face_type]) / scale  # in mean-face units
    center = np.array([0.5, 0.5 - _LIFT.get(face_type, 0.0)])
    if face_type is FaceType.HEAD:
        center[0] += _head_shift(transform_points(landmarks, to_mean)) / 2
    to_square = np.array([[size / side, 0, 0], [0, size / side, 0]])
    to_square[:, 2] = size / 2 - center * size / side
    return compose(to_square, to_mean)


def _head_shift(points: np.ndarray) -> float:
    """Sideways offset of the head's square: it follows the back of a turned head (DFL 2.3)."""
    right = np.mean([points[16 - i, 0] - points[27 + i, 0] for i in range(3)])
    left = np.mean([points[27 + i, 0] - points[i, 0] for i in range(3)])
    yaw = float(right - left)
    return yaw * abs(math.tanh(2 * yaw))


def compose(outer: np.ndarray, inner: np.ndarray) -> np.ndarray:
    """(2, 3): first `inner`, then `outer`."""
    linear = outer[:, :2] @ inner[:, :2]
    return np.column_stack([linear, outer[:, :2] @ inner[:, 2] + outer[:, 2]])


def invert(matrix: np.ndarray) -> np.ndarray:
    """The (2, 3) matrix of the way back."""
    return cv2.invertAffineTransform(np.asarray(matrix, np.float64))


def scaled(matrix: np.ndarray, factor: float) -> np.ndarray:
    """The matrix into a target `factor` times as large."""
    return np.asarray(matrix, np.float64) * factor


def transform_points(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """(N, 2) points through a (2, 3) matrix; keeps the points' dtype."""
    return (points @ matrix[:, :2].T + matrix[:, 2]).astype(points.dtype)


def warp_image(
    image: np.ndarray,
    matrix: np.ndarray,
    width: int,
    height: int,
    interpolation: int = cv2.INTER_CUBIC,
    border: int = cv2.BORDER_CONSTANT,
) -> np.ndarray:
    """`image` (H, W) or (H, W, C) through `matrix`, in the image's own dtype.

    Where the target is smaller than half the source the result is area-filtered by warping at a
    multiple of the size first, since neither cubic nor linear sampling looks at skipped pixels.
    """
    shrink = 1.0 / max(1e-9, math.sqrt(abs(np.linalg.det(matrix[:, :2]))))
    oversample = min(8, int(shrink)) if interpolation != cv2.INTER_NEAREST else 1
    if oversample > 1:
        big = warp_image_once(
            image, scaled(matrix, oversample), width * oversample, height * oversample,
            cv2.INTER_LINEAR, border,
        )  # fmt: skip
        return cv2.resize(big, (width, height), interpolation=cv2.INTER_AREA)
    return warp_image_once(image, matrix, width, height, interpolation, border)


def warp_image_once(
    image: np.ndarray, matrix: np.ndarray, width: int, height: int, interpolation: int, border: int
) -> np.ndarray:
    """One OpenCV warp, with the half-pixel shift between its convention and ours."""
    centered = compose(
        np.array([[1, 0, -0.5], [0, 1, -0.5]]),
        compose(matrix, np.array([[1, 0, 0.5], [0, 1, 0.5]])),
    )
    return cv2.warpAffine(image, centered, (width, height), flags=interpolation, borderMode=border)


def square_corners(frame_to_aligned: np.ndarray, size: int) -> np.ndarray:
    """(4, 2) float64: the square's corners in the frame, clockwise from its top left."""
    corners = np.array([[0, 0], [size, 0], [size, size], [0, size]], np.float64)
    return transform_points(corners, invert(frame_to_aligned))
