"""One aligned face between DeepFaceLab's values and ours.

DeepFaceLab counts pixels from centres, we from corners: a point moves by half a pixel, and a matrix
moves its source and its target by half a pixel each. The picture is the same, byte by byte, so what
lies on a pixel there lies on it here. (Its crops lie half a pixel off ours for the same landmarks,
since it sends the square's corner to the first pixel's centre; the imported matrix says so.)
"""

import math
import re
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from facegraft.dfl.aligned import DflFace
from facegraft.errors import DflFormatError
from facegraft.faces.align import compose, fit_similarity, invert, transform_points
from facegraft.faces.face import AlignedFace, Face, Origin, Polygon
from facegraft.media.source import SourceInfo
from facegraft.model_spec import FaceType

DETECTOR = "deepfacelab"
MISFIT = 0.02  # of the square: a matrix that leaves the landmarks farther off belongs to another
_TO_CENTER = np.array([[1, 0, -0.5], [0, 1, -0.5]])  # our point to its
_TO_CORNER = np.array([[1, 0, 0.5], [0, 1, 0.5]])
_FACE_TYPES = {
    "half_face": FaceType.HALF,
    "midfull_face": FaceType.MID_FULL,
    "full_face": FaceType.FULL,
    "full_face_no_align": FaceType.FULL,
    "whole_face": FaceType.WHOLE_FACE,
    "head": FaceType.HEAD,
    "head_no_align": FaceType.HEAD,
}
_NAMES = {kind: name for name, kind in reversed(_FACE_TYPES.items())}  # the aligned one of two
_KEPT = ("face_type", "source_filename", "source_rect")  # what has no place in our metadata


def face_type_of(name: str, where: str) -> FaceType:
    """Raises: DflFormatError for whole frames that carry a face's data, and for unknown names."""
    if name not in _FACE_TYPES:
        raise DflFormatError(
            f"{where} is of the face type {name!r}; aligned faces are {', '.join(_FACE_TYPES)}"
        )
    return _FACE_TYPES[name]


def from_dfl(
    face: DflFace, path: Path, size: int, clip: SourceInfo | None, where: str
) -> AlignedFace:
    """The face for an image of `size` px that will be `path`; `clip` is what it was cut from.

    Raises: DflFormatError where nothing says how the square lies in the frame.
    """
    face_type = face_type_of(face.face_type, where)
    matrix = _matrix(face, size, where)
    in_frame = face.source_landmarks
    if in_frame is None:
        in_frame = transform_points(face.landmarks, invert(matrix))
    points = (in_frame + 0.5).astype(np.float32)
    (x0, y0), (x1, y1) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
    found = Face(points, (x0, y0, x1, y1), 1.0)
    return AlignedFace(
        path=path,
        face=found,
        face_type=face_type,
        size=size,
        frame_to_aligned=compose(_TO_CORNER, compose(matrix, _TO_CENTER)),
        pose=found.pose,
        origin=_origin(face.source_filename, clip),
        brow_amount=face.eyebrows_expand_mod,
        polygons=tuple(
            Polygon(kind == 1, tuple((x, y) for x, y in pts.tolist()))
            for kind, pts in face.polygons
        ),
        imported={
            "face_type": face.face_type,
            "source_filename": face.source_filename,
            "source_rect": None if face.source_rect is None else list(face.source_rect),
        },
    )


def _matrix(face: DflFace, size: int, where: str) -> np.ndarray:
    """The stored one, or where that is missing or another picture's, the one of the landmarks."""
    stored, in_frame = face.image_to_face_mat, face.source_landmarks
    if stored is not None and abs(np.linalg.det(stored[:, :2])) < 1e-12:  # nothing to invert
        stored = None
    if in_frame is None:
        if stored is None:
            raise DflFormatError(f"{where} says neither how it lies in its frame nor the landmarks")
        return stored
    if stored is not None:
        away = np.abs(transform_points(in_frame, stored) - face.landmarks).max()
        if away <= MISFIT * size:
            return stored
    if not np.ptp(in_frame, axis=0).all():
        raise DflFormatError(f"{where}: its source_landmarks lie in one place")
    return fit_similarity(in_frame, face.landmarks)


def _origin(source_filename: str, clip: SourceInfo | None) -> Origin:
    """DeepFaceLab numbers the frames of a movie from 1; other numbers are taken the same way."""
    stem = Path(source_filename.replace("\\", "/")).stem
    digits = re.search(r"(\d+)$", stem)
    index = int(digits[1]) - 1 if digits and len(digits[1]) < 10 else -1
    if clip is None:
        return Origin(source_filename, stem, index, "", 0, 0, DETECTOR)
    index = index if 0 <= index < clip.frame_count else -1
    pts = str(Fraction(index) / clip.fps) if index >= 0 else ""
    return Origin(clip.path.name, stem, index, pts, clip.width, clip.height, DETECTOR)


def to_dfl(aligned: AlignedFace, mask: bytes) -> DflFace:
    """`mask`: the image file of the stored mask, b"" where there is none."""
    matrix = compose(_TO_CENTER, compose(aligned.frame_to_aligned, _TO_CORNER))
    in_frame = aligned.landmarks.astype(np.float64) - 0.5
    kept = {key: aligned.imported.get(key) for key in _KEPT}
    face = DflFace(
        face_type=_NAMES[aligned.face_type],
        landmarks=transform_points(in_frame, matrix),
        source_filename=f"{aligned.origin.frame_name}.png",  # DeepFaceLab matches by the stem
        source_landmarks=in_frame,
        source_rect=aligned.face.box,
        image_to_face_mat=matrix,
        eyebrows_expand_mod=aligned.brow_amount,
        polygons=tuple((int(p.is_face), np.array(p.points)) for p in aligned.polygons),
        xseg_mask=mask,
    )
    if _FACE_TYPES.get(_text(kept["face_type"])) is aligned.face_type:
        face = replace(face, face_type=kept["face_type"])
    if _text(kept["source_filename"]):
        face = replace(face, source_filename=kept["source_filename"])
    if rect := _rect(kept["source_rect"]):
        face = replace(face, source_rect=rect)
    return face


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _rect(value: Any) -> tuple[float, ...] | None:
    if not isinstance(value, list) or len(value) != 4:
        return None
    is_good = all(isinstance(v, int | float) and math.isfinite(v) for v in value)
    return tuple(value) if is_good else None
