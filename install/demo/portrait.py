"""One person of the demo: a portrait, its 68 points, and how far every pixel lies from the camera.

The portrait is scikit-image's bundled `astronaut` (NASA, public domain). A second person is made
of it by `reshape()`: other proportions of jaw, nose, eyes, brows and mouth, other colours of skin,
hair, irises and clothes. Pictures are (H, W, 3) float32 RGB, display-referred 0..1; points are
(68, 2) in pixels of the picture; depth is (H, W) float32 in pixels, 0 at the neck's axis, positive
towards the camera.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import skimage.data
from scipy.interpolate import RBFInterpolator

from facegraft.faces.align import fit_similarity
from facegraft.faces.detect import FaceDetector
from facegraft.faces.landmarks import HEAD_3D

SIZE = 448  # px, side of the clips: 16 macroblocks of 28, so that no codec pads it
_CROP = (120.0, 4.0, 208.0)  # x, y, side of the part of the photograph that is shown
_NECK_AXIS_MM = 75.0  # from the nose's root back to the axis a head turns about
_GRID = 8  # px between the places where smooth fields are evaluated


@dataclass(frozen=True, slots=True, eq=False)
class Portrait:
    picture: np.ndarray
    points: np.ndarray
    depth: np.ndarray


def load_portrait() -> Portrait:
    """The photograph as it is. Raises: MissingWeights where the detector is not installed."""
    photo = skimage.data.astronaut()
    points = FaceDetector().detect(photo, max_faces=1)[0].landmarks.astype(np.float64)
    x, y, side = _CROP
    scale = SIZE / side
    matrix = np.array([[scale, 0, (0.5 - x) * scale - 0.5], [0, scale, (0.5 - y) * scale - 0.5]])
    picture = cv2.warpAffine(photo, matrix, (SIZE, SIZE), flags=cv2.INTER_LANCZOS4)
    picture = picture.astype(np.float32) / 255
    soft = cv2.GaussianBlur(picture, (0, 0), 2.0)
    picture = np.clip(picture + 0.4 * (picture - soft), 0, 1)  # enlarging softened it
    placed = (points - [x, y]) * scale
    return Portrait(picture, placed, head_depth(placed))


def head_depth(points: np.ndarray) -> np.ndarray:
    """(SIZE, SIZE) depth of a head with these points: the mean head, and a skull behind it."""
    fit = fit_similarity(HEAD_3D[:, :2], points)
    scale = float(np.hypot(fit[0, 0], fit[1, 0]))
    nearness = scale * (_NECK_AXIS_MM - HEAD_3D[:, 2])
    known = [points, *_ring(points)]
    depths = [nearness, *_ring_depths(scale)]
    return smooth_field(np.concatenate(known), np.concatenate(depths)[:, None], smoothing=2.0)[
        ..., 0
    ]


def _ring(points: np.ndarray) -> list[np.ndarray]:
    """Places round the face: the forehead, the hair's outline, and the frame's edge."""
    center, unit = face_frame(points)
    angles = np.radians(np.arange(180, 361, 20))
    forehead = np.array([[-0.75, -0.75], [-0.3, -0.95], [0.3, -0.95], [0.75, -0.75]])
    hair = np.stack([1.75 * np.cos(angles), 1.6 * np.sin(angles) - 0.25], axis=1)
    turns = np.radians(np.arange(0, 360, 15))
    edge = np.stack([3.0 * np.cos(turns), 3.0 * np.sin(turns)], axis=1)
    return [center + unit * part for part in (forehead, hair, edge)]


def _ring_depths(scale: float) -> list[np.ndarray]:
    forehead = scale * np.array([58.0, 76.0, 76.0, 58.0])
    return [forehead, np.full(10, scale * 5.0), np.zeros(24)]


def face_frame(points: np.ndarray) -> tuple[np.ndarray, float]:
    """Centre of a face between its temples, and half its width, in pixels."""
    center = (points[0] + points[16]) / 2
    return center, float(np.linalg.norm(points[16] - points[0])) / 2


def smooth_field(places: np.ndarray, values: np.ndarray, smoothing: float = 0.0) -> np.ndarray:
    """(SIZE, SIZE, C) float32: (N, C) `values` at (N, 2) `places`, spread by a thin plate."""
    plate = RBFInterpolator(places, values, smoothing=smoothing, kernel="thin_plate_spline")
    steps = np.arange(0, SIZE + _GRID, _GRID, dtype=np.float64)
    grid = np.stack(np.meshgrid(steps, steps), axis=-1)
    coarse = plate(grid.reshape(-1, 2)).reshape(len(steps), len(steps), -1).astype(np.float32)
    x, y = np.meshgrid(*[np.arange(SIZE, dtype=np.float32) / _GRID + 0.5 / _GRID] * 2)
    fine = cv2.remap(coarse, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return fine.reshape(SIZE, SIZE, -1)
