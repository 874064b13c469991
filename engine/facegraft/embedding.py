"""Who a face resembles: a face recognition network of the user's, as unit vectors to compare.

Any ONNX file of the ArcFace kind is welcome (Deng et al., "ArcFace: Additive Angular Margin Loss
for Deep Face Recognition", 2019): one input (N, 3, 112, 112) float32 RGB from -1 to 1, one output
(N, D). Such networks are trained on faces laid on five points, the eyes, the nose's tip and the
mouth's corners; `FIVE_POINTS` are their places in the 112 px square. None is bundled.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np

from facegraft.errors import ModelError, NotAModel
from facegraft.faces.align import fit_similarity, warp_image
from facegraft.faces.landmarks import LEFT_EYE, RIGHT_EYE
from facegraft.onnx_file import OnnxFile, describe, open_onnx

SIDE = 112  # px
# the field's constants, which count from the centre of the first pixel
FIVE_POINTS = np.array(
    [
        (38.2946, 51.6963),  # the eye at image left
        (73.5318, 51.5014),
        (56.0252, 71.7366),  # tip of the nose
        (41.5493, 92.3655),  # corner of the mouth at image left
        (70.7299, 92.2041),
    ]
)
_NOSE_TIP, _RIGHT_CORNER, _LEFT_CORNER = 30, 48, 54
_NEXT_STEP = (
    f"choose a face recognition network of the ArcFace kind, (N, 3, {SIDE}, {SIDE}) float32"
)


class Embedder:
    """An open face recognition network; `Embedder.open` makes it."""

    def __init__(self, file: OnnxFile) -> None:
        """Raises: NotAModel where the file takes or gives something else."""
        self._file = file
        inputs, outputs = file.session.get_inputs(), file.session.get_outputs()
        shape = list(inputs[0].shape) if inputs else []
        is_face = len(inputs) == 1 and inputs[0].type == "tensor(float)" and len(shape) == 4
        if not is_face or shape[1:] != [3, SIDE, SIDE]:
            raise NotAModel(f"{file.path} takes {describe(inputs)}; {_NEXT_STEP}")
        if len(outputs) != 1 or outputs[0].type != "tensor(float)" or len(outputs[0].shape) != 2:
            raise NotAModel(f"{file.path} gives {describe(outputs)}, not one vector; {_NEXT_STEP}")
        if isinstance(shape[0], int) and shape[0] != 1:
            raise NotAModel(f"{file.path} takes {shape[0]} faces at once; {_NEXT_STEP}")

    @classmethod
    def open(cls, path: Path, providers: Sequence[str] | None = None, threads: int = 0) -> Self:
        """Open an ONNX file; `providers` and `threads` as in `open_onnx`.

        Raises: NotAModel naming what is wrong with the file; ParameterError for a provider.
        """
        return cls(open_onnx(path, providers, threads, next_step=_NEXT_STEP))

    @property
    def digest(self) -> str:
        """sha256 of the file, hex."""
        return self._file.digest

    def embed(self, image_u8: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
        """(D,) float32 of length 1 for the face at `landmarks` (68, 2) in a (H, W, 3) uint8 RGB
        picture, corner convention. Two vectors' dot product is their cosine similarity.

        Raises: ModelError where the network fails or answers with zeros.
        """
        square = warp_image(image_u8, five_point_matrix(landmarks), SIDE, SIDE)
        values = (square.astype(np.float32) - 127.5) / 127.5
        batch = np.ascontiguousarray(values.transpose(2, 0, 1)[None])
        name = self._file.session.get_inputs()[0].name
        vector = self._file.run({name: batch})[0].reshape(-1).astype(np.float32)
        length = float(np.linalg.norm(vector))
        if length == 0:
            raise ModelError(f"{self._file.path.name} answers with zeros; {_NEXT_STEP}")
        return vector / length


def five_point_matrix(landmarks: np.ndarray) -> np.ndarray:
    """(2, 3) from the picture to the network's square, by a similarity through five points."""
    points = np.stack(
        [
            landmarks[RIGHT_EYE].mean(axis=0),
            landmarks[LEFT_EYE].mean(axis=0),
            landmarks[_NOSE_TIP],
            landmarks[_RIGHT_CORNER],
            landmarks[_LEFT_CORNER],
        ]
    )
    return fit_similarity(points, FIVE_POINTS + 0.5)
