"""Motion blur of the face, from how it really moves.

`motions` reads the movement of every face from the frames before and after, each face by its own
track, so other faces do not matter and a cut, which ends every track, gives no motion.
`motion_blur` blurs a picture along it.
"""

import math
from collections.abc import Sequence

import cv2
import numpy as np

from facegraft.faces.face import Face
from facegraft.faces.landmarks import ALIGNMENT_POINTS

_SAMPLES_PER_PX = 8  # of the line: its weights are then within a percent of the exact ones
_LEAST_PX = 0.02  # a shorter line changes no pixel that anybody could see


def motions(
    before: Sequence[Face], at: Sequence[Face], after: Sequence[Face]
) -> list[np.ndarray | None]:
    """How far each face of `at` moves from one frame to the next, (2,) float64 frame px.

    before, at, after: the faces of three frames in a row, with tracks. Measured between the
    neighbours that have the face; None where neither has it, and for faces without a track. A
    face's place is the mean of its brows, eyes, nose and mouth corners, since the jaw moves when
    it speaks.
    """
    earlier = {face.track: face for face in before if face.track >= 0}
    later = {face.track: face for face in after if face.track >= 0}
    result: list[np.ndarray | None] = []
    for face in at:
        first, last = earlier.get(face.track), later.get(face.track)
        steps = (first is not None) + (last is not None)
        moved = _place(last or face) - _place(first or face)
        result.append(moved / steps if steps else None)
    return result


def motion_in_square(motion: np.ndarray, frame_to_square: np.ndarray) -> np.ndarray:
    """(2,) `motion` of the frame in px of a square, turned and scaled by the (2, 3) matrix."""
    return frame_to_square[:, :2] @ motion


def motion_blur(image: np.ndarray, vector_px: np.ndarray, percent: float) -> np.ndarray:
    """`image` as an exposure of `percent` of the frame's time would see it while it moves.

    image: (h, w, 3) float32, any range. vector_px: (2,) x and y, the way of one whole frame in px
    of `image`. percent: 0..100; 50 is what film calls a shutter of 180 degrees. The exposure is
    centred on the frame's time, so the face stays where it is.
    """
    kernel = line_kernel(np.asarray(vector_px, np.float64) * (percent / 100), max(image.shape[:2]))
    if kernel.size == 1:
        return image
    return cv2.filter2D(image, -1, kernel, borderType=cv2.BORDER_REPLICATE)


def line_kernel(line_px: np.ndarray, longest_px: float) -> np.ndarray:
    """(odd, odd) float32 of sum 1: a line of even weight along `line_px` (2,), its middle centred.

    Points on the line share their weight among the four pixels around them (bilinear), so length
    and angle change without steps. A line longer than `longest_px` is cut to it.
    """
    length = math.hypot(*line_px)
    if length < _LEAST_PX:
        return np.ones((1, 1), np.float32)
    line = line_px * min(1.0, longest_px / length)
    count = math.ceil(min(length, longest_px) * _SAMPLES_PER_PX) + 1
    along = (np.arange(count) + 0.5) / count - 0.5
    reach_x, reach_y = (math.floor(abs(part) / 2) + 1 for part in line)
    x, y = along * line[0] + reach_x, along * line[1] + reach_y
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    right_share, low_share = x - left, y - top
    kernel = np.zeros((2 * reach_y + 1, 2 * reach_x + 1))
    for row, row_share in ((top, 1 - low_share), (top + 1, low_share)):
        for column, share in ((left, 1 - right_share), (left + 1, right_share)):
            np.add.at(kernel, (row, column), row_share * share)
    return (kernel / kernel.sum()).astype(np.float32)


def _place(face: Face) -> np.ndarray:
    return face.landmarks[ALIGNMENT_POINTS].mean(axis=0, dtype=np.float64)
