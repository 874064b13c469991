"""Polygons that somebody drew over an aligned face, as a mask.

DeepFaceLab's semantics (dfl.md 3.2): all that is marked as face is filled first, all that is marked
as no face is cut out of it afterwards, so that the order in which they were drawn does not matter.
"""

from collections.abc import Sequence

import cv2
import numpy as np

from facegraft.faces.face import Polygon

_SHIFT = 4  # OpenCV's fixed point: sixteenths of a pixel


def polygon_mask(polygons: Sequence[Polygon], size: int) -> np.ndarray:
    """(size, size) uint8, 255 face, with soft edges; points outside the square are cut off.

    A polygon of fewer than three points holds nothing.
    """
    mask = np.zeros((size, size), np.uint8)
    for polygon in sorted(polygons, key=lambda p: not p.is_face):  # face first
        if len(polygon.points) < 3:
            continue
        centred = np.array(polygon.points, np.float64) - 0.5  # OpenCV counts from pixel centres
        points = np.rint(centred * (1 << _SHIFT)).astype(np.int32)
        cv2.fillPoly(mask, [points], 255 if polygon.is_face else 0, cv2.LINE_AA, _SHIFT)
    return mask
