"""The part of a frame that its faces touch: only this is ever converted to float and merged."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from facegraft.faces.face import Face
from facegraft.inference import SwapModel
from facegraft.media.source import Frame
from facegraft.merge.extras import FrameExtras
from facegraft.merge.frame import reach
from facegraft.merge.params import MergeParams


@dataclass(frozen=True, slots=True, eq=False)
class FaceArea:
    """A rectangle of a frame with what belongs to it, in its own pixel coordinates.

    image: (h, w, 3) float32 RGB, display-referred, unclipped. place: where it lies in the frame.
    """

    image: np.ndarray
    faces: tuple[Face, ...]
    extras: FrameExtras
    place: tuple[slice, slice]


def face_area(
    frame: Frame,
    faces: Sequence[Face],
    model: SwapModel,
    params: MergeParams,
    extras: FrameExtras,
) -> FaceArea | None:
    """What a merge of `faces` reads or writes; None where there is no face, or none in sight."""
    x0, y0, x1, y1 = reach(faces, model, params, frame.pixels.shape, extras)
    if x0 == x1:
        return None
    place = np.s_[y0:y1, x0:x1]
    if extras.host_matte is not None:
        extras = replace(extras, host_matte=extras.host_matte[place])
    return FaceArea(
        frame.display(place), tuple(_moved(face, -x0, -y0) for face in faces), extras, place
    )


def _moved(face: Face, dx: int, dy: int) -> Face:
    x0, y0, x1, y1 = face.box
    return replace(
        face,
        landmarks=face.landmarks + np.array([dx, dy], np.float32),
        box=(x0 + dx, y0 + dy, x1 + dx, y1 + dy),
    )
