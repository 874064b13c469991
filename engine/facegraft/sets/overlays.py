"""A faceset's pictures with what is known of them drawn in, for people to check.

Green: the landmarks. Blue: the outline of the stored mask, else of the hull that stands in for it.
Yellow: polygons marked as face; red: as no face.
"""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from facegraft.errors import ParameterError
from facegraft.faces.align import transform_points
from facegraft.faces.face import AlignedFace
from facegraft.faces.faceset import Faceset, encode_image, read_image, read_mask
from facegraft.faces.landmarks import hull_mask
from facegraft.faces.overlay import POINT, SQUARE
from facegraft.files import write_atomic
from facegraft.progress import Progress, Silent
from facegraft.sets.work import on_all_cores

FACE, NO_FACE = (255, 220, 0), (255, 40, 40)  # RGB
_BITS = 4  # cv2 draws at 1/16 px
_INSIDE = 127  # of 255: where a mask's outline runs


def write_overlays(faceset: Faceset, folder: Path, progress: Progress | None = None) -> int:
    """Write a drawn-on copy of each face, of the same name and without metadata, into `folder`.

    Raises: ParameterError where `folder` is the set itself or has files, BadAlignedImage,
    WriteError, Cancelled.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ParameterError(f"{folder} is not empty; choose a new folder for the overlays")

    def work(face: AlignedFace) -> None:
        write_atomic(folder / face.path.name, encode_image(draw_overlay(face), face.path.suffix))

    stopped = f"stopped; {folder} has the faces so far"
    return len(on_all_cores(work, list(faceset), progress or Silent(), "faces drawn", stopped))


def draw_overlay(face: AlignedFace) -> np.ndarray:
    """(S, S, 3) uint8 RGB. Raises: BadAlignedImage."""
    canvas = read_image(face)
    width = max(1, round(face.size / 256))
    points = transform_points(face.landmarks.astype(np.float64), face.frame_to_aligned)
    outlines, _ = cv2.findContours(_mask(face, points), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(canvas, outlines, -1, SQUARE, width, cv2.LINE_AA)
    for polygon in face.polygons:
        color = FACE if polygon.is_face else NO_FACE
        corners = _fixed(np.array(polygon.points, np.float64).reshape(-1, 2))
        cv2.polylines(canvas, [corners], True, color, width, cv2.LINE_AA, _BITS)
    _draw_points(canvas, points, width)
    return canvas


def _draw_points(canvas: np.ndarray, points: np.ndarray, width: int) -> None:
    centres: Sequence[list[int]] = _fixed(points).tolist()
    for centre in centres:
        cv2.circle(canvas, centre, (width << _BITS) + 8, POINT, -1, cv2.LINE_AA, _BITS)


def _mask(face: AlignedFace, points: np.ndarray) -> np.ndarray:
    """(S, S) uint8, 1 inside."""
    mask = read_mask(face)
    if mask is None:
        hull = hull_mask(points.astype(np.float32), face.size, face.size, face.brow_amount)
        return (hull > _INSIDE / 255).astype(np.uint8)
    mask = cv2.resize(mask, (face.size, face.size), interpolation=cv2.INTER_LINEAR)
    return (mask > _INSIDE).astype(np.uint8)


def _fixed(points: np.ndarray) -> np.ndarray:
    """Corner convention to cv2's pixel centres, in fixed point."""
    return np.rint((points - 0.5) * (1 << _BITS)).astype(np.int32)
