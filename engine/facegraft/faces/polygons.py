"""Polygons that somebody drew over an aligned face, as a mask.

DeepFaceLab's semantics (dfl.md 3.2): all that is marked as face is filled first, all that is marked
as no face is cut out of it afterwards, so that the order in which they were drawn does not matter.
"""

from collections.abc import Sequence

import cv2
import numpy as np

from facegraft.faces.face import Polygon

_FINER = 8  # times: OpenCV fills the edge's own pixels too, which here is a sixteenth of a pixel
_SHIFT = 4  # OpenCV's fixed point: sixteenths of a fine pixel


def polygon_mask(polygons: Sequence[Polygon], size: int) -> np.ndarray:
    """(size, size) uint8, 255 face; an edge's pixel says how much of it is face.

    Points outside the square are cut off. A polygon of fewer than three points holds nothing.
    """
    fine = np.zeros((size * _FINER, size * _FINER), np.uint8)
    for polygon in sorted(polygons, key=lambda p: not p.is_face):  # face first
        if len(polygon.points) < 3:
            continue
        # OpenCV counts from pixel centres
        points = np.array(polygon.points, np.float64) * _FINER - 0.5
        fixed = np.rint(points * (1 << _SHIFT)).astype(np.int32)
        cv2.fillPoly(fine, [fixed], 255 if polygon.is_face else 0, cv2.LINE_8, _SHIFT)
    return cv2.resize(fine, (size, size), interpolation=cv2.INTER_AREA)
