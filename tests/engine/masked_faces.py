"""Labelled facesets for mask tests: drawn heads with polygons or stored masks."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from facegraft.controls import parse_values
from facegraft.faces.align import transform_points
from facegraft.faces.face import AlignedFace, Polygon
from facegraft.faces.faceset import Faceset, rewritten
from facegraft.faces.landmarks import hull_mask
from facegraft.files import write_atomic
from facegraft.training.mask_params import MaskTrainParams
from tests.engine.training_faces import write_faceset

TINY_MASK = {  # the smallest run that the options allow, on one thread
    "resolution": 64,
    "face_type": "full",
    "batch_size": 2,
    "threads": 1,
    "device": "cpu",
    "learning_rate": 1e-3,
}
SQUARE = ((20.0, 20.0), (70.0, 20.0), (70.0, 80.0), (20.0, 80.0))
HOLE = ((40.0, 60.0), (60.0, 60.0), (60.0, 75.0), (40.0, 75.0))


def tiny_mask_params(**values: object) -> MaskTrainParams:
    return parse_values(MaskTrainParams, {**TINY_MASK, **values})


def store(face: AlignedFace, mask: np.ndarray | None) -> None:
    """What `face` says and this (H, W) uint8 mask into its file."""
    write_atomic(face.path, rewritten(face, mask))


def with_polygons(folder: Path, count: int = 4) -> Faceset:
    """Faces of which all but the last have a square label with a hole."""
    faces = write_faceset(folder, count)
    for face in faces[:-1]:
        store(replace(face, polygons=(Polygon(False, HOLE), Polygon(True, SQUARE))), None)
    return Faceset.open(folder)


def with_hulls(folder: Path, count: int = 4, mask_by: str = "") -> Faceset:
    """Faces with their drawn head's outline as a stored mask."""
    for face in write_faceset(folder, count):
        points = transform_points(face.landmarks, face.frame_to_aligned)
        hull = np.rint(hull_mask(points, face.size, face.size) * 255).astype(np.uint8)
        store(replace(face, mask_by=mask_by), hull)
    return Faceset.open(folder)
