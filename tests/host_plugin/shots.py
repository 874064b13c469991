"""Shots for the node's tests: pictures, faces, a model, and what the engine makes of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from facegraft.controls import parse_values
from facegraft.faces.align import align_matrix
from facegraft.faces.face import Origin
from facegraft.faces.faceset import Faceset, write_aligned
from facegraft.inference import SwapModel
from facegraft.merge.extras import NO_EXTRAS, FrameExtras
from facegraft.merge.frame import MergedFrame, merge_frame
from facegraft.merge.params import MergeParams
from facegraft.model_spec import FaceType, ModelSpec
from tests.drawn_faces import face_at
from tests.engine.tiny_dfm import write_dfm
from tests.synthetic import numbered_frames

WIDTH, HEIGHT = 160, 96
FRAMES = 5
SPEC = ModelSpec("df", 64, FaceType.FULL, 16, 16, 16, 4)


@dataclass(frozen=True, slots=True)
class Shot:
    """A clip as PNG files, the faces in it, and a model that inverts colours."""

    folder: Path
    frames: list[np.ndarray]  # (H, W, 3) uint8 RGB
    faces: Path  # faceset folder; the last frame has no face in it
    model: Path

    @property
    def source(self) -> str:
        return str(self.folder / "src_0001.png")

    def request(self, nodes: list[dict[str, Any]], **values: Any) -> dict[str, Any]:
        """A request for in_blender.py; a node without a model or faces gets the shot's own."""
        own = {"from": "source", "model": str(self.model), "faces": str(self.faces)}
        return {
            "source": self.source,
            "frames": len(self.frames),
            "size": [WIDTH, HEIGHT],
            "nodes": [{**own, **node} for node in nodes],
            "format": "EXR",
            "output": str(self.folder / "out_"),
            "blend": str(self.folder / "shot.blend"),
            **values,
        }

    def expected(
        self,
        index: int,
        params: Mapping[str, Any],
        image: np.ndarray | None = None,
        extras: FrameExtras = NO_EXTRAS,
    ) -> MergedFrame:
        """Frame `index` merged by the engine in this process, display-referred.

        `image`: what enters the node where it is not the source.
        """
        if image is None:
            image = self.frames[index].astype(np.float32) / 255
        stored = Faceset.open(self.faces).by_frame_index().get(index, [])
        model = SwapModel.open(self.model)
        faces = [aligned.face for aligned in stored]
        return merge_frame(image, faces, model, parse_values(MergeParams, params), extras)


def make_shot(folder: Path, count: int = FRAMES) -> Shot:
    folder.mkdir(parents=True, exist_ok=True)
    frames = numbered_frames(count, WIDTH, HEIGHT)
    faces = folder / "faces"
    faces.mkdir()
    for index, frame in enumerate(frames):
        cv2.imwrite(str(folder / f"src_{index + 1:04d}.png"), frame[..., ::-1])
        if index == count - 1:
            continue
        face = face_at(60 + 10 * index, 55, 40)
        matrix = align_matrix(face.landmarks, FaceType.FULL, 64)
        square = cv2.warpAffine(frame, matrix, (64, 64))
        name = f"src_{index + 1:04d}"
        origin = Origin("src_####.png", name, index, f"{index}/25", WIDTH, HEIGHT, "drawn 1")
        write_aligned(faces / f"{name}_0.png", square, face, FaceType.FULL, matrix, origin)
    y, x = np.mgrid[0:64, 0:64] - 31.5
    disc = (np.hypot(x, y) < 24).astype(np.float32)
    model = write_dfm(folder / "negative.dfm", 64, (-1, -1, -1), (1, 1, 1), disc, disc, spec=SPEC)
    return Shot(folder, frames, faces, model)
