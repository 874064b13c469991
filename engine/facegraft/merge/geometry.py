"""Where a face's square lies in the frame, and how pixels get from one to the other.

Two matrices belong to a face, both (2, 3) float64 from frame pixels to a square of `size` px:
`into` cuts out what the network sees, `placed` says where its picture is pasted. They differ by
the placement controls alone. Corner convention throughout, see `faces/align.py`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from facegraft.faces.align import (
    align_matrix,
    compose,
    invert,
    scaled,
    square_corners,
    transform_points,
    warp_image,
)
from facegraft.faces.face import Face
from facegraft.inference import SwapModel
from facegraft.merge.extras import NO_EXTRAS, FrameExtras
from facegraft.merge.params import FaceFraming, MergeMode, MergeParams
from facegraft.model_spec import FaceType

MARGIN = 2  # px of a mask's square, the reach of cubic sampling
_REACH_SHARE = 1 / 128  # of the square's side that sampling and the mask's margin reach beyond it

LARGEST = 65504.0  # of half floats; infinite pixels under a matte are read as it

Rect = tuple[int, int, int, int]  # x0, y0, x1, y1 in px, the last two exclusive
NOWHERE: Rect = (0, 0, 0, 0)


@dataclass(frozen=True, slots=True, eq=False)
class FaceSquare:
    """The two matrices of one face, for a square of `size` px."""

    size: int
    into: np.ndarray
    placed: np.ndarray

    def into_at(self, size: int) -> np.ndarray:
        """`into` for a square of another size."""
        return scaled(self.into, size / self.size)

    def placed_at(self, size: int) -> np.ndarray:
        return scaled(self.placed, size / self.size)


def framing(model: SwapModel, params: MergeParams) -> FaceType:
    """How the model frames a face: as the user says, else as it records, else whole face."""
    if params.face_type is not FaceFraming.AUTO:
        return FaceType(params.face_type.value)
    return model.spec.face_type if model.spec else FaceType.WHOLE_FACE


def face_square(face: Face, model: SwapModel, params: MergeParams) -> FaceSquare:
    """Where the model sees `face`, and where its picture goes."""
    size = model.resolution
    into = align_matrix(face.landmarks, framing(model, params), size)
    return FaceSquare(size, into, compose(invert(placement(params, size)), into))


def placement(params: MergeParams, size: int) -> np.ndarray:
    """(2, 3): where in the face's square, in px, a point of the pasted square comes to lie.

    Scale and rotation leave the square's centre, offsets go along the square's own axes.
    """
    scale = 1 + params.face_scale / 100
    angle = math.radians(params.face_rotation)  # y points down, so this turns clockwise
    turn = scale * np.array(
        [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]
    )
    center = np.full(2, size / 2)
    offset = np.array([params.face_offset_x, params.face_offset_y]) * size / 1000
    return np.column_stack([turn, center + offset - turn @ center])


def reach(
    faces: Sequence[Face],
    model: SwapModel,
    params: MergeParams,
    shape: tuple[int, ...],
    extras: FrameExtras = NO_EXTRAS,
) -> Rect:
    """Rectangle of an (H, W, ...) frame that a merge of `faces` reads or writes; empty for none.

    Pixels outside it may be left undefined by a caller who converts only what is needed. Raw
    predict lays its picture out over the frame, and so reaches all of it.
    """
    low, high = np.array(shape[1::-1]), np.zeros(2, int)
    for face, extra in zip(faces, extras.of_faces(len(faces)), strict=True):
        own = extra.params or params
        if own.mode is MergeMode.RAW_PREDICT:
            return (0, 0, shape[1], shape[0])
        square = face_square(face, extra.model or model, own)
        squares = [square_corners(matrix, square.size) for matrix in (square.into, square.placed)]
        if extras.segmenter is not None:
            seen = align_matrix(face.landmarks, extras.segmenter.face_type, 1)
            squares.append(square_corners(seen, 1))
        for corners in squares:
            margin = np.ptp(corners, axis=0).max() * _REACH_SHARE + 4
            low = np.minimum(low, np.floor(corners.min(axis=0) - margin).astype(int))
            high = np.maximum(high, np.ceil(corners.max(axis=0) + margin).astype(int))
    return clipped((int(low[0]), int(low[1]), int(high[0]), int(high[1])), shape)


def crop(image: np.ndarray, matrix: np.ndarray, size: int) -> np.ndarray:
    """(size, size, ...) float32 as `matrix` cuts it out, finite, with values above 1 kept.

    Past the frame's border it repeats the border, since black would come back as a dark line.
    """
    square = warp_image(image, matrix, size, size, border=cv2.BORDER_REPLICATE)
    return np.nan_to_num(square, copy=False)


def covered(shape: tuple[int, ...], matrix: np.ndarray, size: int) -> np.ndarray:
    """(size, size) float32, 1 where the square shows the frame and 0 where it looks past its
    border: what is made up there must not count in the statistics of the colours.
    """
    corners = square_corners(matrix, size)
    if corners.min() >= 0 and (corners <= (shape[1], shape[0])).all():
        return np.ones((size, size), np.float32)
    inside = warp_image(np.ones(shape[:2], np.uint8), matrix, size, size, cv2.INTER_NEAREST)
    return inside.astype(np.float32)


def paste(square: np.ndarray, matrix: np.ndarray, rect: Rect, border: int) -> np.ndarray:
    """A square through `matrix` (from the square to the frame), as the rectangle shows it."""
    x0, y0, x1, y1 = rect
    local = np.column_stack([matrix[:, :2], matrix[:, 2] - (x0, y0)])
    return warp_image(square, local, x1 - x0, y1 - y0, border=border)


def footprint(mask: np.ndarray, matrix: np.ndarray, shape: tuple[int, ...]) -> Rect:
    """Rectangle of the frame that a mask reaches through `matrix` (from its square to the frame);
    NOWHERE where it reaches nothing."""
    x, y, width, height = cv2.boundingRect((mask > 0).astype(np.uint8))
    if not width:
        return NOWHERE
    return bounds(x, y, x + width, y + height, matrix, shape)


def bounds(
    left: float, top: float, right: float, bottom: float, matrix: np.ndarray, shape: tuple[int, ...]
) -> Rect:
    """The frame's rectangle around one of the square, with room for cubic sampling."""
    x0, y0, x1, y1 = left - MARGIN, top - MARGIN, right + MARGIN, bottom + MARGIN
    corners = transform_points(np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]], float), matrix)
    low = np.floor(corners.min(axis=0)).astype(int) - 1
    high = np.ceil(corners.max(axis=0)).astype(int) + 1
    return clipped((int(low[0]), int(low[1]), int(high[0]), int(high[1])), shape)


def clipped(rect: Rect, shape: tuple[int, ...]) -> Rect:
    """The part of `rect` inside an (H, W, ...) frame."""
    x0, y0, x1, y1 = (
        max(rect[0], 0),
        max(rect[1], 0),
        min(rect[2], shape[1]),
        min(rect[3], shape[0]),
    )
    return (x0, y0, x1, y1) if x0 < x1 and y0 < y1 else NOWHERE


def union(a: Rect, b: Rect) -> Rect:
    """The rectangle around both; NOWHERE adds nothing."""
    if a == NOWHERE or b == NOWHERE:
        return a if b == NOWHERE else b
    return min(a[0], b[0]), min(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3])


def blend(below: np.ndarray, face: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """(h, w, 3) `below * (1 - alpha) + face * alpha`; broken pixels of `below` count as black, or
    as the largest half float."""
    part = cv2.merge((alpha, alpha, alpha))  # numpy broadcasts slowly over channels
    shown = face * part
    np.subtract(1, part, out=part)
    part *= finite(below)
    part += shown
    return part


def finite(pixels: np.ndarray) -> np.ndarray:
    """`pixels` themselves where all are finite, else a mended copy."""
    with np.errstate(invalid="ignore"):  # infinities of both signs
        total = pixels.sum()  # five times as quick as looking at every value
    if np.isfinite(total):
        return pixels
    return np.nan_to_num(pixels, nan=0.0, posinf=LARGEST, neginf=-LARGEST)
