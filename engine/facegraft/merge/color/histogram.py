"""Histogram match: a face takes the distribution of values of a reference, channel by channel.

The classic quantile mapping: a value that is larger than the share q of the face's pixels becomes
the value that is larger than the share q of the reference's. `threshold` (0 to 255) scales q by
threshold / 255, so that lower values keep to the reference's darker part and hold back highlights.
"""

import numpy as np

_BINS = 1024  # four to an 8-bit step; inside a bin the mapping is linear, so no value is rounded
_NUDGE = 1e-9  # of all pixels; far below one pixel's share


def match_histogram(
    face: np.ndarray, reference: np.ndarray, weights: np.ndarray, threshold: int = 255
) -> np.ndarray:
    """`face` (H, W, 3) float32 RGB 0..1 with the histogram of `reference` (same shape).

    `weights`: (H, W) 0..1, how much each pixel counts, in both. Empty weights leave the face.
    """
    if float(weights.sum()) <= 0:
        return face
    matched = np.empty_like(face)
    for channel in range(face.shape[2]):
        shares = cumulative(face[..., channel], weights)
        target = cumulative(reference[..., channel], weights)
        # a share may fit a whole gap of the reference: a bin starts above it and ends below it
        scale = threshold / 255
        starts = _inverse(target, (shares[:-1] + _NUDGE) * scale)
        ends = _inverse(target, (shares[1:] - _NUDGE) * scale)
        empty = shares[1:] == shares[:-1]
        starts[empty] = ends[empty] = (starts[empty] + ends[empty]) / 2
        matched[..., channel] = _look_up(face[..., channel], starts, ends)
    return matched


def cumulative(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(_BINS + 1,) share of the weight that lies below each bin's edge, 0 to 1."""
    counts = np.bincount(_bin_of(values).ravel(), weights=weights.ravel(), minlength=_BINS)
    shares = np.concatenate([[0.0], np.cumsum(counts)])
    return shares / shares[-1]


def _bin_of(values: np.ndarray) -> np.ndarray:
    return np.minimum((values * _BINS).astype(np.int32), _BINS - 1)


def _inverse(shares: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """The values below which the `wanted` shares lie."""
    edges = np.arange(_BINS + 1) / _BINS
    first = int(np.searchsorted(shares, 0.0, side="right")) - 1  # where the lowest value starts
    last = int(np.searchsorted(shares, 1.0, side="left"))  # where the highest one ends
    return np.interp(wanted, shares[first : last + 1], edges[first : last + 1])


def _look_up(values: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """`values` 0..1 through a table of the bins' ends, linear inside each bin."""
    index = _bin_of(values)
    slopes = (ends - starts).astype(np.float32)
    return starts.astype(np.float32)[index] + (values * _BINS - index) * slopes[index]
