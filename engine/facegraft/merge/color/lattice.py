"""A colour map as a lattice of displacements: any smooth map, applied by look-up.

The lattice lies in opponent axes (grey, red to blue, green to magenta), since faces fill a thin
tube along grey: finer steps across it than along it cost little. All lattices are cut out of one
endless grid, so that those of neighbouring frames can be averaged node by node. A colour between
nodes moves as its eight neighbours do, linear in between; one beyond the lattice as its rim.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter

from facegraft.merge.color.maps import on_top

_AXES = np.array([[1, 1, 1], [1, 0, -1], [1, -2, 1]]) / np.sqrt([[3], [2], [6]])  # orthonormal
_STEP = np.array([0.03, 0.02, 0.02])  # between nodes, along each axis; black to white is 1.73
_SOFTEN = 1.0  # nodes; a Gaussian that keeps an exact match from stretching grain into spots
_TAIL = 0.002  # share of the colours at either end of an axis that may lie beyond the lattice
_BLURRED_SIDE = 128  # px; a blurred change holds nothing finer than that shows


@dataclass(frozen=True, slots=True, eq=False)
class LatticeMap:
    """How far each colour moves.

    first:  (3,) int, place of the first node in the endless grid.
    shifts: (n0, n1, n2, 3) float32, displacements of the nodes in RGB.
    blur:   sigma of a Gaussian, as a share of the picture's longer side, that the change is
            blurred with over the picture before it is added; 0 for none.
    """

    first: np.ndarray
    shifts: np.ndarray
    blur: float = 0.0

    def apply(self, image: np.ndarray) -> np.ndarray:
        """See ColorMap."""
        inside = np.clip(image, 0, 1)
        change = self._blurred_change(inside) if self.blur else self.change(inside)
        return on_top(image, inside, inside + change)

    def average(self, others: Sequence["LatticeMap"], weights: Sequence[float]) -> "LatticeMap":
        """See ColorMap. Beyond its own lattice each map counts as its rim."""
        first = np.min([other.first for other in others], axis=0)
        last = np.max([other.first + other.shifts.shape[:3] for other in others], axis=0)
        shifts = np.zeros((*(last - first), 3), np.float32)
        for weight, other in zip(weights, others, strict=True):
            before = other.first - first
            after = last - other.first - other.shifts.shape[:3]
            pads = [*zip(before, after, strict=True), (0, 0)]
            shifts += np.float32(weight) * np.pad(other.shifts, pads, mode="edge")
        return LatticeMap(first, shifts, self.blur)

    def change(self, image: np.ndarray) -> np.ndarray:
        """(H, W, 3) float32: how far each pixel's colour moves."""
        count, height, width = self.shifts.shape[:3]
        to_nodes = np.column_stack([_AXES / _STEP[:, None], -self.first])
        along, y, x = cv2.split(cv2.transform(image, to_nodes.astype(np.float32)))
        # OpenCV looks up in two axes: the layers of the third lie side by side
        sheet = np.ascontiguousarray(self.shifts.transpose(1, 0, 2, 3)).reshape(height, -1, 3)
        np.clip(along, 0, count - 1, out=along)
        layer = np.minimum(np.floor(along), np.float32(count - 2))
        along -= layer
        np.clip(x, 0, width - 1, out=x)
        np.clip(y, 0, height - 1, out=y)
        x += layer * np.float32(width)
        low = cv2.remap(sheet, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        x += np.float32(width)
        high = cv2.remap(sheet, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        high -= low
        high *= cv2.merge((along, along, along))  # numpy broadcasts slowly over channels
        high += low
        return high

    def _blurred_change(self, image: np.ndarray) -> np.ndarray:
        height, width = image.shape[:2]
        scale = min(1.0, _BLURRED_SIDE / max(height, width))
        size = max(1, round(width * scale)), max(1, round(height * scale))
        small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        sigma = self.blur * max(size)
        change = cv2.GaussianBlur(self.change(small), (0, 0), sigma, borderType=cv2.BORDER_REFLECT)
        return cv2.resize(change, (width, height), interpolation=cv2.INTER_LINEAR)


def fit_lattice(
    colors: np.ndarray, move: Callable[[np.ndarray], np.ndarray], blur: float = 0.0
) -> LatticeMap:
    """The lattice that holds `colors` (N, 3) RGB, each node displaced as `move` does.

    move: (M, 3) float32 RGB 0..1 to their new places, the same shape.
    """
    places = colors @ (_AXES / _STEP[:, None]).T
    first = np.floor(np.quantile(places, _TAIL, axis=0)).astype(int)
    last = np.ceil(np.quantile(places, 1 - _TAIL, axis=0)).astype(int)
    last = np.maximum(last, first + 1)  # two nodes at least on each axis
    grid = np.stack(np.meshgrid(*map(_run, first, last), indexing="ij"), axis=-1)
    # nodes outside of the cube move as the nearest colour that exists
    nodes = np.clip((grid * _STEP) @ _AXES, 0, 1).astype(np.float32)
    shifts = move(nodes.reshape(-1, 3)).reshape(nodes.shape) - nodes
    soft = gaussian_filter(shifts, (_SOFTEN, _SOFTEN, _SOFTEN, 0), mode="nearest")
    return LatticeMap(first, soft.astype(np.float32), blur)


def _run(first: int, last: int) -> np.ndarray:
    return np.arange(first, last + 1)
