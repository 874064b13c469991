"""Aligned faces whose pictures are known to the pixel, for what looks at whole sets."""

from pathlib import Path

import cv2
import numpy as np

from facegraft.faces.align import align_matrix
from facegraft.faces.face import AlignedFace, Face, Origin
from facegraft.faces.faceset import write_aligned
from facegraft.faces.landmarks import HEAD_3D
from facegraft.model_spec import FaceType

SIDE = 256  # px, of the stored squares


def turned(yaw: float = 0.0, pitch: float = 0.0) -> np.ndarray:
    """(68, 2) float32 landmarks of the mean head, turned by degrees, in a frame of 200 px."""
    a, b = np.radians(yaw), np.radians(pitch)
    x = HEAD_3D[:, 0] * np.cos(a) - HEAD_3D[:, 2] * np.sin(a)
    z = HEAD_3D[:, 0] * np.sin(a) + HEAD_3D[:, 2] * np.cos(a)
    y = HEAD_3D[:, 1] * np.cos(b) - z * np.sin(b)
    return (np.stack([x, y], axis=1) * (100 / 147) + 100).astype(np.float32)


def write_face(
    folder: Path,
    name: str,
    picture: np.ndarray | int | tuple[int, int, int] = 128,
    landmarks: np.ndarray | None = None,
    size_px: float = 100.0,
    score: float = 0.9,
    frame: int = 0,
    source: str = "clip.mp4",
    track: int = 0,
) -> AlignedFace:
    """`picture`: (SIDE, SIDE, 3) uint8 RGB, or one grey or colour for the whole square."""
    folder.mkdir(parents=True, exist_ok=True)
    points = turned() if landmarks is None else landmarks
    if not isinstance(picture, np.ndarray):
        picture = np.full((SIDE, SIDE, 3), picture, np.uint8)
    box = (10.0, 10.0, 10.0 + size_px, 10.0 + size_px * 0.9)
    matrix = align_matrix(points, FaceType.FULL, picture.shape[0])
    origin = Origin(source, f"{frame:05d}", frame, f"{frame}/25", 1920, 1080, "drawn 1")
    face = Face(points, box, score, track=track)
    return write_aligned(folder / name, picture, face, FaceType.FULL, matrix, origin)


def texture(seed: int = 0, grain: float = 1.0) -> np.ndarray:
    """(SIDE, SIDE, 3) uint8 grey: noise with detail of about `grain` px in every direction."""
    noise = np.random.default_rng(seed).standard_normal((SIDE, SIDE))
    smooth = cv2.GaussianBlur(noise, (0, 0), grain)
    gray = np.clip(128 + 40 * smooth / smooth.std(), 0, 255).astype(np.uint8)
    return np.repeat(gray[..., None], 3, axis=2)


def blurred(picture: np.ndarray, sigma: float) -> np.ndarray:
    """The picture out of focus; sigma 0 leaves it."""
    return cv2.GaussianBlur(picture, (0, 0), sigma) if sigma else picture


def moved(picture: np.ndarray, length: int, degrees: float) -> np.ndarray:
    """The picture with a motion blur of `length` px along a direction."""
    kernel = np.zeros((31, 31), np.float32)
    along = np.array([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))]) * (length / 2)
    middle = 15
    ends = [tuple(int(v) for v in np.rint((middle + sign * along) * 256)) for sign in (-1, 1)]
    cv2.line(kernel, ends[0], ends[1], 1.0, 1, cv2.LINE_8, 8)
    return cv2.filter2D(picture, -1, kernel / kernel.sum())
