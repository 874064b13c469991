"""Makes the face as poor as the footage around it: less noise, less detail, fewer colours.

Takes and gives the face's square, (h, w, 3) float32 RGB. DeepFaceLab's controls of the same names
worked on the frame around the face; these work on the face, which is what needs to be fitted.
"""

from collections.abc import Callable

import cv2
import numpy as np

from facegraft.merge.detail.sharpen import median_rounds

_LEAST_SHARE = 1 / 101  # of the side that 100 % leaves, as in DeepFaceLab
_PALETTE_LEVELS = 8  # splits of every box: 2**8 = 256 colours
_CELL_BITS = 6  # per channel of the grid that boxes are made of: finer than 256 colours resolve
_CELLS = 1 << _CELL_BITS


def denoise(image: np.ndarray, amount: float) -> np.ndarray:
    """`image` through 5x5 medians: amount / 100 rounds, the fraction of a round blended.

    image: (h, w, 3) float32, any range. amount: 0..500. DeepFaceLab counts ten more rounds for
    every hundred by a slip of its loop; here 100 is one round.
    """
    return median_rounds(image, amount / 100)


def bicubic_degrade(image: np.ndarray, percent: float) -> np.ndarray:
    """`image` shrunk by `percent` 0..100 and enlarged again by cubic interpolation.

    image: (h, w, 3) float32, any range. 100 leaves a hundredth of the side. Shrinking averages
    areas, where DeepFaceLab picks cubic samples: with few pixels left those flicker.
    """
    height, width = image.shape[:2]
    share = 1 - percent / 100 * (1 - _LEAST_SHARE)
    small = max(1, round(width * share)), max(1, round(height * share))
    if small == (width, height):
        return image
    shrunk = cv2.resize(image, small, interpolation=cv2.INTER_AREA)
    return cv2.resize(shrunk, (width, height), interpolation=cv2.INTER_CUBIC)


def color_degrade(
    image: np.ndarray, percent: float, palette: Callable[[np.ndarray], np.ndarray] | None = None
) -> np.ndarray:
    """`image` blended by `percent` 0..100 with itself in the 256 colours that suit it best.

    image:   (h, w, 3) float32. What reaches outside 0..1 is no part of the palette and stays on
             top.
    palette: `in_palette`, or what gives the same, kept from before.
    """
    if percent <= 0:
        return image
    inside = np.clip(image, 0, 1)
    poor = (palette or in_palette)(inside)
    blended = cv2.addWeighted(inside, 1 - percent / 100, poor, percent / 100, 0)
    return blended + (image - inside)


def in_palette(image: np.ndarray) -> np.ndarray:
    """(h, w, 3) float32 0..1, each pixel by the mean of its box.

    Median cut (Heckbert 1982), all boxes of a level at once: each is cut across its longest side so
    that both halves hold about the same number of pixels. Works on the occupied cells of a grid of
    64 per channel.
    """
    pixels = image.reshape(-1, 3)
    steps = np.minimum((pixels * _CELLS).astype(np.int32), _CELLS - 1)
    code = (steps[:, 0] * _CELLS + steps[:, 1]) * _CELLS + steps[:, 2]
    count = np.bincount(code, minlength=_CELLS**3)
    occupied = np.flatnonzero(count)
    population = count[occupied]
    places = np.stack(np.unravel_index(occupied, (_CELLS,) * 3), axis=1)
    box = np.zeros(len(occupied), np.int64)
    for _ in range(_PALETTE_LEVELS):
        box = 2 * box + _upper_half(box, places, population)
    box = np.unique(box, return_inverse=True)[1]

    box_of_cell = np.zeros(_CELLS**3, np.int32)
    box_of_cell[occupied] = box
    box_of_pixel = box_of_cell[code]
    total = np.bincount(box_of_pixel)
    colors = [np.bincount(box_of_pixel, weights=channel) / total for channel in pixels.T]
    return np.stack(colors, axis=1).astype(np.float32)[box_of_pixel].reshape(image.shape)


def _upper_half(box: np.ndarray, places: np.ndarray, population: np.ndarray) -> np.ndarray:
    """(M,) 0 or 1: which half of its box each cell falls in."""
    names, index = np.unique(box, return_inverse=True)
    low = np.full((len(names), 3), _CELLS)
    high = np.full((len(names), 3), -1)
    np.minimum.at(low, index, places)
    np.maximum.at(high, index, places)
    across = np.argmax(high - low, axis=1)[index]
    along = places[np.arange(len(places)), across]

    order = np.lexsort((along, index))
    weight = population[order]
    before = np.cumsum(weight) - weight  # pixels ahead of this cell, from the first box on
    inside = index[order]
    starts = np.searchsorted(inside, np.arange(len(names)))
    total = np.add.reduceat(weight, starts)
    middle = 2 * (before - before[starts][inside]) + weight  # twice the cell's own centre
    half = np.empty(len(box), np.int64)
    half[order] = middle > total[inside]
    return half
