"""A faceset at another size or as another face type, from its own pictures.

The new square is cut out of the stored one; mask and polygons come along, and the landmarks, which
count in the frame, stay. What the stored square does not show is black, as beyond a frame's edge:
to a larger face type it is better to extract the clip again.
"""

import math
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from facegraft.errors import ParameterError
from facegraft.faces.align import compose, scaled, transform_points, warp_image_once
from facegraft.faces.face import AlignedFace, Polygon
from facegraft.faces.faceset import (
    Faceset,
    aligned_bytes,
    encode_image,
    encode_mask,
    read_image,
    read_mask,
    reframe_matrix,
)
from facegraft.model_spec import FaceType
from facegraft.progress import Progress, Silent
from facegraft.sets.journal import Operation, operation
from facegraft.sets.work import on_all_cores

MIN_SIZE, MAX_SIZE = 32, 4096  # px
_BEYOND_LEAST = 0.02  # of the square's side that lies beyond the stored one and counts as cut


@dataclass(frozen=True, slots=True)
class Reframed:
    """What was done."""

    face_count: int
    same_count: int  # had that size and type already and kept their bytes
    beyond_count: int  # have a black margin, since their picture does not show that much


def reframe_faceset(
    faceset: Faceset,
    target: Path,
    size: int | None = None,
    face_type: FaceType | None = None,
    progress: Progress | None = None,
) -> Reframed:
    """Write the faces with a side of `size` px and as `face_type` into the folder `target`.

    `target` may be the set's own folder: the former pictures come back by undo. None leaves a face
    as it is in that respect. Raises: ParameterError for a size outside its range and for names
    that are taken in another folder, BadAlignedImage, SetInUse, WriteError, Cancelled.
    """
    if size is not None and not MIN_SIZE <= size <= MAX_SIZE:
        raise ParameterError(f"size is {size} px; faces have {MIN_SIZE} to {MAX_SIZE}")
    in_place = _is_same_folder(faceset.folder, target)
    what = " ".join(str(v) for v in (face_type, size and f"{size} px") if v)
    with operation(target, f"resize to {what}", create=True) as op:
        if not in_place:
            refuse_taken(op, [face.path.name for face in faceset])

        def work(face: AlignedFace) -> tuple[bool, bool]:
            return _reframe_into(op, face, face_type or face.face_type, size or face.size, in_place)

        done = on_all_cores(work, list(faceset), progress or Silent(), "faces resized")
    return Reframed(len(done), sum(same for same, _ in done), sum(cut for _, cut in done))


def reframed(
    face: AlignedFace, face_type: FaceType, size: int
) -> tuple[AlignedFace, np.ndarray, np.ndarray | None]:
    """The face in another square: its values, its picture (size, size, 3) uint8 RGB and, where one
    is stored, its mask (size, size) uint8. Raises: BadAlignedImage.
    """
    matrix = reframe_matrix(face, face_type, size)
    image = _warped(read_image(face), matrix, size, cv2.INTER_CUBIC)
    mask = read_mask(face)
    if mask is not None:  # it may be smaller than the picture
        to_square = compose(matrix, scaled(np.eye(2, 3), face.size / mask.shape[1]))
        mask = _warped(mask, to_square, size, cv2.INTER_LINEAR)
    changed = replace(
        face,
        face_type=face_type,
        size=size,
        frame_to_aligned=compose(matrix, face.frame_to_aligned),
        polygons=tuple(moved_polygon(polygon, matrix) for polygon in face.polygons),
    )
    return changed, image, mask


def moved_polygon(polygon: Polygon, matrix: np.ndarray) -> Polygon:
    """The polygon in another square, through a (2, 3) matrix."""
    points = transform_points(np.array(polygon.points, np.float64).reshape(-1, 2), matrix)
    return Polygon(polygon.is_face, tuple((float(x), float(y)) for x, y in points))


def refuse_taken(op: Operation, names: list[str]) -> None:
    """Raises: ParameterError where the operation's folder has one of these files."""
    taken = [name for name in names if op.path(name).exists()]
    if taken:
        raise ParameterError(
            f"{op.folder} holds {taken[0]} already, and {len(taken) - 1} more of these names; "
            "choose an empty folder"
        )


def _reframe_into(
    op: Operation, face: AlignedFace, face_type: FaceType, size: int, in_place: bool
) -> tuple[bool, bool]:
    """Gives whether the face had that framing already, and whether it shows a black margin now."""
    is_same = face_type is face.face_type and size == face.size
    if is_same and in_place:
        return True, False
    changed, image, mask = reframed(face, face_type, size)
    encoded = encode_image(image, face.path.suffix)
    _, data = aligned_bytes(changed, encoded, b"" if mask is None else encode_mask(mask))
    op.write(face.path.name, data)
    return is_same, _reaches_beyond(face, face_type, size)


def _reaches_beyond(face: AlignedFace, face_type: FaceType, size: int) -> bool:
    """Does the new square show more than the stored one by a visible margin?"""
    to_stored = cv2.invertAffineTransform(reframe_matrix(face, face_type, size))
    corners = np.array([[0, 0], [size, 0], [size, size], [0, size]], np.float64)
    places = transform_points(corners, to_stored)
    return bool(max(-places.min(), places.max() - face.size) > _BEYOND_LEAST * face.size)


def _warped(image: np.ndarray, matrix: np.ndarray, size: int, interpolation: int) -> np.ndarray:
    """uint8 through `matrix` into (size, size); what gets smaller is averaged, at any ratio."""
    shrink = 1 / math.sqrt(abs(np.linalg.det(matrix[:, :2])))
    finer = max(1, math.ceil(shrink - 1e-6))  # the finer square is not smaller than the picture
    warped = warp_image_once(
        image.astype(np.float32),  # rounded once, at the end: twice would brighten by half a step
        scaled(matrix, finer), size * finer, size * finer, interpolation, cv2.BORDER_CONSTANT,
    )  # fmt: skip
    if finer > 1:
        warped = cv2.resize(warped, (size, size), interpolation=cv2.INTER_AREA)
    return np.rint(np.clip(warped, 0, 255)).astype(np.uint8)


def _is_same_folder(folder: Path, target: Path) -> bool:
    return target.exists() and folder.resolve() == target.resolve()
