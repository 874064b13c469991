"""What is in front of the face: hands, hair, glasses, as a matte over the frame.

The face's outline from its landmarks, minus what the segmenter sees of the face. A compositor
holds the swap back with it, or lays the plate's own hand over another node's work. It is known
inside the face's square only and 0 elsewhere; what the segmenter's own square does not hold of the
outline counts as hidden, so the segmenter should frame a face no tighter than `full` does.
"""

from collections.abc import Sequence

import cv2
import numpy as np

from facegraft.faces.align import invert, scaled, transform_points
from facegraft.faces.landmarks import hull_mask
from facegraft.merge.geometry import bounds, paste
from facegraft.merge.mask.edges import resize_by

_RIM = 40.0  # permille of the square, across: half of it is how far outlines commonly disagree
_FAINT = 0.1  # of a segmentation, as `segment.py` counts


def occlusion_square(
    visible: np.ndarray, landmarks: np.ndarray, into_square: np.ndarray
) -> np.ndarray:
    """(S, S) float32 0..1 over the face's square, see `occlusion_layer`.

    Landmarks and segmenter never agree to the pixel on where a face ends. So a thin rim along the
    outline counts only beside something that reaches further in.
    """
    size = len(visible)
    points = transform_points(landmarks, scaled(into_square, size))
    outline = hull_mask(points, size, size)
    inner = np.clip(resize_by(outline, _RIM) - visible, 0, 1)
    inner[inner < _FAINT] = 0  # or growing it would spread what is nothing
    return np.minimum(np.clip(outline - visible, 0, 1), resize_by(inner, -2 * _RIM))


def occlusion_layer(
    shape: tuple[int, ...], seen: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]]
) -> np.ndarray:
    """(H, W) float32 0..1 over a frame of `shape`: what is in front of any of its faces.

    seen: of each face what is `visible` of it, (S, S) float32 0..1 over its square (`into_square`
    of segmented.py); its landmarks, (68, 2) in frame pixels; and the (2, 3) matrix from frame
    pixels to the square's 0..1.
    """
    layer = np.zeros(shape[:2], np.float32)
    for visible, landmarks, into_square in seen:
        square = occlusion_square(visible, landmarks, into_square)
        size = len(square)
        to_frame = invert(scaled(into_square, size))
        rect = bounds(0, 0, size, size, to_frame, shape)
        if rect[0] < rect[2]:
            below = layer[rect[1] : rect[3], rect[0] : rect[2]]
            hidden = paste(square, to_frame, rect, cv2.BORDER_CONSTANT)
            np.maximum(below, np.clip(hidden, 0, 1), out=below)
    return layer
