"""Small facesets without torch: mean faces cut from frames whose colours say where they are.

Red is the frame's x, green its y (px), so that any square cut from it tells its own framing.
"""

from pathlib import Path

import cv2
import numpy as np

from facegraft.faces.align import align_matrix, warp_image
from facegraft.faces.face import AlignedFace, Face, Origin
from facegraft.faces.faceset import write_aligned
from facegraft.model_spec import FaceType
from tests.engine.mean_faces import mean_landmarks

FRAME = 240  # px; colours up to 239


def ramp_frame() -> np.ndarray:
    """(240, 240, 3) uint8 RGB: the pixel's x, its y, and a constant."""
    x, y = np.meshgrid(np.arange(FRAME, dtype=np.uint8), np.arange(FRAME, dtype=np.uint8))
    return np.ascontiguousarray(np.stack([x, y, np.full_like(x, 90)], axis=2))


def face_of(x: float = 120.0, y: float = 120.0, size: float = 70.0, track: int = 0) -> Face:
    points = mean_landmarks(x, y, size)
    (x0, y0), (x1, y1) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
    return Face(points, (x0, y0, x1, y1), 0.9, track=track)


def write_face(
    path: Path,
    face: Face | None = None,
    face_type: FaceType = FaceType.WHOLE_FACE,
    size: int = 96,
    clip: str = "clip.mov",
    frame: str = "00000",
    index: int = 0,
) -> AlignedFace:
    face = face or face_of()
    matrix = align_matrix(face.landmarks, face_type, size)
    image = warp_image(ramp_frame(), matrix, size, size, cv2.INTER_CUBIC)
    origin = Origin(clip, frame, index, f"{index}/25", FRAME, FRAME, "drawn")
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_aligned(path, image, face, face_type, matrix, origin)


def write_set(folder: Path, count: int = 4, suffix: str = ".png", **values) -> Path:
    """`count` faces of one clip, each a little larger than the one before."""
    for n in range(count):
        face = face_of(size=60 + 2 * n)
        write_face(folder / f"{n:05d}_0{suffix}", face, frame=f"{n:05d}", index=n, **values)
    return folder


def file_bytes(folder: Path) -> dict[str, bytes]:
    """The set's faces by name, whole files."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}
