"""The two values that everything about faces speaks in."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from facegraft.faces.landmarks import Pose, estimate_pose
from facegraft.model_spec import FaceType


@dataclass(frozen=True, slots=True, eq=False)
class Face:
    """A face found in a frame.

    landmarks:     (68, 2) float32, frame pixels, corner convention; smoothed along its track
                   where the frame was part of a clip.
    raw_landmarks: (68, 2) float32, as the network gave them, before smoothing.
    box:           (x0, y0, x1, y1) in frame pixels, brow to chin.
    """

    landmarks: np.ndarray
    box: tuple[float, float, float, float]
    score: float  # detector's confidence 0..1
    raw_landmarks: np.ndarray | None = None
    track: int = -1  # number of its track in the clip; -1 outside a clip
    held: bool = False  # not found in this frame but put in between frames where it was

    @property
    def pose(self) -> Pose:
        return estimate_pose(self.landmarks)

    @property
    def size_px(self) -> float:
        """Longer side of the box."""
        x0, y0, x1, y1 = self.box
        return max(x1 - x0, y1 - y0)

    def __repr__(self) -> str:
        x0, y0, x1, y1 = (round(v) for v in self.box)
        return f"Face({x0},{y0} to {x1},{y1}, score {self.score:.2f}, track {self.track})"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an aligned face came from; faces of other programs may not know all of it."""

    source_name: str  # file name of the clip or image
    frame_name: str  # stem of the image, or zero-padded index of the movie frame
    frame_index: int  # -1 where unknown
    pts: str  # exact seconds as a fraction, "7/25"; "" where unknown
    frame_width: int  # px; 0 where unknown
    frame_height: int
    detector: str  # name and version of what found it


@dataclass(frozen=True, slots=True)
class Polygon:
    """A part of the square that somebody marked by hand as face, or as not face."""

    is_face: bool  # False: a hole, which wins over all that is marked as face
    points: tuple[tuple[float, float], ...]  # aligned px, corner convention


@dataclass(frozen=True, slots=True, eq=False)
class AlignedFace:
    """A face in its square, as a faceset keeps it; the image is read when asked for.

    landmarks:        (68, 2) float32 in *frame* pixels, like `face.landmarks`.
    frame_to_aligned: (2, 3) float64, frame pixels to this square of `size` px.
    imported:         JSON values of another program's that have no place here, for the way back.
    mask_by:          what computed the stored mask, as "run ben_mask"; "" where a person drew it,
                      another program did, or there is none.
    """

    path: Path
    face: Face
    face_type: FaceType
    size: int  # px, side of the stored image
    frame_to_aligned: np.ndarray
    pose: Pose
    origin: Origin
    digest: str = field(default="", repr=False)  # sha256 of the encoded picture, first 16 digits
    brow_amount: float = 1.0  # how far the hull mask raises the brows, see `raise_brows`
    polygons: tuple[Polygon, ...] = ()
    imported: Mapping[str, Any] = field(default_factory=dict, repr=False)
    mask_by: str = ""

    @property
    def landmarks(self) -> np.ndarray:
        return self.face.landmarks
