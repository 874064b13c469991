"""Colour transfer: fit a face's colour to a reference picture of the same place.

A method takes `face` and `reference`, (H, W, 3) float32 RGB display-referred 0..1, and `weights`
(H, W) 0..1, which says how much each pixel counts in the statistics of both; it gives a new face of
the same kind. Where the weights are empty there is nothing to fit and the face comes back as is.
"""

from collections.abc import Callable

import cv2
import numpy as np

from facegraft.merge.params import ColorTransfer

_SIGMA_FLOOR = 0.1  # Lab units, too little to see: a flat channel is moved but not amplified
_LAB_LOW = np.array([0, -127, -127], np.float32)
_LAB_HIGH = np.array([100, 127, 127], np.float32)
_LEAST_WEIGHT = 16.0  # pixels; fewer say nothing about a face's colour

Method = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def transfer_color(
    method: ColorTransfer, face: np.ndarray, reference: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """`face` in the colours of `reference`; see the module for shapes."""
    if float(weights.sum()) < _LEAST_WEIGHT:
        return face
    return _METHODS[method](face, reference, weights)


def reinhard(face: np.ndarray, reference: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean and spread of each Lab channel, after Reinhard et al., "Color transfer between images",
    2001, in CIE Lab; only pixels inside the mask count, each by its weight."""
    face_lab = _lab(face)
    face_mean, face_sigma = weighted_mean_sigma(face_lab, weights)
    mean, sigma = weighted_mean_sigma(_lab(reference), weights)
    gain = (sigma / np.maximum(face_sigma, _SIGMA_FLOOR)).astype(np.float32)
    fitted = face_lab * gain + (mean - face_mean * gain).astype(np.float32)
    np.clip(fitted, _LAB_LOW, _LAB_HIGH, out=fitted)
    return np.clip(cv2.cvtColor(fitted, cv2.COLOR_Lab2RGB), 0, 1)


def _lab(image: np.ndarray) -> np.ndarray:
    """CIE Lab of (H, W, 3) float32 sRGB 0..1. The sRGB curve is computed here, since OpenCV's own
    goes through a table that is off by up to 0.6 Lab units."""
    linear = cv2.pow(image * np.float32(1 / 1.055) + np.float32(0.055 / 1.055), 2.4)
    np.copyto(linear, image * np.float32(1 / 12.92), where=image <= 0.04045)
    return cv2.cvtColor(linear, cv2.COLOR_LRGB2Lab)


def weighted_mean_sigma(image: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation per channel of (H, W, C), float64 (C,) each."""
    flat = image.reshape(-1, image.shape[2]).astype(np.float64)
    shares = weights.reshape(-1).astype(np.float64)
    shares = shares / shares.sum()
    mean = shares @ flat
    variance = shares @ (flat - mean) ** 2
    return mean, np.sqrt(variance)


_METHODS: dict[ColorTransfer, Method] = {
    ColorTransfer.NONE: lambda face, _reference, _weights: face,
    ColorTransfer.RCT: reinhard,
}
