"""A clip with a known disturbance on top, for benchmarks whose answer must stay what it was.

none    the clip itself
grain   independent noise in every pixel and frame, as of a fast film stock
passer  a dark disc that comes by in front of the face every second or so
"""

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np

from facegraft.faces.align import invert
from facegraft.media.source import Frame, FrameSource, SourceInfo

KINDS = ("none", "grain", "passer", "exposure")
GRAIN = 0.05  # of full scale, standard deviation
PERIOD, STAY = 16, 5  # frames from one passer to the next, and that it is in front of the face
RADIUS = 0.17  # of the face's square
COLOR = (0.05, 0.08, 0.2)  # RGB 0..1
SWING, PACE = 0.08, 0.31  # of the exposure: share either way, and periods a frame


@dataclass(frozen=True, slots=True)
class Disturbed:
    """`clip` disturbed; squares: (2, 3) for each frame, its px to the face's square 0..1."""

    clip: FrameSource
    kind: str
    squares: list[np.ndarray]

    @property
    def info(self) -> SourceInfo:
        return self.clip.info

    def __getitem__(self, index: int) -> Frame:
        frame = self.clip[index]
        pixels = frame.pixels.astype(np.float32) / 255
        match self.kind:
            case "grain":
                pixels += np.random.default_rng(index).normal(0, GRAIN, pixels.shape)
            case "passer":
                front = passer(self.kind, index, self.squares[index], pixels.shape)[..., None]
                pixels += front * (np.array(COLOR, np.float32) - pixels)
            case "exposure":
                pixels *= 1 + SWING * math.sin(2 * math.pi * PACE * index)
        return replace(frame, pixels=np.rint(np.clip(pixels, 0, 1) * 255).astype(np.uint8))


def passer(kind: str, index: int, square: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """(H, W) float32 0..1: where something passes in front of the face; all 0 where nothing does.

    It crosses from one cheek to the other, at another height each time.
    """
    front = np.zeros(shape[:2], np.uint8)
    turn, step = divmod(index, PERIOD)
    if kind != "passer" or step >= STAY:
        return front.astype(np.float32)
    place = np.array([(step + 0.5) / STAY, 0.4 + 0.1 * (turn % 4)])
    back = invert(square)
    x, y = back[:, :2] @ place + back[:, 2]
    radius = RADIUS * np.sqrt(np.linalg.det(back[:, :2]))
    cv2.circle(front, (round(x), round(y)), round(radius), 255, -1, cv2.LINE_AA)
    return front.astype(np.float32) / 255
