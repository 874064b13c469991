"""Histogram match: a face takes the distribution of values of a reference, channel by channel.

The classic quantile mapping: a value that is larger than the share q of the face's pixels becomes
the value that is larger than the share q of the reference's. `threshold` (0 to 255) scales q by
threshold / 255, so that lower values keep to the reference's darker part and hold back highlights.
"""

import numpy as np

_BINS = 1024  # four to an 8-bit step; inside a bin the mapping is linear, so no value is rounded


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
        shares = cumulative(face[..., channel], weights) * (threshold / 255)
        values = _inverse(cumulative(reference[..., channel], weights), shares)
        matched[..., channel] = _look_up(face[..., channel], values)
    return matched


def cumulative(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(_BINS + 1,) share of the weight that lies below each bin's edge, 0 to 1."""
    bins = np.minimum((values * _BINS).astype(np.int32), _BINS - 1)
    counts = np.bincount(bins.ravel(), weights=weights.ravel(), minlength=_BINS)
    shares = np.concatenate([[0.0], np.cumsum(counts)])
    return shares / shares[-1]


def _inverse(shares: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """The values below which the `wanted` shares lie."""
    edges = np.arange(_BINS + 1) / _BINS
    first = int(np.searchsorted(shares, 0.0, side="right")) - 1  # where the lowest value starts
    last = int(np.searchsorted(shares, 1.0, side="left"))  # where the highest one ends
    return np.interp(wanted, shares[first : last + 1], edges[first : last + 1])


def _look_up(values: np.ndarray, table: np.ndarray) -> np.ndarray:
    """`values` 0..1 through a table over the bins' edges, linear between them."""
    position = values * _BINS
    index = np.minimum(position.astype(np.int32), _BINS - 1)
    table = table.astype(np.float32)
    return table[index] + (position - index) * (table[index + 1] - table[index])
