"""What is measured of a picture's colours: weighted mean, covariance, and a sample of its pixels.

`weights` (H, W) 0..1 say how much each pixel counts; where they are 0 it counts nothing at all.
"""

import numpy as np

LEAST_WEIGHT = 16.0  # pixels, after `thin`; fewer say nothing about a face's colour
_MOST_SIDE = 256  # px that are counted along a side: more tell no more about a face's colours


def thin(*pictures: np.ndarray) -> list[np.ndarray]:
    """Every k-th pixel of each picture (all of one size), so that no side is above 256 px.

    Pixels are taken, not averaged: averaging would narrow the spread of the colours.
    """
    step = -(-max(pictures[0].shape[:2]) // _MOST_SIDE)
    return [picture[step // 2 :: step, step // 2 :: step] for picture in pictures]


def mean_covariance(image: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(3,) mean and (3, 3) covariance, float64, of an (H, W, 3) picture under weights."""
    colors = image.reshape(-1, 3).astype(np.float64)
    shares = weights.reshape(-1).astype(np.float64)
    shares /= shares.sum()
    mean = shares @ colors
    colors -= mean
    return mean, (colors * shares[:, None]).T @ colors


def sample(image: np.ndarray, weights: np.ndarray, count: int) -> np.ndarray:
    """(count, 3) float32: colours that stand for the picture, spread over it in reading order.

    Each pixel is drawn as often as its weight asks, always the same ones: nothing is random.
    """
    below = np.cumsum(weights.reshape(-1).astype(np.float64))
    places = (np.arange(count) + 0.5) * (below[-1] / count)
    return image.reshape(-1, 3)[np.searchsorted(below, places)]
