"""Landmarks of an upright mean face anywhere in a frame, for tests that need no picture of one."""

import math

import numpy as np

from facegraft.faces.landmarks import MEAN_FACE


def mean_landmarks(x: float, y: float, size: float, degrees: float = 0.0) -> np.ndarray:
    """(68, 2) float32, the mean face `size` px wide, its middle at (x, y), turned clockwise.

    The jaw, which the mean face has not, is half an ellipse under it.
    """
    angle = np.linspace(np.pi, 0, 17)
    jaw = np.stack([0.5 + 0.6 * np.cos(angle), 0.2 + 0.85 * np.sin(angle)], axis=-1)
    points = (np.concatenate([jaw, MEAN_FACE]) - 0.5) * size
    turn = math.radians(degrees)
    matrix = np.array([[math.cos(turn), math.sin(turn)], [-math.sin(turn), math.cos(turn)]])
    return (points @ matrix + (x, y)).astype(np.float32)
