"""Segmenter: an ONNX network that says which pixels of a face's square are face.

Two kinds of file are known by the shapes they state, in either layout (N, S, S, 3) or
(N, 3, S, S), N free or 1:

- a mask network, one channel out: DeepFaceLab's XSeg and its descendants (FaceFusion's and
  others'). Takes BGR 0..1 and gives 0..1, or logits, which are told by what it says of a black
  picture: no face is far below 0 there.
- a class map, several channels of logits out: a face parser such as BiSeNet trained on
  CelebAMask-HQ's 19 classes. Takes RGB normalised by ImageNet's mean and spread. The classes that
  count as face are summed after a softmax, so that edges stay soft.

How much of the head the square must hold is the network's own; a file of ours says so in its
metadata, of others it is an option. FFHQ's crop, which face parsers know, holds as much as the
whole face does. No network comes with FaceGraft.
"""

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np

from facegraft.errors import NotAModel, ParameterError
from facegraft.model_spec import FaceType
from facegraft.onnx_file import OnnxFile, describe, open_onnx

log = logging.getLogger(__name__)

METADATA_KEY = "facegraft_segmenter"  # JSON: {"face_type": "whole_face", "classes": [1, 2]}
NEXT_STEP = "choose an XSeg model exported to ONNX, or a face parser such as BiSeNet"
FACE_CLASSES = {  # by number of classes: those that count as face
    2: (1,),
    # skin, brows, eyes, glasses, nose, inside of the mouth, lips; not ears, neck, hair or hat
    19: (1, 2, 3, 4, 5, 6, 10, 11, 12, 13),
}
_NOISE = 0.1  # what XSeg says of a background; DeepFaceLab takes it for nothing, too
_LOGIT = 0.5  # further than this outside 0..1 no probability lies
_MEAN = np.array([0.485, 0.456, 0.406], np.float32)  # ImageNet's, RGB
_SPREAD = np.array([0.229, 0.224, 0.225], np.float32)


class Segmenter:
    """An open segmentation file; `Segmenter.open` makes it."""

    size: int  # px, side of the square it takes
    face_type: FaceType  # how much of the head that square must hold
    classes: tuple[int, ...]  # of a class map: which count as face; empty for a mask network
    digest: str  # of file, framing and classes, hex: the cache key of its answers

    def __init__(
        self,
        file: OnnxFile,
        face_type: FaceType | None = None,
        classes: Sequence[int] | None = None,
    ):
        """`file` is checked and asked once. Raises: NotAModel, ParameterError."""
        self.path = file.path
        self._file = file
        self._input, self._is_nchw, self._any_batch, self.size = _read_input(file)
        said = _read_metadata(file)
        self.face_type = face_type or said.get("face_type") or FaceType.WHOLE_FACE
        answer = self._ask(np.zeros((1, self.size, self.size, 3), np.float32))
        channels = answer.shape[-1]
        if channels > 1:
            self.classes = _face_classes(file.path, channels, classes or said.get("classes"))
        elif classes:
            raise ParameterError(f"{file.path.name} gives one mask and has no classes to choose")
        else:
            self.classes = ()
        self._gives_logits = bool(answer.min() < -_LOGIT or answer.max() > 1 + _LOGIT)
        chosen = ",".join(str(index) for index in self.classes)
        self.digest = f"{file.digest}:{self.face_type}:{chosen}"

    @classmethod
    def open(
        cls,
        path: Path,
        face_type: FaceType | None = None,
        classes: Sequence[int] | None = None,
        providers: Sequence[str] | None = None,
        threads: int = 0,
    ) -> Self:
        """Open an ONNX file. `face_type` and `classes` win over what the file says of itself; a
        file that says nothing is taken for a network of the whole face.

        Raises: NotAModel naming the file's shapes where it is no segmenter; ParameterError for
        classes it does not have, or an unknown provider.
        """
        segmenter = cls(open_onnx(path, providers, threads, NEXT_STEP), face_type, classes)
        log.info("segmenter %s: %s on %s", path, segmenter, segmenter._file.provider)
        return segmenter

    def segment(self, square: np.ndarray) -> np.ndarray:
        """`square` (size, size, 3) float32 RGB 0..1, framed as `face_type` says, to
        (size, size) float32 0..1: where it shows face.

        Raises: ParameterError for another shape; ModelError if onnxruntime fails.
        """
        return self.segment_batch(square[None])[0]

    def segment_batch(self, squares: np.ndarray) -> np.ndarray:
        """The same for (N, size, size, 3) to (N, size, size); a file of batch 1 is run N times."""
        if squares.ndim != 4 or squares.shape[1:] != (self.size, self.size, 3):
            raise ParameterError(
                f"the faces have shape {squares.shape}; {self.path.name} takes "
                f"(N, {self.size}, {self.size}, 3)"
            )
        if self.classes:
            fed = (squares - _MEAN) / _SPREAD
        else:
            fed = squares[..., ::-1]
        step = max(1, len(fed) if self._any_batch else 1)
        answers = [self._ask(fed[i : i + step]) for i in range(0, len(fed), step)]
        answer = np.concatenate(answers) if answers else np.zeros((*squares.shape[:3], 1))
        masks = self._face_of(answer.astype(np.float32))
        masks[masks < _NOISE] = 0
        return np.clip(masks, 0, 1, out=masks)

    def _face_of(self, answer: np.ndarray) -> np.ndarray:
        """(N, S, S, C) as the network gives it, to (N, S, S) probabilities."""
        if self.classes:
            odds = np.exp(answer - answer.max(axis=-1, keepdims=True))
            return odds[..., self.classes].sum(axis=-1) / odds.sum(axis=-1)
        mask = answer[..., 0].copy()
        return 1 / (1 + np.exp(-np.clip(mask, -30, 30))) if self._gives_logits else mask

    def _ask(self, fed: np.ndarray) -> np.ndarray:
        """(N, S, S, 3) in the network's own colours to (N, S, S, C), its first output."""
        laid = fed.transpose(0, 3, 1, 2) if self._is_nchw else fed
        answer = self._file.run({self._input: np.ascontiguousarray(laid, dtype=np.float32)})[0]
        wanted = (len(fed), self.size, self.size)
        if answer.ndim == 4 and (*answer.shape[:1], *answer.shape[2:]) == wanted:
            return answer.transpose(0, 2, 3, 1)
        if answer.shape[:3] == wanted and answer.ndim in (3, 4):
            return answer.reshape(*wanted, -1)
        raise _not_a_segmenter(self._file, f"it answers {wanted} px with shape {answer.shape}")

    def __repr__(self) -> str:
        kind = f"{len(self.classes)} face classes" if self.classes else "one mask"
        return f"Segmenter({self.path.name}, {self.size} px, {self.face_type}, {kind})"


def _read_input(file: OnnxFile) -> tuple[str, bool, bool, int]:
    """Name, whether channels come first, whether any batch goes, side in px."""
    inputs = file.session.get_inputs()
    if len(inputs) != 1 or inputs[0].type != "tensor(float)" or len(inputs[0].shape) != 4:
        raise _not_a_segmenter(file, "one float32 picture is wanted")
    batch, *sizes = inputs[0].shape
    if sizes[2] == 3:
        is_nchw, (height, width) = False, sizes[:2]
    elif sizes[0] == 3:
        is_nchw, (height, width) = True, sizes[1:]
    else:
        raise _not_a_segmenter(file, "no axis of it holds 3 colours")
    if not isinstance(height, int) or height != width:
        raise _not_a_segmenter(file, "a square of a fixed size is wanted")
    if isinstance(batch, int) and batch != 1:
        raise _not_a_segmenter(file, f"it takes {batch} pictures at once, where 1 or any is wanted")
    if any(len(v.shape) == 4 and 3 in (v.shape[1], v.shape[3]) for v in file.session.get_outputs()):
        raise _not_a_segmenter(file, "it gives a picture, as swap models do")
    return inputs[0].name, is_nchw, not isinstance(batch, int), height


def _not_a_segmenter(file: OnnxFile, reason: str) -> NotAModel:
    session = file.session
    return NotAModel(
        f"{file.path} is an ONNX file but no segmenter: {reason}; it takes "
        f"{describe(session.get_inputs())} and gives {describe(session.get_outputs())}; {NEXT_STEP}"
    )


def _face_classes(path: Path, count: int, chosen: Sequence[int] | None) -> tuple[int, ...]:
    if not chosen:
        if count not in FACE_CLASSES:
            raise ParameterError(f"{path.name} knows {count} classes; say which of them are face")
        return FACE_CLASSES[count]
    for index in chosen:
        if not 0 <= index < count:
            raise ParameterError(
                f"{path.name} has no class {index}; it knows {count}, 0 to {count - 1}"
            )
    return tuple(sorted(set(chosen)))


def _read_metadata(file: OnnxFile) -> dict:
    """What the file says of itself; what cannot be read is as good as nothing, and logged."""
    text = file.metadata.get(METADATA_KEY)
    if text is None:
        return {}
    try:
        said = json.loads(text)
        if "face_type" in said:
            said["face_type"] = FaceType(said["face_type"])
        if "classes" in said:
            said["classes"] = [int(index) for index in said["classes"]]
        return said
    except (ValueError, TypeError, KeyError) as error:
        log.warning("%s: its own description is ignored: %s", file.path.name, error)
        return {}
