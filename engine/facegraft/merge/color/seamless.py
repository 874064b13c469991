"""Seamless cloning: a face keeps its gradients and takes the frame's light.

Pérez, Gangnet, Blake, "Poisson image editing", 2003, built as OpenCV's NORMAL_CLONE is: forward
differences of the face inside the mask, of the frame outside, and the frame's own values on the
border of the rectangle. In float, so nothing is rounded to 8 bits and values above 1 stay.
"""

import cv2
import numpy as np
from scipy import fft

_EDGE_PX = 3  # the mask shrinks by it, so no gradient is taken across the face's own edge (OpenCV)


def seamless_clone(face: np.ndarray, frame: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The clone, (H, W, 3) float32 RGB, equal to `frame` on the border of the rectangle.

    `face`, `frame`: (H, W, 3) float32; `mask`: (H, W) bool, where the face is.
    """
    inside = cv2.erode(
        mask.astype(np.uint8),
        np.ones((3, 3), np.uint8),
        iterations=_EDGE_PX,
        borderType=cv2.BORDER_CONSTANT,
        borderValue=(1.0,),  # the rectangle may touch the mask; the border itself never moves
    ).astype(np.float32)[..., None]
    difference = face - frame
    # divergence of the gradients to add: forward differences, then backward ones
    across = np.diff(difference, axis=1) * inside[:, :-1]
    down = np.diff(difference, axis=0) * inside[:-1]
    divergence = np.diff(across, axis=1)[1:-1] + np.diff(down, axis=0)[:, 1:-1]
    clone = frame.copy()
    clone[1:-1, 1:-1] += _solve_poisson(divergence)
    return clone


def _solve_poisson(divergence: np.ndarray) -> np.ndarray:
    """u with the 5-point Laplacian `divergence` (h, w, C) and zero around it.

    The sine transform turns the Laplacian into a factor per frequency.
    """
    height, width = divergence.shape[:2]
    rows = 2 * np.cos(np.pi * np.arange(1, height + 1) / (height + 1)) - 2
    columns = 2 * np.cos(np.pi * np.arange(1, width + 1) / (width + 1)) - 2
    factor = (rows[:, None] + columns[None, :]).astype(divergence.dtype)[..., None]
    spectrum = fft.dstn(divergence, type=1, axes=(0, 1), overwrite_x=True)
    return np.asarray(fft.idstn(spectrum / factor, type=1, axes=(0, 1), overwrite_x=True))
