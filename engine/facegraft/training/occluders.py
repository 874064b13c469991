"""Things that pass in front of faces, drawn: hands, bars and blobs, for training masks.

Outlines are drawn by OpenCV from a random generator, a few convex or smooth shapes each, so that
equal seeds give equal pictures on every machine. What fills them is the caller's.
"""

import cv2
import numpy as np
from numpy.random import Generator

_SHIFT = 4  # OpenCV's fixed point: sixteenths of a pixel
HARMONICS = 4  # of a blob's outline


def draw_occluder(size: int, random: Generator) -> np.ndarray:
    """(size, size) float32 0..1: where the thing is, with soft edges."""
    canvas = np.zeros((size, size), np.uint8)
    draw = (_hand, _hand, _blob, _bar, _polygon)[random.integers(5)]
    draw(canvas, random)
    softness = random.uniform(0.3, 1.5) * size / 256  # px, as a lens or a codec leaves edges
    mask = cv2.GaussianBlur(canvas, (0, 0), softness)
    return mask.astype(np.float32) / 255


def _place(size: int, random: Generator) -> np.ndarray:
    """A centre, mostly over the lower part of the face, where hands, cups and microphones go."""
    return np.array([random.uniform(0.1, 0.9), random.uniform(0.25, 1.0)]) * size


def _hand(canvas: np.ndarray, random: Generator) -> None:
    """A palm, three to five fingers fanned out from it, and an arm: thick lines and an ellipse."""
    size = len(canvas)
    centre, angle = _place(size, random), random.uniform(0, 2 * np.pi)
    palm = random.uniform(0.06, 0.16) * size
    thick = palm * random.uniform(0.35, 0.6)
    axes = (palm * random.uniform(0.8, 1.2), palm)
    cv2.ellipse(canvas, (tuple(centre), (2 * axes[0], 2 * axes[1]), np.degrees(angle)), 255, -1)
    fan = random.uniform(0.0, 0.9)  # radians between the outer fingers; 0: closed
    count = int(random.integers(3, 6))
    for k, turn in enumerate(np.linspace(-fan, fan, count)):
        direction = np.array([np.cos(angle + turn), np.sin(angle + turn)])
        across = np.array([-np.sin(angle), np.cos(angle)]) * (k - (count - 1) / 2) * thick * 0.95
        tip = centre + across + direction * palm * random.uniform(1.6, 2.8)
        _line(canvas, centre + across * 0.9, tip, thick)
    wrist = centre - np.array([np.cos(angle), np.sin(angle)]) * 2 * size  # out of the picture
    _line(canvas, centre, wrist, palm * random.uniform(1.1, 1.6))


def _bar(canvas: np.ndarray, random: Generator) -> None:
    """A stick, a microphone's stand, a strand of hair: a line across the picture."""
    size = len(canvas)
    centre, angle = _place(size, random), random.uniform(0, np.pi)
    reach = np.array([np.cos(angle), np.sin(angle)]) * random.uniform(0.2, 2) * size
    back = reach * random.choice([0.0, 1.0])  # one end in the picture, or none
    _line(canvas, centre - back, centre + reach, random.uniform(0.015, 0.15) * size)


def _blob(canvas: np.ndarray, random: Generator) -> None:
    """A smooth closed outline: a circle whose radius a few waves change."""
    size = len(canvas)
    turn = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    radius = np.ones_like(turn)
    for k in range(1, HARMONICS + 1):
        radius += random.uniform(0, 0.35) / k * np.cos(k * turn + random.uniform(0, 2 * np.pi))
    radius *= random.uniform(0.05, 0.28) * size
    outline = np.stack([np.cos(turn) * random.uniform(0.5, 1.5), np.sin(turn)], 1)
    _fill(canvas, _place(size, random) + outline * radius[:, None])


def _polygon(canvas: np.ndarray, random: Generator) -> None:
    """A flat thing with corners: paper, a phone, a cup."""
    size = len(canvas)
    turn = np.sort(random.uniform(0, 2 * np.pi, int(random.integers(3, 7))))
    radius = random.uniform(0.06, 0.35) * size
    _fill(canvas, _place(size, random) + np.stack([np.cos(turn), np.sin(turn)], 1) * radius)


def _line(canvas: np.ndarray, start: np.ndarray, end: np.ndarray, thick: float) -> None:
    first, last = (np.rint(p * (1 << _SHIFT)).astype(int).tolist() for p in (start, end))
    cv2.line(canvas, first, last, 255, max(1, round(thick)), cv2.LINE_AA, _SHIFT)


def _fill(canvas: np.ndarray, points: np.ndarray) -> None:
    fixed = np.rint(points * (1 << _SHIFT)).astype(np.int32)
    cv2.fillPoly(canvas, [fixed], 255, cv2.LINE_AA, _SHIFT)
