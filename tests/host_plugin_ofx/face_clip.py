"""A clip with a face that moves, for real hosts: frames, a faceset of them, and a model.

Of ben_dst where the footage with ground truth lies beside the project, with the true landmarks;
else a drawn disc, whose landmarks are as exact. They are steadied as `facegraft extract` does, and
no network looks for faces.
"""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from facegraft.faces.align import align_matrix, warp_image
from facegraft.faces.face import Face, Origin
from facegraft.faces.faceset import write_aligned
from facegraft.media.open import open_source
from facegraft.merge.clip.faces import clip_faces
from facegraft.merge.clip.params import ClipParams
from facegraft.merge.clip.steady import steadied
from facegraft.model_spec import FaceType
from tests.drawn_faces import draw_face, face_at
from tests.engine.tiny_dfm import write_dfm
from tests.host_plugin_ofx.scene import Scene
from tests.synthetic import make_clip, picture

FOOTAGE = Path(__file__).parents[3] / "shared" / "footage"
FRAMES = 10
STEP = 4  # of the footage's frames, so that the head moves
SIDE = 256  # px of the drawn frames


@dataclass(frozen=True, slots=True)
class FaceClip:
    frames: list[np.ndarray]  # (H, W, 3) uint8 RGB
    pictures: Path  # the frames as ######.png
    movie: Path  # the same frames as H.264, yuv420p
    scene: Scene  # its faceset, and a model that changes every colour of the face

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        height, width = self.frames[0].shape[:2]
        return width, height


def make_face_clip(folder: Path) -> FaceClip:
    frames, faces = _footage() if (FOOTAGE / "ben_dst.mp4").is_file() else _drawn()
    pictures, faceset = folder / "pictures", folder / "faces"
    pictures.mkdir()
    faceset.mkdir()
    height, width = frames[0].shape[:2]
    clip = steadied(clip_faces({n: [face] for n, face in enumerate(faces)}), ClipParams())
    for number, frame in enumerate(frames):
        face = clip.frames[number][0]
        name = f"{number:06d}"
        cv2.imwrite(str(pictures / f"{name}.png"), frame[..., ::-1])
        matrix = align_matrix(face.landmarks, FaceType.WHOLE_FACE, 128)
        aligned = warp_image(frame, matrix, 128, 128)
        origin = Origin("pictures", name, number, f"{number}/25", width, height, "truth")
        write_aligned(faceset / f"{name}_0.png", aligned, face, FaceType.WHOLE_FACE, matrix, origin)
    movie = make_clip(folder / "movie.mp4", frames, options={"crf": "10"})
    return FaceClip(frames, pictures, movie, Scene(_model(folder / "model.dfm"), faceset))


def _footage() -> tuple[list[np.ndarray], list[Face]]:
    truth = json.loads((FOOTAGE / "ben_dst_landmarks.json").read_text())["frames"]
    frames, faces = [], []
    with open_source(FOOTAGE / "ben_dst.mp4") as source:
        for number, frame in enumerate(source):
            if number % STEP == 0:
                frames.append(frame.image_u8)
                faces.append(_face(np.array(truth[number]["points"], np.float32)))
            if len(frames) == FRAMES:
                break
    return frames, faces


def _drawn() -> tuple[list[np.ndarray], list[Face]]:
    frames, faces = [], []
    for number in range(FRAMES):
        image = picture(SIDE, SIDE)
        place = (110.0 + 3 * number, 120.0 + 2 * number, 110.0)
        draw_face(image, *place)
        frames.append(image)
        faces.append(replace(face_at(*place), track=1))
    return frames, faces


def _face(points: np.ndarray) -> Face:
    (x0, y0), (x1, y1) = points.min(axis=0), points.max(axis=0)
    return Face(points, (float(x0), float(y0), float(x1), float(y1)), 1.0, track=1)


def _model(path: Path) -> Path:
    side = 64
    oval = np.zeros((side, side), np.float32)
    cv2.ellipse(oval, (side // 2, side // 2), (17, 22), 0, 0, 360, (1.0,), -1)
    oval = cv2.GaussianBlur(oval, (0, 0), 1.5)
    return write_dfm(path, side, (0.5, 0.8, 0.7), (0.0, 0.2, -0.1), oval, oval)
