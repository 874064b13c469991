"""Where a set's faces look: counts over yaw and pitch, and which poses of one set another lacks.

Degrees throughout; roll plays no part, since it is turned away when a face is aligned.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.spatial import KDTree

from facegraft.faces.face import AlignedFace

CELL = 5  # degrees
YAW_SPAN, PITCH_SPAN = 90, 60  # the map's ends; beyond them no landmarks are found
NEAR = 7.5  # degrees; farther from every face of src, a pose must be made up by the network


@dataclass(frozen=True, slots=True)
class Gap:
    """Poses of dst that src lacks, side by side: the ends of what they cover, degrees."""

    yaw: tuple[float, float]
    pitch: tuple[float, float]
    count: int  # faces of dst there
    farthest: float  # degrees from the nearest face of src, at most


@dataclass(frozen=True, eq=False)
class Coverage:
    """Of dst by src. distances: (N,) degrees from each face of dst to the nearest pose of src."""

    distances: np.ndarray
    gaps: tuple[Gap, ...]  # most faces first

    @property
    def covered(self) -> float:
        """Share of dst that has a src face nearby."""
        return float((self.distances <= NEAR).mean())


def poses_of(faces: Sequence[AlignedFace]) -> np.ndarray:
    """(N, 2) yaw and pitch."""
    return np.array([(face.pose.yaw, face.pose.pitch) for face in faces]).reshape(-1, 2)


def pose_map(poses: np.ndarray) -> np.ndarray:
    """(24 rows of pitch, 36 columns of yaw) int64: faces a cell of CELL degrees, from looking up
    to down and from left to right; those beyond the ends count in the outermost cells.
    """
    yaw = np.clip(poses[:, 0], -YAW_SPAN, YAW_SPAN - 1e-6)
    pitch = np.clip(poses[:, 1], -PITCH_SPAN, PITCH_SPAN - 1e-6)
    edges = (
        np.arange(-PITCH_SPAN, PITCH_SPAN + CELL, CELL),
        np.arange(-YAW_SPAN, YAW_SPAN + CELL, CELL),
    )
    return np.histogram2d(pitch, yaw, bins=edges)[0].astype(np.int64)


def cover(src: np.ndarray, dst: np.ndarray) -> Coverage:
    """How src's poses (N, 2) cover those of dst (M, 2)."""
    distances = KDTree(src).query(dst)[0]
    lacking = np.flatnonzero(distances > NEAR)
    gaps = []
    for members in _groups(dst[lacking]):
        places = lacking[members]
        yaw, pitch = dst[places, 0], dst[places, 1]
        gaps.append(
            Gap(
                yaw=(float(yaw.min()), float(yaw.max())),
                pitch=(float(pitch.min()), float(pitch.max())),
                count=len(places),
                farthest=float(distances[places].max()),
            )
        )
    return Coverage(distances, tuple(sorted(gaps, key=lambda gap: -gap.count)))


def _groups(points: np.ndarray) -> list[np.ndarray]:
    """Places of points that hang together, each within NEAR of another."""
    if not len(points):
        return []
    # by cells, since a long clip has too many pairs
    cells = np.floor(points / NEAR).astype(int)
    cells -= cells.min(axis=0)
    grid = np.zeros(cells.max(axis=0) + 1, bool)
    grid[cells[:, 0], cells[:, 1]] = True
    labels = np.empty(grid.shape, np.int32)
    ndimage.label(grid, structure=np.ones((3, 3)), output=labels)
    of_point = labels[cells[:, 0], cells[:, 1]]
    return [np.flatnonzero(of_point == n) for n in range(1, int(labels.max()) + 1)]
