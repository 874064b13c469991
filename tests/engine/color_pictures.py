"""Pictures and measures that the tests of colours share."""

import cv2
import numpy as np


def textured(seed: int, low: float, high: float, size: int = 96) -> np.ndarray:
    """(size, size, 3) float32 smooth noise, every channel spread evenly over low..high."""
    noise = np.random.default_rng(seed).normal(size=(size, size, 3)).astype(np.float32)
    noise = cv2.GaussianBlur(noise, (0, 0), 5).reshape(-1, 3)
    ranks = noise.argsort(axis=0).argsort(axis=0).astype(np.float32) / len(noise)
    return low + (high - low) * ranks.reshape(size, size, 3)


def skin(seed: int, mean: tuple[float, float, float], spread: float, size: int = 96) -> np.ndarray:
    """(size, size, 3) float32 smooth noise about a colour, its channels going much together."""
    rng = np.random.default_rng(seed)
    shade, tint = rng.normal(size=(size, size, 1)), rng.normal(size=(size, size, 3))
    noise = np.concatenate([shade, tint], axis=2).astype(np.float32)
    noise = cv2.GaussianBlur(noise, (0, 0), 4)
    noise /= noise.std(axis=(0, 1))
    return np.array(mean, np.float32) + np.float32(spread) * (noise[..., :1] + 0.4 * noise[..., 1:])


def soft_disc(size: int = 96) -> np.ndarray:
    """(size, size) float32 mask with a soft edge, 0 at the corners."""
    mask = np.zeros((size, size), np.float32)
    cv2.circle(mask, (size // 2, size * 11 // 24), size * 5 // 16, (1.0,), -1)
    return cv2.GaussianBlur(mask, (0, 0), 2)


def apart(own: np.ndarray, other: np.ndarray) -> float:
    """Sliced Wasserstein distance of two clouds (N, D) of equal weight: the root mean square, over
    lines, of how far the sorted projections lie from each other."""
    lines = np.random.default_rng(5).normal(size=(48, own.shape[1]))
    lines /= np.linalg.norm(lines, axis=1, keepdims=True)
    a, b = np.sort(own @ lines.T, axis=0), np.sort(other @ lines.T, axis=0)
    return float(np.sqrt(np.mean((a - b) ** 2)))
