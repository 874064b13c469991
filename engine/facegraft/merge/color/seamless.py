"""Seamless cloning: a face keeps its gradients and takes the frame's light.

Pérez, Gangnet, Blake, "Poisson image editing", 2003, built as OpenCV's NORMAL_CLONE is: forward
differences of the face inside the mask, of the frame outside, and the frame's own values on the
border of a rectangle around the mask. In float, so nothing is rounded to 8 bits and values above 1
stay. The equation is solved exactly, by sine transforms.
"""

import cv2
import numpy as np
from scipy import fft

_EDGE_PX = 3  # the mask shrinks by it, so no gradient is taken across the face's own edge (OpenCV)
_LARGEST_PRIME = (
    19  # of a transform's length; one with larger primes takes up to four times as long
)


def seamless_clone(face: np.ndarray, frame: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The clone, (H, W, 3) float32 RGB; outside the rectangle and on its border it is `frame`.

    face, frame: (H, W, 3) float32; mask: (H, W) bool, where the face is.
    The rectangle lies a pixel around the mask, or a few, where a neighbouring length of the
    transform is quicker. A mask that fills the picture may lose as many pixels at its border.
    """
    clone = frame.copy()
    x, y, width, height = cv2.boundingRect(mask.astype(np.uint8))
    rows, columns = _window(y, y + height, len(mask)), _window(x, x + width, mask.shape[1])
    if not width or rows is None or columns is None:
        return clone
    part = np.s_[rows, columns]
    inside = cv2.erode(
        mask[part].astype(np.uint8),
        np.ones((3, 3), np.uint8),
        iterations=_EDGE_PX,
        borderType=cv2.BORDER_CONSTANT,
        borderValue=(1.0,),  # the mask may reach the border; the border itself never moves
    ).astype(np.float32)
    difference = np.stack(cv2.split(face[part] - frame[part]))  # (3, h, w): quicker than (h, w, 3)
    # divergence of the gradients to add: forward differences, then backward ones
    across = np.diff(difference, axis=2) * inside[:, :-1]
    down = np.diff(difference, axis=1) * inside[:-1]
    divergence = np.diff(across, axis=2)[:, 1:-1]
    divergence += np.diff(down, axis=1)[:, :, 1:-1]
    clone[part][1:-1, 1:-1] += cv2.merge(list(_solve_poisson(divergence)))
    return clone


def _window(low: int, high: int, side: int) -> slice | None:
    """Where the rectangle lies along one axis, border pixels included, around a mask from `low` to
    `high` on a `side`; None where there is no room for one.

    Its length is one more than a number of small primes, half the transform's.
    """
    wanted = max(high - low + 1, 2)
    lengths = [n for n in range(wanted, side) if _is_fast(n)][:1]
    lengths = lengths or [n for n in range(side - 1, 1, -1) if _is_fast(n)][:1]
    if not lengths:
        return None
    start = min(max((low + high - lengths[0] - 1) // 2, 0), side - lengths[0] - 1)
    return slice(start, start + lengths[0] + 1)


def _is_fast(length: int) -> bool:
    for prime in (2, 3, 5, 7, 11, 13, 17, _LARGEST_PRIME):
        while length % prime == 0:
            length //= prime
    return length == 1


def _solve_poisson(divergence: np.ndarray) -> np.ndarray:
    """(C, h, w): u with the 5-point Laplacian `divergence` and zero around it.

    The sine transform turns the Laplacian into a factor per frequency.
    """
    height, width = divergence.shape[1:]
    rows = 2 * np.cos(np.pi * np.arange(1, height + 1) / (height + 1)) - 2
    columns = 2 * np.cos(np.pi * np.arange(1, width + 1) / (width + 1)) - 2
    factor = (1 / (rows[:, None] + columns[None, :])).astype(divergence.dtype)
    spectrum = fft.dstn(divergence, type=1, axes=(1, 2), overwrite_x=True)
    spectrum *= factor
    return np.asarray(fft.idstn(spectrum, type=1, axes=(1, 2), overwrite_x=True))
