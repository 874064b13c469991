"""Facesets for training tests: heads of the 3-D mean face, drawn in flat colours, any number."""

from pathlib import Path

import cv2
import numpy as np

from facegraft.faces.align import align_matrix, warp_image
from facegraft.faces.face import Face, Origin
from facegraft.faces.faceset import Faceset, write_aligned
from facegraft.faces.landmarks import HEAD_3D, INNER_LIPS, LEFT_EYE, RIGHT_EYE, hull_mask
from facegraft.model_spec import FaceType
from facegraft.training.checkpoint import Checkpoint, load_checkpoint
from facegraft.training.params import TrainParams
from facegraft.training.run_params import resolve

FRAME = 200  # px

TINY = {  # the smallest networks that the options allow, and one thread
    "architecture": "df-ud",
    "resolution": 64,
    "ae_dims": 32,
    "e_dims": 16,
    "d_dims": 16,
    "d_mask_dims": 16,
    "batch_size": 2,
    "threads": 1,
    "device": "cpu",
}


def tiny_params(**values: object) -> TrainParams:
    """These networks with other options over them, as plain values or as members of choices."""
    return resolve({**TINY, **values})


def head_points(yaw: float, x: float = FRAME / 2, y: float = FRAME / 2) -> np.ndarray:
    """(68, 2) float32: the mean head turned by `yaw` degrees, about 100 px wide."""
    turn = np.radians(yaw)
    across = HEAD_3D[:, 0] * np.cos(turn) - HEAD_3D[:, 2] * np.sin(turn)
    points = np.stack([across, HEAD_3D[:, 1]], axis=1) * (100 / 147)  # the head is 147 mm wide
    return (points + (x, y)).astype(np.float32)


def head_frame(points: np.ndarray, skin: tuple[int, int, int]) -> np.ndarray:
    """(200, 200, 3) uint8 RGB: the head with eyes and mouth on a shaded background."""
    ramp = np.linspace(30, 90, FRAME, dtype=np.float32)
    frame = np.stack([np.tile(ramp, (FRAME, 1))] * 3, axis=2)
    hull = hull_mask(points, FRAME, FRAME)[..., None]
    frame = frame * (1 - hull) + np.array(skin, np.float32) * hull
    frame = np.ascontiguousarray(frame.round().astype(np.uint8))
    for part in (RIGHT_EYE, LEFT_EYE, INNER_LIPS):
        cv2.fillConvexPoly(frame, np.rint(points[part]).astype(np.int32), (30, 20, 60))
    return frame


def write_faceset(
    folder: Path,
    count: int,
    skin: tuple[int, int, int] = (210, 160, 130),
    face_type: FaceType = FaceType.FULL,
    size: int = 96,
) -> Faceset:
    """`count` heads from looking left to looking right."""
    folder.mkdir(parents=True, exist_ok=True)
    for i, yaw in enumerate(np.linspace(-30, 30, count)):
        points = head_points(float(yaw))
        matrix = align_matrix(points, face_type, size)
        image = warp_image(
            head_frame(points, skin), matrix, size, size, cv2.INTER_CUBIC, cv2.BORDER_REPLICATE
        )
        box = (*points.min(axis=0).tolist(), *points.max(axis=0).tolist())
        origin = Origin("drawn", f"{i:05d}", i, f"{i}/25", FRAME, FRAME, "drawn")
        write_aligned(
            folder / f"{i:05d}_0.png", image, Face(points, box, 1.0), face_type, matrix, origin
        )
    return Faceset.open(folder)


def two_sides(folder: Path) -> tuple[Faceset, Faceset]:
    """src and dst, skin told apart by colour."""
    return (
        write_faceset(folder / "src", 5, (210, 160, 130)),
        write_faceset(folder / "dst", 4, (120, 150, 190)),
    )


def saved(run: Path) -> Checkpoint:
    """The run's last save, which must be there."""
    checkpoint = load_checkpoint(run, print)
    assert checkpoint is not None
    return checkpoint
