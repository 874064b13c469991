"""Colour transfers of whole distributions: colours flow along many lines, rank to rank.

Projected on a line, one distribution goes to another by giving the k-th smallest value the k-th
smallest place. Doing so along ever other lines, a part of the way each time, carries one cloud of
colours over into another: Pitié, Kokaram, Dahyot, "N-dimensional probability density function
transfer", 2005 (idt), and Rabin et al., "Wasserstein barycenter and its application to texture
mixing", 2011 (sot). A sample of the pixels flows, and the nodes of a lattice are taken along; the
lattice is the map. The cost is the same for any size of picture, equal colours stay equal, and as
a lattice is smooth no grain is stretched. All directions are fixed, so that a frame always gives
the same map.

All take `face`, `reference` (H, W, 3) float32 RGB 0..1 and `weights` (H, W), not empty.
"""

import numpy as np

from facegraft.merge.color.lab import from_lab, to_lab
from facegraft.merge.color.lattice import LatticeMap, fit_lattice
from facegraft.merge.color.statistics import sample

SAMPLES = 4096  # pixels that stand for a face
_BINS = 128  # steps of a displacement along one line
_SPAN_FLOOR = 1e-4  # of a bin's line: a flat face has one place only
IDT_ROUNDS = 20
IDT_STEP = (
    0.25  # of the way in each round: 1 - 0.75^20, all of it. DeepFaceLab's 1/20 stops at 64 %
)
SOT_STEPS = 10
SOT_LINES = 10  # a step, spread evenly: as near as the 30 random ones that DeepFaceLab draws
SOT_BLUR = 1 / 16  # of the side: DeepFaceLab's 16 px at 256
MIX_LINES = 5
MIX_SPREAD_FLOOR = 1.0  # Lab units; what is flatter would need steeper curves than a lattice holds


def iterative_distribution(
    face: np.ndarray, reference: np.ndarray, weights: np.ndarray
) -> LatticeMap:
    """Along the three axes of one rotation after the other."""
    return _fit(face, reference, weights, _rotations(IDT_ROUNDS), IDT_STEP, blur=0.0)


def sliced_transport(face: np.ndarray, reference: np.ndarray, weights: np.ndarray) -> LatticeMap:
    """Along many lines at once, their mean; the change is blurred over the picture.

    The blur is DeepFaceLab's (a bilateral filter so wide in colour that it is a Gaussian): without
    it small differences of skin would be stretched into blotches.
    """
    return _fit(face, reference, weights, sot_bundles(), 1 / SOT_LINES, SOT_BLUR)


def sot_bundles() -> np.ndarray:
    """(SOT_STEPS, SOT_LINES, 3) unit vectors: one even bundle of lines, turned in each step."""
    return np.array([_half_sphere(SOT_LINES) @ r for r in _rotations(SOT_STEPS)])


def mixed(face: np.ndarray, reference: np.ndarray, weights: np.ndarray) -> LatticeMap:
    """Lightness by mean and spread, tint (the ab of Lab) by sliced transport in its plane."""
    own, other = sample(face, weights, SAMPLES), sample(reference, weights, SAMPLES)
    own_lab, other_lab = to_lab(own[None])[0], to_lab(other[None])[0]
    gain = other_lab[:, 0].std() / max(own_lab[:, 0].std(), MIX_SPREAD_FLOOR)
    angles = np.pi * (np.arange(SOT_STEPS * MIX_LINES) + 0.5) / (SOT_STEPS * MIX_LINES)
    lines = np.column_stack([np.cos(angles), np.sin(angles)]).astype(np.float32)
    bundles = lines.reshape(MIX_LINES, SOT_STEPS, 2).transpose(1, 0, 2)  # each spread evenly

    def move(nodes: np.ndarray) -> np.ndarray:
        lab = to_lab(nodes[None])[0]
        lab[:, 0] = (lab[:, 0] - own_lab[:, 0].mean()) * gain + other_lab[:, 0].mean()
        lab[:, 1:] = flow(own_lab[:, 1:], other_lab[:, 1:], lab[:, 1:], bundles, 1 / MIX_LINES)
        return from_lab(lab[None])[0]

    return fit_lattice(own, move)


def _fit(
    face: np.ndarray,
    reference: np.ndarray,
    weights: np.ndarray,
    bundles: np.ndarray,
    share: float,
    blur: float,
) -> LatticeMap:
    own, other = sample(face, weights, SAMPLES), sample(reference, weights, SAMPLES)
    return fit_lattice(own, lambda nodes: flow(own, other, nodes, bundles, share), blur)


def flow(
    source: np.ndarray, target: np.ndarray, points: np.ndarray, bundles: np.ndarray, share: float
) -> np.ndarray:
    """`points` (M, D) taken along while `source` (N, D) moves to where `target` (N, D) lies.

    bundles: (steps, lines, D) unit vectors; in each step the displacements along its lines are
    added up, `share` of each.
    """
    count = len(source)
    moving = np.concatenate([source, points]).astype(np.float32)
    for lines in bundles.astype(np.float32):
        at = lines @ moving.T  # (lines, N + M)
        wanted = np.sort(lines @ target.T, axis=1)
        moving += np.float32(share) * (_displaced(at, count, wanted).T @ lines)
    return moving[count:]


def _displaced(at: np.ndarray, count: int, wanted: np.ndarray) -> np.ndarray:
    """(lines, N + M) displacements of the values `at`, of which the first `count` are to go, rank
    to rank, to `wanted` (lines, N), sorted.

    A curve of bins is made of them: the mean displacement of each bin, linear in between.
    """
    own = np.sort(at[:, :count], axis=1)
    low = own[:, :1]
    width = np.maximum(own[:, -1:] - low, _SPAN_FLOOR) / _BINS
    bins = np.minimum(((own - low) / width).astype(np.int32), _BINS - 1)
    bins += np.arange(len(at), dtype=np.int32)[:, None] * _BINS
    total = np.bincount(bins.ravel(), (wanted - own).ravel(), bins.shape[0] * _BINS)
    filled = np.bincount(bins.ravel(), minlength=bins.shape[0] * _BINS)
    curves = _through_gaps(total.reshape(-1, _BINS), filled.reshape(-1, _BINS))
    place = np.clip((at - low) / width - np.float32(0.5), 0, _BINS - 1)
    below = np.minimum(place.astype(np.int32), _BINS - 2)
    place -= below
    below += np.arange(len(at), dtype=np.int32)[:, None] * _BINS
    start, end = curves.ravel()[below], curves.ravel()[below + 1]
    return start + (end - start) * place


def _through_gaps(total: np.ndarray, filled: np.ndarray) -> np.ndarray:
    """(lines, _BINS) float32 means of the bins; an empty one lies on the line between the next."""
    places = np.arange(_BINS)
    curves = np.empty(total.shape, np.float32)
    for curve, sums, counts in zip(curves, total, filled, strict=True):
        known = np.flatnonzero(counts)
        curve[:] = np.interp(places, known, sums[known] / counts[known])
    return curves


def _rotations(count: int) -> np.ndarray:
    """(count, 3, 3) float32 rotations, the same each time."""
    draws = np.random.default_rng(0).normal(size=(count, 3, 3))
    return np.linalg.qr(draws)[0].astype(np.float32)


def _half_sphere(count: int) -> np.ndarray:
    """(count, 3) float32 unit vectors, spread evenly over half a sphere: a golden spiral."""
    z = (np.arange(count) + 0.5) / count
    angle = np.pi * (1 + np.sqrt(5)) * np.arange(count)
    radius = np.sqrt(1 - z**2)
    lines = np.column_stack([radius * np.cos(angle), radius * np.sin(angle), z])
    return lines.astype(np.float32)
