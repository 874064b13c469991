"""A small shot for the node: pictures, a faceset that knows where their faces are, and a model."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from facegraft.controls import parse_values
from facegraft.faces.align import align_matrix, warp_image
from facegraft.faces.face import Face, Origin
from facegraft.faces.faceset import Faceset, write_aligned
from facegraft.inference import SwapModel
from facegraft.merge.frame import merge_frame
from facegraft.merge.params import MergeParams
from facegraft.model_spec import FaceType
from facegraft_cli.ofx_host import GENERAL, OfxHost, Picture
from tests.drawn_faces import face_at
from tests.engine.merge_frames import make_image
from tests.engine.tiny_dfm import write_dfm

WIDTH, HEIGHT = 120, 90
FRAMES = 6
LARGEST = {"u1": 255, "u2": 65535, "f2": 1, "f4": 1}
# two faces; the second is smaller
PLACES = ((42, 46, 40), (95, 30, 24))


@dataclass(frozen=True, slots=True)
class Scene:
    model: Path
    faceset: Path

    def values(self, **others: Any) -> dict[str, Any]:
        """Parameters of the node that swap this shot's faces."""
        return {"model": str(self.model), "faceset": str(self.faceset), **others}

    def faces(self, frame: int) -> list[Face]:
        """As the faceset knows them."""
        stored = [a.face for a in Faceset.open(self.faceset) if a.origin.frame_index == frame]
        return sorted(stored, key=lambda face: -face.size_px)

    def merged(
        self, rgb: np.ndarray, frame: int = 0, faces: list[Face] | None = None, **params: Any
    ) -> tuple[np.ndarray, np.ndarray]:
        """(H, W, 3) display-referred result and (H, W) matte, by the engine in this process."""
        given = self.faces(frame) if faces is None else faces
        model = SwapModel.open(self.model)
        merged = merge_frame(
            np.ascontiguousarray(rgb), given, model, parse_values(MergeParams, params)
        )
        return merged.result, merged.matte


def make_scene(folder: Path) -> Scene:
    """Write model and faceset; a path with a space, an umlaut and a semicolon."""
    oval = np.zeros((64, 64), np.float32)
    cv2.ellipse(oval, (32, 33), (18, 23), 0, 0, 360, (1.0,), -1)
    oval = cv2.GaussianBlur(oval, (0, 0), 1.5)
    faceset = folder / "faces of the shot"
    faceset.mkdir(parents=True)
    name = "Größe 1; a=b.dfm"
    model = write_dfm(folder / name, 64, (0.6, 0.9, 1), (0.3, 0, -0.1), oval, oval)
    for frame in range(FRAMES):
        for number, (x, y, size) in enumerate(PLACES):
            _write_face(faceset, frame, number, face_at(x + 2 * frame, y, size))
    return Scene(model, faceset)


def _write_face(folder: Path, frame: int, number: int, face: Face) -> None:
    matrix = align_matrix(face.landmarks, FaceType.FULL, 64)
    image = warp_image(np.zeros((HEIGHT, WIDTH, 3), np.uint8), matrix, 64, 64)
    origin = Origin("clip.mp4", f"{frame:06d}", frame, f"{frame}/25", WIDTH, HEIGHT, "test")
    path = folder / f"{frame:06d}_{number}.png"
    face = Face(face.landmarks, face.box, face.score, track=number + 1)
    write_aligned(path, image, face, FaceType.FULL, matrix, origin)


def codes(dtype: str, channels: int = 4, frame: int = 0) -> np.ndarray:
    """(H, W, channels) of the depth: soft noise, whose alpha falls from left to right."""
    rgb = np.roll(make_image(HEIGHT, WIDTH), 2 * frame, axis=1)
    alpha = np.linspace(1, 0.2, WIDTH, dtype=np.float32)[None, :, None].repeat(HEIGHT, axis=0)
    rgba = np.concatenate([rgb, alpha], axis=2)[..., :channels]
    if dtype[0] == "f":
        return rgba.astype(dtype)
    return np.round(rgba * LARGEST[dtype]).astype(dtype)


def unit(pixels: np.ndarray) -> np.ndarray:
    """Codes of any depth as float32, 0 to 1."""
    return pixels.astype(np.float32) / np.float32(LARGEST[pixels.dtype.str[1:]])


def render(
    host: OfxHost, values: dict[str, Any], time: float = 0.0, dtype: str = "f4"
) -> tuple[int, list[str], np.ndarray, np.ndarray]:
    """Status, the messages, and the pixels of source and output."""
    source = Picture.of(codes(dtype))
    output = Picture.of(np.full_like(source.pixels, 9))
    with host.create(GENERAL, values) as instance:
        status = instance.render(time, source, output)
        messages = instance.effect.messages
    assert host.images_out == 0
    return status, messages, source.pixels, output.pixels
