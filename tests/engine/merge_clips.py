"""Clips of drawn faces on disk for the tests of whole merges: PNG sequences and a faceset."""

from pathlib import Path

import cv2
import numpy as np

from facegraft.extract import ExtractParams, extract_faces
from facegraft.media.images import write_image
from facegraft.media.open import open_source
from tests.drawn_faces import DiscDetector, draw_face
from tests.synthetic import picture

WIDTH, HEIGHT = 160, 120
FACELESS = 3  # index of the frame without a face


def frames_with_faces(count: int = 6, dtype: type = np.uint8) -> list[np.ndarray]:
    """(HEIGHT, WIDTH, 3) RGB; one face that moves right by 4 px a frame, none in FACELESS."""
    frames = []
    for index in range(count):
        image = picture(WIDTH, HEIGHT, 0.1)
        if index != FACELESS:
            draw_face(image, 60 + 4 * index, 55, 40)
        frames.append(image if dtype is np.uint8 else image.astype(np.uint16) * 257 + 3)
    return frames


def write_sequence(folder: Path, frames: list[np.ndarray], first: int = 1001) -> Path:
    """shot.1001.png and on; returns the folder."""
    for number, image in enumerate(frames, first):
        write_image(folder / f"shot.{number:04d}.png", image)
    return folder


def make_faceset(clip: Path, folder: Path) -> Path:
    """Extract the drawn faces of a clip."""
    with open_source(clip) as source:
        extract_faces(source, folder, ExtractParams(image_size=64, smooth=0), DiscDetector())
    return folder


def oval_mask(size: int = 64) -> np.ndarray:
    mask = np.zeros((size, size), np.float32)
    cv2.ellipse(mask, (size // 2, size // 2), (size // 4, size // 3), 0, 0, 360, (1.0,), -1)
    return cv2.GaussianBlur(mask, (0, 0), 1.5)
