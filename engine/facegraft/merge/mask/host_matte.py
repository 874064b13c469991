"""The matte that a compositor draws and gives beside the clip, as a face's mask."""

import cv2
import numpy as np

from facegraft.errors import ParameterError
from facegraft.faces.align import warp_image
from facegraft.merge.mask.face_mask import MASK_SIZE


def matte_square(
    matte: np.ndarray, frame_shape: tuple[int, ...], frame_to_square: np.ndarray
) -> np.ndarray:
    """(MASK_SIZE, MASK_SIZE) float32 0..1: the frame's matte in the face's square.

    matte: (H, W) float, 0..1, of the frame's size; what is no number counts as 0.
    frame_to_square: (2, 3), from frame pixels to the square *as it is pasted* at MASK_SIZE, scale,
    offset and rotation included: a matte drawn on the frame then comes back where it was drawn.

    Raises: ParameterError for a matte of another size than the frame.
    """
    if matte.shape != frame_shape[:2]:
        height, width = frame_shape[:2]
        raise ParameterError(
            f"the matte is {_size(matte)} and the frame {width}x{height}; give the matte at the "
            "frame's size, one channel"
        )
    # linear: cubic would draw a dark line inside the matte's edge and a light one outside
    square = warp_image(
        matte.astype(np.float32, copy=False), frame_to_square, MASK_SIZE, MASK_SIZE,
        cv2.INTER_LINEAR,
    )  # fmt: skip
    return np.clip(np.nan_to_num(square, copy=False), 0, 1)


def _size(matte: np.ndarray) -> str:
    if matte.ndim != 2:
        return f"of shape {matte.shape}"
    return f"{matte.shape[1]}x{matte.shape[0]}"
