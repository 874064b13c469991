"""Labelled faces: which of a set they are, and each as a uint8 square with its label.

A face is labelled by its polygons, or else by its stored mask; masks that a network computed count
only where they are asked for, and outlines of landmarks need no label at all.
"""

import hashlib
from collections.abc import Sequence

import cv2
import numpy as np

from facegraft.errors import BadAlignedImage, EmptyFaceset
from facegraft.faces.align import compose, scaled, transform_points, warp_image
from facegraft.faces.face import AlignedFace
from facegraft.faces.faceset import read_image, read_mask, reframe_matrix
from facegraft.faces.landmarks import hull_mask
from facegraft.faces.metadata import read_mask_file
from facegraft.faces.polygons import polygon_mask
from facegraft.model_spec import FaceType
from facegraft.training.mask_params import Labels

CHANNELS = 5  # red, green, blue, face, known: where there is a label at all


def labelled_faces(faces: Sequence[AlignedFace], labels: Labels) -> list[AlignedFace]:
    """Those that have a label of this kind.

    Raises: EmptyFaceset with the next step where there is none; BadAlignedImage.
    """
    if labels is Labels.HULL:
        return list(faces)
    masked = {face.path for face in faces if read_mask_file(face.path) is not None}
    found = [
        face
        for face in faces
        if has_polygons(face)
        or (face.path in masked and (labels is Labels.STORED or not face.mask_by))
    ]
    if found:
        return found
    folders = ", ".join(sorted({str(face.path.parent) for face in faces}))
    if masked:
        raise EmptyFaceset(
            f"no face in {folders} is labelled by a person: the {len(masked)} stored masks were "
            "computed by a network. Label some faces with `facegraft mask edit`, or learn from "
            "these masks with --labels stored"
        )
    raise EmptyFaceset(
        f"no face in {folders} has a label. Draw polygons on 10 or more with `facegraft mask "
        "edit`, or begin without labels, from the landmarks' outlines, with --labels hull"
    )


def has_polygons(face: AlignedFace) -> bool:
    return any(len(polygon.points) > 2 for polygon in face.polygons)


def load_labelled(
    face: AlignedFace, face_type: FaceType, resolution: int, margin: int, labels: Labels
) -> np.ndarray:
    """(S, S, 5) uint8 in the training framing, S = resolution + 2 margin px: RGB, face, and where
    the label is known: nowhere beyond the stored square. Raises: BadAlignedImage.
    """
    side = resolution + 2 * margin
    matrix = reframe_matrix(face, face_type, resolution)
    matrix[:, 2] += margin
    square = np.empty((side, side, CHANNELS), np.uint8)
    square[..., :3] = warp_image(
        read_image(face), matrix, side, side, cv2.INTER_CUBIC, cv2.BORDER_REPLICATE
    )
    if labels is Labels.HULL:
        points = transform_points(face.landmarks, compose(matrix, face.frame_to_aligned))
        square[..., 3] = np.rint(hull_mask(points, side, side, face.brow_amount) * 255)
        square[..., 4] = 255
        return square
    label = stored_label(face)
    across = face.size / label.shape[1]  # it may be smaller than the picture
    to_square = compose(matrix, scaled(np.eye(2, 3), across))
    for channel, plane in ((3, label), (4, np.full_like(label, 255))):
        square[..., channel] = warp_image(plane, to_square, side, side, cv2.INTER_LINEAR)
    return square


def stored_label(face: AlignedFace) -> np.ndarray:
    """(H, W) uint8, 255 face, of the whole square: the polygons', or else the stored mask.

    Raises: BadAlignedImage naming the file, for a damaged mask and for one that is not square.
    """
    if has_polygons(face):
        _check_polygons(face)
        return polygon_mask(face.polygons, face.size)
    mask = read_mask(face)
    if mask is None:
        raise BadAlignedImage(f"{face.path} lost its label; label it again")
    if mask.shape[0] != mask.shape[1]:
        raise BadAlignedImage(
            f"{face.path}: the stored mask has {mask.shape[1]}x{mask.shape[0]} px, and the mask of "
            "a square is square; make it again"
        )
    return mask


def _check_polygons(face: AlignedFace) -> None:
    """Raises: BadAlignedImage where every point lies outside, as after a resize by hand."""
    points = np.concatenate([np.array(p.points) for p in face.polygons if p.points])
    if not np.isfinite(points).all():
        raise BadAlignedImage(f"{face.path}: a polygon's point is no number; label it again")
    if not ((points >= 0) & (points <= face.size)).all(axis=1).any():
        low, high = points.min(axis=0), points.max(axis=0)
        raise BadAlignedImage(
            f"{face.path}: its polygons lie at {low[0]:.0f},{low[1]:.0f} to {high[0]:.0f},"
            f"{high[1]:.0f}, outside the square of {face.size} px; label it again"
        )


def labels_digest(faces: Sequence[AlignedFace], labels: Labels) -> str:
    """sha256 over pictures and labels: what a mask run was made from."""
    text = hashlib.sha256(labels.encode())
    for face in faces:
        text.update(face.digest.encode())
        for polygon in face.polygons:
            text.update(repr((polygon.is_face, polygon.points)).encode())
        text.update(read_mask_file(face.path) or b"")
    return text.hexdigest()
