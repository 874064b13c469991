"""Histogram match: a face takes the distribution of values of a reference, channel by channel.

The classic quantile mapping: a value that is larger than the share q of the face's pixels becomes
the value that is larger than the share q of the reference's. `threshold` (0 to 255) scales q by
threshold / 255, so that lower values keep to the reference's darker part and hold back highlights.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from facegraft.merge.color.maps import IDENTITY, ColorMap, on_top
from facegraft.merge.color.statistics import LEAST_WEIGHT, thin

_BINS = 1024  # four to an 8-bit step; inside a bin the mapping is linear, so no value is rounded
_NUDGE = 1e-9  # of all pixels; far below one pixel's share


@dataclass(frozen=True, slots=True, eq=False)
class HistogramMap:
    """A curve per channel, in bins: linear inside each, and free to jump between two."""

    starts: np.ndarray  # (3, _BINS) float32, what the lower edge of each bin becomes
    ends: np.ndarray  # (3, _BINS) float32, and its upper edge

    def apply(self, image: np.ndarray) -> np.ndarray:
        """See ColorMap."""
        inside = np.clip(image, 0, 1)
        planes = []
        for plane, starts, ends in zip(cv2.split(inside), self.starts, self.ends, strict=True):
            place = plane * np.float32(_BINS)
            index = np.minimum(place.astype(np.int32), _BINS - 1)
            place -= index
            place *= (ends - starts)[index]
            place += starts[index]
            planes.append(place)
        mapped = cv2.merge(planes)
        return on_top(image, inside, mapped)

    def average(self, others: Sequence["HistogramMap"], weights: Sequence[float]) -> "HistogramMap":
        """See ColorMap."""
        shares = np.asarray(weights, np.float32)
        starts, ends = np.stack([o.starts for o in others]), np.stack([o.ends for o in others])
        return HistogramMap(np.tensordot(shares, starts, 1), np.tensordot(shares, ends, 1))


def fit_histogram(
    face: np.ndarray, reference: np.ndarray, weights: np.ndarray, threshold: float = 255
) -> ColorMap:
    """The map that gives `face` the histogram of `reference`.

    face, reference: (H, W, 3) float32 RGB, display-referred; what exceeds 0..1 counts as clipped.
    weights: (H, W) 0..1, how much each pixel counts, in both: the mask for the masked match, ones
    where the square shows the frame otherwise. Empty weights give IDENTITY.
    """
    face, reference, weights = thin(face, reference, weights)
    if float(weights.sum()) < LEAST_WEIGHT:
        return IDENTITY
    face, reference = np.clip(face, 0, 1), np.clip(reference, 0, 1)
    scale = threshold / 255
    curves = np.empty((2, 3, _BINS), np.float32)
    for channel in range(3):
        shares = _cumulative(face[..., channel], weights)
        target = _cumulative(reference[..., channel], weights)
        # a share may fit a whole gap of the reference: a bin starts above it and ends below it
        starts = _inverse(target, (shares[:-1] + _NUDGE) * scale)
        ends = _inverse(target, (shares[1:] - _NUDGE) * scale)
        empty = shares[1:] == shares[:-1]
        starts[empty] = ends[empty] = (starts[empty] + ends[empty]) / 2
        curves[:, channel] = starts, ends
    return HistogramMap(*curves)


def match_histogram(
    face: np.ndarray, reference: np.ndarray, weights: np.ndarray, threshold: int = 255
) -> np.ndarray:
    """`face` with the histogram of `reference`; see `fit_histogram`."""
    return fit_histogram(face, reference, weights, threshold).apply(face)


def _cumulative(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(_BINS + 1,) share of the weight that lies below each bin's edge, 0 to 1."""
    index = np.minimum((values * np.float32(_BINS)).astype(np.int32), _BINS - 1)
    counts = np.bincount(index.ravel(), weights=weights.ravel(), minlength=_BINS)
    shares = np.concatenate([[0.0], np.cumsum(counts)])
    return shares / shares[-1]


def _inverse(shares: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """The values below which the `wanted` shares lie."""
    edges = np.arange(_BINS + 1) / _BINS
    first = int(np.searchsorted(shares, 0.0, side="right")) - 1  # where the lowest value starts
    last = int(np.searchsorted(shares, 1.0, side="left"))  # where the highest one ends
    return np.interp(wanted, shares[first : last + 1], edges[first : last + 1])
