"""68 landmarks by FAN, the network of the face-alignment library: `--backend face-alignment`.

Bulat and Tzimiropoulos, "How far are we from solving the 2D & 3D Face Alignment problem?", 2017.
Its jaw points follow the visible outline of a turned head, where the mesh's run inside it; it
costs some hundred times more on a CPU. Boxes come from our own detector. The library brings the
network's class only: its weights are read from where `facegraft weights` puts them, nothing is
downloaded here, and torch is imported when the class is made, since faces work without it.
"""

import importlib
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from facegraft import weights
from facegraft.errors import BadWeights, MissingExtra
from facegraft.faces.align import invert, transform_points, warp_image
from facegraft.faces.detect import FaceDetector
from facegraft.faces.face import Face
from facegraft.faces.landmarks import LEFT_EYE, RIGHT_EYE

CROP = 256  # px, the network's input
_CELL = 4  # crop px per heat map cell (64 cells)
_REFERENCE = 195 / 200  # sum of the points' width and height over the crop's side, in training
_LIFT = 0.12  # the crop's centre above the points' centre, in heights of the points' box
_MODULES = 4  # stacked hourglasses in the published weights
_INSTALL = (
    "run: python install/install.py env --fan, or: pip install 'facegraft[fan]' and then "
    "pip install --no-deps face-alignment"
)


class FanDetector:
    """Our boxes, FAN's landmarks; the interface of FaceDetector."""

    name = "fan-2d 1"

    def __init__(
        self, weights_folder: Path | None = None, small_faces: bool = False, threads: int = 0
    ) -> None:
        """Raises: MissingExtra (library or torch not installed), MissingWeights, BadWeights."""
        try:
            self._torch: Any = importlib.import_module("torch")
            models: Any = importlib.import_module("face_alignment.models")
        except ImportError as error:
            raise MissingExtra(
                f"the backend face-alignment needs the package {error.name}; {_INSTALL}"
            ) from error
        path = weights.require("fan_2d")
        self._boxes = FaceDetector(weights_folder, small_faces, threads)
        self._device = "cuda" if self._torch.cuda.is_available() else "cpu"
        self._net = models.FAN(_MODULES)
        try:  # weights_only: tensors, never code
            state = self._torch.load(path, map_location=self._device, weights_only=True)
            self._net.load_state_dict(state)
        except Exception as error:  # pickle, zip, key and shape errors alike
            raise BadWeights(
                f"{path} does not hold FAN's weights ({str(error).splitlines()[0]}). "
                "Remove it and import the file again"
            ) from error
        self._net.to(self._device).eval()

    def detect(self, image_u8: np.ndarray, max_faces: int = 0) -> list[Face]:
        """Faces of a (H, W, 3) uint8 RGB frame, largest first, at most `max_faces` (0: all).

        Raises: ParameterError if the array is no such frame.
        """
        faces = self._boxes.detect(image_u8, max_faces)
        if not faces:
            return []
        matrices = [frame_to_crop(face.landmarks) for face in faces]
        crops = [warp_image(image_u8, m, CROP, CROP, cv2.INTER_LINEAR) for m in matrices]
        batch = self._torch.from_numpy(cv2.dnn.blobFromImages(crops, 1 / 255))
        with self._torch.inference_mode():
            heatmaps = self._net(batch.to(self._device))
        if isinstance(heatmaps, list):  # one stack per hourglass; the last is the answer
            heatmaps = heatmaps[-1]
        found = []
        for face, matrix, maps in zip(faces, matrices, heatmaps.float().cpu().numpy(), strict=True):
            points = transform_points(peaks(maps), invert(matrix)).astype(np.float32)
            x0, y0 = points.min(axis=0).tolist()
            x1, y1 = points.max(axis=0).tolist()
            found.append(
                replace(face, landmarks=points, raw_landmarks=points, box=(x0, y0, x1, y1))
            )
        return found


def frame_to_crop(landmarks: np.ndarray) -> np.ndarray:
    """(2, 3): the square FAN was trained on, from rough (68, 2) points, turned upright."""
    right, left = landmarks[RIGHT_EYE].mean(axis=0), landmarks[LEFT_EYE].mean(axis=0)
    angle = math.atan2(left[1] - right[1], left[0] - right[0])
    cos, sin = math.cos(angle), math.sin(angle)
    upright = np.array([[cos, sin], [-sin, cos]])
    turned = landmarks.astype(np.float64) @ upright.T
    low, high = turned.min(axis=0), turned.max(axis=0)
    width, height = high - low
    center = (low + high) / 2 - [0, _LIFT * height]
    scale = CROP * _REFERENCE / (width + height)
    return np.column_stack([scale * upright, CROP / 2 - scale * center])


def peaks(heatmaps: np.ndarray) -> np.ndarray:
    """(68, 64, 64) heat maps to (68, 2) float64 points in crop pixels.

    The cell of the maximum, moved a quarter of a cell towards its larger neighbour on each axis.
    """
    count, height, width = heatmaps.shape
    y, x = np.divmod(heatmaps.reshape(count, -1).argmax(axis=1), width)
    points = np.stack([x, y], axis=1) + 0.5  # the cell's centre
    each = np.arange(count)
    inner_x, inner_y = (x > 0) & (x < width - 1), (y > 0) & (y < height - 1)
    before, after = np.maximum(x - 1, 0), np.minimum(x + 1, width - 1)
    points[:, 0] += 0.25 * inner_x * np.sign(heatmaps[each, y, after] - heatmaps[each, y, before])
    before, after = np.maximum(y - 1, 0), np.minimum(y + 1, height - 1)
    points[:, 1] += 0.25 * inner_y * np.sign(heatmaps[each, after, x] - heatmaps[each, before, x])
    return points * _CELL
