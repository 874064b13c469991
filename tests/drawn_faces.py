"""Faces so simple that their landmarks are known: a disc of one colour, and a detector for discs.

`DiscDetector` implements the detector's interface for real (it looks at the picture), so
extraction, tracks and merging can be tested without networks.
"""

import cv2
import numpy as np

from facegraft.faces.face import Face
from facegraft.faces.landmarks import HEAD_3D

SKIN = (224, 60, 180)  # RGB; nothing else in the test pictures has this hue
FACE_WIDTH = float(np.ptp(HEAD_3D[:, 0]))


def face_at(x: float, y: float, size: float) -> Face:
    """The mean head seen from the front, `size` px wide, centred at (x, y)."""
    points = ((HEAD_3D[:, :2]) * (size / FACE_WIDTH) + (x, y)).astype(np.float32)
    (x0, y0), (x1, y1) = points.min(axis=0), points.max(axis=0)
    return Face(points, (float(x0), float(y0), float(x1), float(y1)), 0.9)


def draw_face(image: np.ndarray, x: float, y: float, size: float) -> None:
    """Draw the disc of a face into (H, W, 3) uint8 RGB, in place."""
    center = (round((x - 0.5) * 16), round((y - 0.5) * 16))
    cv2.circle(image, center, round(size * 8), SKIN, -1, cv2.LINE_8, 4)


class DiscDetector:
    """Finds discs of the skin colour, largest first."""

    name = "disc 1"

    def __init__(self) -> None:
        self.calls = 0

    def detect(self, image_u8: np.ndarray, max_faces: int = 0) -> list[Face]:
        self.calls += 1
        away = np.abs(image_u8.astype(np.int16) - np.array(SKIN, np.int16)).max(axis=2)
        count, _, stats, centroids = cv2.connectedComponentsWithStats((away < 40).astype(np.uint8))
        faces = [
            face_at(cx + 0.5, cy + 0.5, float(np.sqrt(stat[cv2.CC_STAT_AREA] / np.pi) * 2))
            for stat, (cx, cy) in zip(stats[1:count], centroids[1:count], strict=True)
            if stat[cv2.CC_STAT_AREA] > 50
        ]
        faces.sort(key=lambda face: -face.size_px)
        return faces[: max_faces or None]
