"""Layers of a merged frame, computed from the frame and what the merge gave, written by no one yet.

The face layer is premultiplied and made for `out = layer + plate * (1 - matte)` in the numbers of
the file that it goes to, which then is the merged picture: `scene` numbers for EXR and float TIFF
(the clip's own where it is float, else scene-linear Rec. 709), `display` numbers 0..1 for the rest.
"""

from dataclasses import replace

import cv2
import numpy as np

from facegraft.media.color import srgb_decode
from facegraft.media.images import to_unit
from facegraft.media.source import LARGEST, Frame
from facegraft.merge.frame import MergedFace
from facegraft.merge.mask.occlusion import occlusion_layer
from facegraft.merge.out.merged import MergedPixels


def face_layer(frame: Frame, merged: MergedPixels, scene: bool) -> np.ndarray:
    """(H, W, 3) float32, premultiplied by the matte, 0 where that is 0."""
    layer = np.zeros(frame.pixels.shape, np.float32)
    x, y, width, height = cv2.boundingRect((merged.matte > 0).astype(np.uint8))
    if not width:
        return layer
    area = np.s_[y : y + height, x : x + width]
    matte = to_unit(merged.matte[area])[..., None]
    plate = _numbers(frame, area, scene)
    result = _numbers(replace(frame, pixels=merged.pixels), area, scene)
    np.copyto(layer[area], result - plate * (1 - matte), where=matte > 0)
    return layer


def _numbers(frame: Frame, area: tuple[slice, slice], scene: bool) -> np.ndarray:
    """(h, w, 3) float32, finite: the rectangle as a file of that kind holds it."""
    values = frame.pixels[area]
    if not frame.is_float:
        if scene:
            return srgb_decode(frame.display(area))
        return to_unit(values)
    if scene:
        return np.nan_to_num(values, nan=0.0, posinf=LARGEST, neginf=-LARGEST)
    return np.clip(frame.display(area), 0, 1)


def square_numbers(frame: Frame, square: np.ndarray, scene: bool) -> np.ndarray:
    """(R, R, 3) float32: a network's display-referred square, as a file of that kind holds it."""
    if not scene:
        return square
    return frame.space.from_display(square) if frame.is_float else srgb_decode(square)


def occlusion(frame: Frame, faces: tuple[MergedFace, ...]) -> np.ndarray:
    """(H, W) float32 0..1: what is in front of the faces, see `mask/occlusion.py`."""
    seen = [
        (face.visible, face.face.landmarks, face.into_square)
        for face in faces
        if face.visible is not None
    ]
    return occlusion_layer(frame.pixels.shape, seen)
