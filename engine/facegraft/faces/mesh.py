"""The face mesh network: 478 points on an upright crop, and whether the crop shows a face.

Grishchenko et al., "Attention Mesh: High-fidelity Face Mesh Prediction in Real-time", 2020. Takes
frames and squares (centre, side, angle), gives points in frame pixels, corner convention.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from facegraft.faces.align import invert, transform_points, warp_image
from facegraft.faces.boxes import Candidate
from facegraft.faces.mesh68 import LEFT_CORNER, RIGHT_CORNER
from facegraft.faces.session import open_session

CROP = 192  # px, the network's input
_MARGIN = 1.5  # side of the crop over the longer side of the face, as the network was trained


@dataclass(frozen=True, slots=True, eq=False)
class Square:
    """A square of the frame, turned by `angle` (radians, clockwise as seen)."""

    center: np.ndarray  # (2,) frame pixels
    side: float
    angle: float

    @property
    def frame_to_crop(self) -> np.ndarray:
        """(2, 3) float64, frame pixels to crop pixels."""
        scale = CROP / self.side
        cos, sin = scale * math.cos(self.angle), scale * math.sin(self.angle)
        linear = np.array([[cos, sin], [-sin, cos]])
        return np.column_stack([linear, CROP / 2 - linear @ self.center])


class MeshNetwork:
    def __init__(self, path: Path, threads: int = 0) -> None:
        """Raises: MissingExtra, BadWeights."""
        self._session = open_session(path, threads)

    def run(
        self, image_u8: np.ndarray, squares: Sequence[Square]
    ) -> tuple[list[np.ndarray], list[float]]:
        """For each square the (478, 2) points in frame pixels and the probability of a face."""
        if not squares:
            return [], []
        matrices = [square.frame_to_crop for square in squares]
        crops = [warp_image(image_u8, m, CROP, CROP, cv2.INTER_LINEAR) for m in matrices]
        blob = cv2.dnn.blobFromImages(crops, 1 / 255)
        points, flags = self._session.run(["points", "flag"], {"image": blob})
        in_frame = [
            transform_points(p.astype(np.float64), invert(m))
            for p, m in zip(points, matrices, strict=True)
        ]
        return in_frame, flags[:, 0].tolist()


def square_of_candidate(candidate: Candidate) -> Square:
    """Around a detector's box, turned so that the line of its eyes is level."""
    box, points = candidate.box, candidate.points
    return Square((box[:2] + box[2:]) / 2, _MARGIN * candidate.side, _angle(points[0], points[1]))


def square_of_mesh(mesh: np.ndarray) -> Square:
    """Around the mesh itself: steadier than the detector's box."""
    angle = _angle(mesh[RIGHT_CORNER], mesh[LEFT_CORNER])
    axes = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    upright = mesh @ axes
    low, high = upright.min(axis=0), upright.max(axis=0)
    return Square(axes @ ((low + high) / 2), _MARGIN * float((high - low).max()), angle)


def _angle(right_eye: np.ndarray, left_eye: np.ndarray) -> float:
    dx, dy = left_eye - right_eye
    return math.atan2(dy, dx)
