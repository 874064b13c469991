"""Finds the faces of a frame and their 68 landmarks: the default backend.

Boxes at two sizes of the frame (`boxes.py`), the mesh on each (`mesh.py`), the mesh once more on
the square of its own points, which takes out the jitter of the box, then the 68 points
(`mesh68.py`). Where the two passes disagree, or nothing is found, the frame is searched in quarter
turns too and the steadiest answer wins. Both networks are MediaPipe's, installed by
`facegraft weights fetch`. Takes uint8 RGB frames, gives Face values in frame pixels, corner
convention.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from facegraft import weights
from facegraft.errors import ParameterError
from facegraft.faces.boxes import (
    CLOSE_SIDE,
    LARGE_SIDE,
    SMALL_SIDE,
    BoxFinder,
    Candidate,
    distinct,
    drop_repeats,
    turn_back,
)
from facegraft.faces.face import Face
from facegraft.faces.mesh import MeshNetwork, Square, square_of_candidate, square_of_mesh
from facegraft.faces.mesh68 import to_68

_PRESENCE = 0.5  # least probability of a face in the mesh's crop
# How far the second mesh lies from the first, in sizes of the face, tells a face the right way up
# (0.01) from one that the networks took for upright (0.05); their own scores do not.
_STEADY = 0.025
_STEADY_TURNED = 0.05  # for what only a turned look found
_DRIFT_SCALE = 0.05  # where certainty has fallen to 1/e
_TURNS = range(1, 4)  # quarter turns of the frame, besides upright


@dataclass(frozen=True, slots=True, eq=False)
class _Sighting:
    face: Face
    drift: float  # between the two passes of the mesh, in sizes of the face
    certainty: float


class FaceDetector:
    """Keeps two network sessions; one per thread, or shared: detection holds no state."""

    name = "blazeface-mesh 1"

    def __init__(
        self, weights_folder: Path | None = None, small_faces: bool = False, threads: int = 0
    ) -> None:
        """`small_faces` reads the frame in tiles: faces from 1/80 of its width, at twice the time.

        Raises: MissingWeights, BadWeights, MissingExtra (no onnxruntime).
        """
        self._boxes = BoxFinder(weights.require("face_det_full", weights_folder), threads)
        self._mesh = MeshNetwork(weights.require("face_mesh_attn", weights_folder), threads)
        self._small_faces = small_faces

    def detect(self, image_u8: np.ndarray, max_faces: int = 0) -> list[Face]:
        """Faces of a (H, W, 3) uint8 RGB frame, largest first, at most `max_faces` (0: all).

        Raises: ParameterError if the array is no such frame.
        """
        if image_u8.dtype != np.uint8 or image_u8.ndim != 3 or image_u8.shape[2] != 3:
            raise ParameterError(
                f"a frame is (H, W, 3) uint8 RGB; got {image_u8.shape} {image_u8.dtype}"
            )
        if 0 in image_u8.shape:
            return []
        found = self._landmarks(image_u8, self._upright(image_u8))
        if not found or any(sighting.drift > _STEADY for sighting in found):
            # what only a turned look sees must be steady: it may be a hand or a cushion
            again = self._landmarks(image_u8, self._turned(image_u8))
            found += [sighting for sighting in again if sighting.drift <= _STEADY_TURNED]
        boxes = np.array([sighting.face.box for sighting in found]).reshape(-1, 4)
        certainty = np.array([sighting.certainty for sighting in found])
        faces = [found[i].face for i in distinct(boxes, certainty)]
        faces.sort(key=lambda face: -face.size_px)
        return faces[:max_faces] if max_faces else faces

    def fit(self, image_u8: np.ndarray, square: Square) -> Face | None:
        """The face that somebody says is in `square` of an RGB frame; None where there is none.

        Two passes of the mesh, as for a found face; the score is the second one's probability.
        """
        first, _ = self._mesh.run(image_u8, [square])
        (mesh,), (flag,) = self._mesh.run(image_u8, [square_of_mesh(first[0])])
        if flag <= _PRESENCE:
            return None
        points = to_68(mesh)
        box = (*points.min(axis=0).tolist(), *points.max(axis=0).tolist())
        return Face(points, box, flag, points)

    def _upright(self, image_u8: np.ndarray) -> list[Candidate]:
        candidates = self._boxes.at_side(image_u8, SMALL_SIDE)
        if max(image_u8.shape) > SMALL_SIDE:
            look = self._boxes.in_tiles if self._small_faces else self._boxes.at_side
            candidates += look(image_u8, LARGE_SIDE)
        return drop_repeats(candidates)

    def _turned(self, image_u8: np.ndarray) -> list[Candidate]:
        """Faces on their side or upside down, and those too large for the first look.

        Repeats stay: the mesh decides which way up a face is.
        """
        candidates = self._boxes.at_side(image_u8, CLOSE_SIDE)
        for turns in _TURNS:
            turned = np.ascontiguousarray(np.rot90(image_u8, turns))
            candidates += turn_back(self._boxes.at_side(turned, SMALL_SIDE), turns, image_u8)
        return candidates

    def _landmarks(self, image_u8: np.ndarray, candidates: Sequence[Candidate]) -> list[_Sighting]:
        first, _ = self._mesh.run(image_u8, [square_of_candidate(c) for c in candidates])
        second, flags = self._mesh.run(image_u8, [square_of_mesh(mesh) for mesh in first])
        found = []
        for candidate, rough, mesh, flag in zip(candidates, first, second, flags, strict=True):
            if flag > _PRESENCE:
                points = to_68(mesh)
                x0, y0 = points.min(axis=0).tolist()
                x1, y1 = points.max(axis=0).tolist()
                face = Face(points, (x0, y0, x1, y1), candidate.score, points)
                moved = float(np.linalg.norm(mesh - rough, axis=1).mean())
                drift = moved / max(face.size_px, 1e-6)
                found.append(
                    _Sighting(face, drift, candidate.score * flag * math.exp(-drift / _DRIFT_SCALE))
                )
        return found
