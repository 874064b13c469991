"""What a segmenter says of a face: in the frame (xseg_dst) and on the network's picture (xseg_prd).

A segmenter wants its own framing and size, which need not be the model's. So the network always
looks at its own square, and its answer is laid into the model's afterwards: the first part costs
the network's time and is worth keeping, the second a millisecond.

An answer of `segment_frame` depends on the frame, the landmarks and `segmenter.digest`; one of
`segment_prediction` on the predicted face (so on the model and its morph value) and the model's
framing besides.
"""

import cv2
import numpy as np

from facegraft.faces.align import align_matrix, compose, invert, scaled, warp_image
from facegraft.merge.mask.face_mask import MASK_SIZE
from facegraft.segment import Segmenter


def segment_frame(image: np.ndarray, landmarks: np.ndarray, segmenter: Segmenter) -> np.ndarray:
    """(s, s) float32 0..1 in the segmenter's square: where the frame shows this face.

    image: (H, W, 3) float32 RGB, display-referred; landmarks: (68, 2) in its pixels.
    """
    return segmenter.segment(_sight(image, landmarks, segmenter))


def segment_prediction(
    image: np.ndarray,
    landmarks: np.ndarray,
    face: np.ndarray,
    segmenter: Segmenter,
    frame_to_square: np.ndarray,
) -> np.ndarray:
    """(s, s) float32 0..1 in the segmenter's square: where the predicted face is face.

    face: (R, R, 3) float32 RGB 0..1, in the model's square; frame_to_square: (2, 3), from frame
    pixels to that square at MASK_SIZE. Where the segmenter's square holds more than the model's,
    it sees the frame around the face.
    """
    sight = _sight(image, landmarks, segmenter)
    size, side = segmenter.size, len(face)
    from_face = invert(scaled(frame_to_square, side / MASK_SIZE))
    matrix = compose(align_matrix(landmarks, segmenter.face_type, size), from_face)
    pasted = warp_image(face, matrix, size, size, border=cv2.BORDER_REPLICATE)
    covered = warp_image(np.ones((side, side), np.float32), matrix, size, size, cv2.INTER_LINEAR)
    return segmenter.segment(np.clip(sight + covered[..., None] * (pasted - sight), 0, 1))


def into_square(
    segmentation: np.ndarray,
    landmarks: np.ndarray,
    segmenter: Segmenter,
    frame_to_square: np.ndarray,
) -> np.ndarray:
    """A segmentation laid into the model's square, (MASK_SIZE, MASK_SIZE) float32 0..1.

    What the segmenter did not see counts as no face.
    """
    to_frame = invert(align_matrix(landmarks, segmenter.face_type, segmenter.size))
    matrix = compose(frame_to_square, to_frame)
    mask = warp_image(segmentation, matrix, MASK_SIZE, MASK_SIZE)
    return np.clip(mask, 0, 1, out=mask)  # cubic overshoots at edges


def _sight(image: np.ndarray, landmarks: np.ndarray, segmenter: Segmenter) -> np.ndarray:
    """(s, s, 3) 0..1: the face as the segmenter wants it; the frame's border goes on outside."""
    matrix = align_matrix(landmarks, segmenter.face_type, segmenter.size)
    square = warp_image(image, matrix, segmenter.size, segmenter.size, border=cv2.BORDER_REPLICATE)
    return np.clip(np.nan_to_num(square, copy=False), 0, 1)
