"""One frame merged at the depth and in the space of its file, with what became of its faces."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from facegraft.faces.align import compose
from facegraft.faces.face import Face
from facegraft.inference import SwapModel
from facegraft.media.images import to_depth
from facegraft.media.source import Frame
from facegraft.merge.area import face_area
from facegraft.merge.extras import NO_EXTRAS, FrameExtras
from facegraft.merge.frame import MergedFace, merge_frame
from facegraft.merge.params import MergeMode, MergeParams


@dataclass(frozen=True, slots=True, eq=False)
class MergedPixels:
    """What outputs are made from.

    pixels: (H, W, 3) and matte: (H, W), both of the dtype of the frame's pixels, in its space.
    faces:  of the whole frame: landmarks in its px, matrices from its px to squares 0..1.
    """

    pixels: np.ndarray
    matte: np.ndarray
    faces: tuple[MergedFace, ...] = ()


def merge_whole(
    frame: Frame,
    faces: Sequence[Face],
    model: SwapModel,
    params: MergeParams,
    extras: FrameExtras = NO_EXTRAS,
) -> MergedPixels:
    """The frame with its faces merged; only the rectangle around them is converted to float.

    A pixel whose matte is 0, or rounds to it in whole numbers, keeps its value to the bit. Where
    the alpha of a premultiplied frame is 0 there is no picture to swap, and the matte is 0.
    Raises: as `merge_frame`.
    """
    pixels = frame.pixels
    matte = np.zeros(pixels.shape[:2], pixels.dtype)
    area = face_area(frame, faces, model, params, extras)
    if area is None:
        return MergedPixels(pixels, matte)
    merged = merge_frame(area.image, area.faces, model, params, area.extras)
    place, covered = area.place, merged.matte
    if frame.premultiplied and frame.alpha is not None:
        covered = np.where(frame.alpha[place] > 0, covered, np.float32(0))
    matte[place] = covered if frame.is_float else to_depth(covered, 8 * pixels.dtype.itemsize)
    done = tuple(_in_frame(face, place[1].start, place[0].start) for face in merged.faces)
    if params.mode is MergeMode.ORIGINAL:
        return MergedPixels(pixels, matte, done)
    result = pixels.copy()
    changed = (matte[place] > 0).view(np.uint8)
    values = np.ascontiguousarray(frame.from_display(merged.result, place), pixels.dtype)
    # OpenCV, since numpy broadcasts a mask over channels five times as slowly
    result[place] = cv2.copyTo(values, changed, np.ascontiguousarray(result[place]))
    return MergedPixels(result, matte, done)


def _in_frame(merged: MergedFace, left: int, top: int) -> MergedFace:
    """The same face counted from the corner of the frame instead of that of the rectangle."""
    shift = np.array([[1.0, 0, -left], [0, 1.0, -top]])
    face = merged.face
    x0, y0, x1, y1 = face.box
    return replace(
        merged,
        face=replace(
            face,
            landmarks=face.landmarks + np.array([left, top], np.float32),
            box=(x0 + left, y0 + top, x1 + left, y1 + top),
        ),
        into_square=compose(merged.into_square, shift),
        pasted_square=compose(merged.pasted_square, shift),
    )
