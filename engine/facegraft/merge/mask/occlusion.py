"""What is in front of the face: hands, hair, glasses, as a matte over the frame.

The face's outline from its landmarks, minus what the segmenter sees of the face. A compositor
holds the swap back with it, or lays the plate's own hand over another node's work. It is known
only inside the segmenter's square, and is 0 elsewhere.
"""

from collections.abc import Sequence

import cv2
import numpy as np

from facegraft.faces.align import align_matrix, invert, transform_points, warp_image
from facegraft.faces.landmarks import hull_mask
from facegraft.merge.geometry import bounds
from facegraft.segment import Segmenter


def occlusion_square(
    segmentation: np.ndarray, landmarks: np.ndarray, segmenter: Segmenter
) -> np.ndarray:
    """(s, s) float32 0..1 in the segmenter's square, from what `segment_frame` gave for a face
    whose (68, 2) landmarks are in frame pixels."""
    size = segmenter.size
    matrix = align_matrix(landmarks, segmenter.face_type, size)
    hull = hull_mask(transform_points(landmarks, matrix), size, size)
    return np.clip(hull - segmentation, 0, 1)


def occlusion_layer(
    shape: tuple[int, ...],
    seen: Sequence[tuple[np.ndarray, np.ndarray]],
    segmenter: Segmenter,
) -> np.ndarray:
    """(H, W) float32 0..1 over a frame of `shape`: what is in front of any of its faces.

    seen: of each face its segmentation and landmarks, see `occlusion_square`.
    """
    layer = np.zeros(shape[:2], np.float32)
    size = segmenter.size
    for segmentation, landmarks in seen:
        square = occlusion_square(segmentation, landmarks, segmenter)
        to_frame = invert(align_matrix(landmarks, segmenter.face_type, size))
        x0, y0, x1, y1 = bounds(0, 0, size, size, to_frame, shape)
        if x0 == x1:
            continue
        local = np.column_stack([to_frame[:, :2], to_frame[:, 2] - (x0, y0)])
        part = warp_image(square, local, x1 - x0, y1 - y0, cv2.INTER_LINEAR)
        below = layer[y0:y1, x0:x1]
        np.maximum(below, part, out=below)
    return layer
