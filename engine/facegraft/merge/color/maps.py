"""Fitted colour maps as values: applied to pictures, averaged over time.

A map is fitted once and then knows nothing of the pictures that it came from. It moves display
values 0..1 and stays inside them; what a picture holds beyond that range is kept on top:
`map(clip(x)) + x - clip(x)`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, Self

import cv2
import numpy as np

from facegraft.errors import ParameterError
from facegraft.merge.color.lab import from_lab, to_lab


class ColorMap(Protocol):
    """What a fit gives."""

    def apply(self, image: np.ndarray) -> np.ndarray:
        """(H, W, 3) float32 RGB: a new picture, mapped."""
        ...

    def average(self, others: Sequence[Self], weights: Sequence[float]) -> "ColorMap":
        """The mean of `others`, all of this map's class and space; weights sum to 1."""
        ...


def on_top(image: np.ndarray, inside: np.ndarray, mapped: np.ndarray) -> np.ndarray:
    """`image` moved as its part `inside` 0..1 moved when it was `mapped`."""
    moved = np.clip(mapped, 0, 1)
    moved -= inside
    moved += image
    return moved


@dataclass(frozen=True, slots=True, eq=False)
class AffineMap:
    """A matrix and an offset on RGB, or on CIE Lab."""

    matrix: np.ndarray  # (3, 4) float64, its last column the offset
    in_lab: bool = False

    def apply(self, image: np.ndarray) -> np.ndarray:
        """See ColorMap."""
        inside = np.clip(image, 0, 1)
        if self.in_lab:
            mapped = from_lab(cv2.transform(to_lab(inside), self.matrix))
        else:
            mapped = cv2.transform(inside, self.matrix)
        return on_top(image, inside, mapped)

    def average(self, others: Sequence["AffineMap"], weights: Sequence[float]) -> "AffineMap":
        """See ColorMap."""
        matrix = sum(w * other.matrix for w, other in zip(weights, others, strict=True))
        return AffineMap(np.asarray(matrix), self.in_lab)


@dataclass(frozen=True, slots=True)
class _Identity:
    """Moves nothing: no transfer is wanted, or there was nothing to fit."""

    def apply(self, image: np.ndarray) -> np.ndarray:
        """See ColorMap."""
        return image.copy()

    def average(self, others: Sequence[Self], weights: Sequence[float]) -> Self:
        """See ColorMap."""
        return self


IDENTITY: ColorMap = _Identity()


def average_maps(maps: Sequence[ColorMap], weights: Sequence[float]) -> ColorMap:
    """One map, the mean of the neighbouring frames' maps: steady colour.

    maps: all fitted by one method. IDENTITY among them says that a frame showed too little of the
    face to fit anything, and counts for nothing.
    weights: how much each counts, 0 or more; only their ratios matter.

    Raises: ParameterError for maps of different methods, and where the numbers do not match.
    """
    if len(maps) != len(weights) or not maps or min(weights) < 0:
        raise ParameterError(
            f"{len(maps)} colour maps come with {len(weights)} weights; give one weight of 0 or "
            "more for each map, and at least one map"
        )
    known = [(m, float(w)) for m, w in zip(maps, weights, strict=True) if m is not IDENTITY and w]
    total = sum(weight for _, weight in known)
    if not total:
        return IDENTITY
    first = known[0][0]
    if any(_kind(m) != _kind(first) for m, _ in known):
        names = ", ".join(sorted({_kind(m) for m, _ in known}))
        raise ParameterError(
            f"colour maps of different methods cannot be averaged ({names}); fit the neighbouring "
            "frames by the method of the frame that they are averaged for"
        )
    return first.average([m for m, _ in known], [weight / total for _, weight in known])


def _kind(color_map: ColorMap) -> str:
    in_lab = isinstance(color_map, AffineMap) and color_map.in_lab
    return type(color_map).__name__ + (" in Lab" if in_lab else "")
