"""Affine colour transfers: closed forms from means and covariances.

rct: Reinhard, Ashikhmin, Gooch, Shirley, "Color transfer between images", 2001, in CIE Lab.
lct: whitening and colouring by the square roots of the covariances (Hertzmann's "PCA" form).
mkl: Pitié and Kokaram, "The linear Monge-Kantorovitch linear colour mapping", 2007: of all linear
maps from one covariance to the other the one that moves colours least.

All take `face`, `reference` (H, W, 3) float32 RGB 0..1 and `weights` (H, W), not empty.
"""

import numpy as np

from facegraft.merge.color.lab import to_lab
from facegraft.merge.color.maps import AffineMap
from facegraft.merge.color.statistics import mean_covariance

LAB_SPREAD_FLOOR = 0.1  # Lab units, too little to see: a flat channel is moved but not amplified
VARIANCE_FLOOR = 1e-5  # about one 8-bit level squared: the same for covariances


def reinhard(face: np.ndarray, reference: np.ndarray, weights: np.ndarray) -> AffineMap:
    """Mean and spread of each channel of Lab."""
    mean, covariance = mean_covariance(to_lab(face), weights)
    to_mean, to_covariance = mean_covariance(to_lab(reference), weights)
    gains = np.sqrt(np.diag(to_covariance)) / np.maximum(
        np.sqrt(np.diag(covariance)), LAB_SPREAD_FLOOR
    )
    return AffineMap(_about(np.diag(gains), mean, to_mean), in_lab=True)


def linear(face: np.ndarray, reference: np.ndarray, weights: np.ndarray) -> AffineMap:
    """Whiten by the square root of one covariance, colour by that of the other."""
    mean, covariance = mean_covariance(face, weights)
    to_mean, to_covariance = mean_covariance(reference, weights)
    matrix = _power(_floored(to_covariance), 0.5) @ _power(_floored(covariance), -0.5)
    return AffineMap(_about(matrix, mean, to_mean))


def monge_kantorovich(face: np.ndarray, reference: np.ndarray, weights: np.ndarray) -> AffineMap:
    """The linear map to the other covariance that moves colours least."""
    mean, covariance = mean_covariance(face, weights)
    to_mean, to_covariance = mean_covariance(reference, weights)
    root, inverse = _power(_floored(covariance), 0.5), _power(_floored(covariance), -0.5)
    matrix = inverse @ _power(root @ _floored(to_covariance) @ root, 0.5) @ inverse
    return AffineMap(_about(matrix, mean, to_mean))


def _about(matrix: np.ndarray, mean: np.ndarray, to_mean: np.ndarray) -> np.ndarray:
    """(3, 4): `matrix` about `mean`, which goes to `to_mean`."""
    return np.column_stack([matrix, to_mean - matrix @ mean])


def _floored(covariance: np.ndarray) -> np.ndarray:
    return covariance + VARIANCE_FLOOR * np.eye(3)


def _power(covariance: np.ndarray, exponent: float) -> np.ndarray:
    """A power of a symmetric positive matrix."""
    values, vectors = np.linalg.eigh(covariance)
    values = np.maximum(values, 1e-12) ** exponent  # rounding may leave a zero slightly negative
    return (vectors * values) @ vectors.T
