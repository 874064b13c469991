"""Colour transfer: fit a face's colours to a reference picture of the same place.

`fit_transfer` gives a map, which is then applied to the face: the fit can be kept while other
controls change, and averaged over neighbouring frames (`maps.average_maps`).
"""

from collections.abc import Callable

import numpy as np

from facegraft.merge.color import linear, transport
from facegraft.merge.color.maps import IDENTITY, ColorMap
from facegraft.merge.color.statistics import LEAST_WEIGHT, thin
from facegraft.merge.params import ColorTransfer

Fit = Callable[[np.ndarray, np.ndarray, np.ndarray], ColorMap]

_METHODS: dict[ColorTransfer, Fit] = {
    ColorTransfer.RCT: linear.reinhard,
    ColorTransfer.LCT: linear.linear,
    ColorTransfer.MKL: linear.monge_kantorovich,
    ColorTransfer.MKL_M: linear.monge_kantorovich,
    ColorTransfer.IDT: transport.iterative_distribution,
    ColorTransfer.IDT_M: transport.iterative_distribution,
    ColorTransfer.SOT_M: transport.sliced_transport,
    ColorTransfer.MIX_M: transport.mixed,
}
# these count the whole square, as in DeepFaceLab; rct is masked there too
_UNMASKED = {ColorTransfer.LCT, ColorTransfer.MKL, ColorTransfer.IDT}


def counted(kind: ColorTransfer, mask: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """(H, W) float32 weights for `fit_transfer`: what a method counts.

    mask: (H, W) 0..1, where the face is; seen: (H, W) 0..1, 0 where the square looks past the
    frame, which no method counts.
    """
    return (seen if kind in _UNMASKED else mask * seen).astype(np.float32)


def fit_transfer(
    kind: ColorTransfer, face: np.ndarray, reference: np.ndarray, weights: np.ndarray
) -> ColorMap:
    """The map that gives `face` the colours of `reference`.

    face, reference: (H, W, 3) float32 RGB, display-referred; what exceeds 0..1 counts as clipped.
    weights: (H, W) 0..1, how much each pixel counts, in both pictures; see `counted`. Where they
    are empty there is nothing to fit: IDENTITY.
    """
    face, reference, weights = thin(face, reference, weights)
    if kind is ColorTransfer.NONE or float(weights.sum()) < LEAST_WEIGHT:
        return IDENTITY
    return _METHODS[kind](np.clip(face, 0, 1), np.clip(reference, 0, 1), weights)
