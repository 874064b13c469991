"""Detected faces drawn over their frame, for people to check."""

from collections.abc import Sequence

import cv2
import numpy as np

from facegraft.faces.align import align_matrix, square_corners
from facegraft.faces.face import Face
from facegraft.model_spec import FaceType

BOX = (255, 180, 0)  # RGB
SQUARE = (60, 130, 255)
POINT = (0, 255, 90)
_BITS = 4  # cv2 draws at 1/16 px


def draw_faces(image: np.ndarray, faces: Sequence[Face], face_type: FaceType) -> np.ndarray:
    """A copy of (H, W, 3) uint8 RGB with box, points, square and track number of each face."""
    canvas = image.copy()
    width = max(1, round(min(image.shape[:2]) / 500))
    for face in faces:
        corners = square_corners(align_matrix(face.landmarks, face_type, 1), 1)
        cv2.polylines(canvas, [_fixed(corners)], True, SQUARE, width, cv2.LINE_AA, _BITS)
        x0, y0, x1, y1 = (round(v) for v in face.box)
        cv2.rectangle(canvas, (x0, y0), (x1, y1), BOX, width, cv2.LINE_AA)
        for point in _fixed(face.landmarks):
            cv2.circle(canvas, point.tolist(), 16 * width, POINT, -1, cv2.LINE_AA, _BITS)
        label = f"track {face.track}  {face.score:.2f}"
        font = cv2.FONT_HERSHEY_SIMPLEX
        cv2.putText(canvas, label, (x0, y0 - 5), font, 0.45 * width, BOX, width, cv2.LINE_AA)
    return canvas


def _fixed(points: np.ndarray) -> np.ndarray:
    """Corner convention to cv2's pixel centres, in fixed point."""
    return np.rint((points - 0.5) * (1 << _BITS)).astype(np.int32)
