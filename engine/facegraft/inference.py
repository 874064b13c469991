"""SwapModel: any .dfm file as spec and predict(), run by onnxruntime, without torch.

A .dfm is an ONNX file whose first input `in_face:0` takes (batch, R, R, 3) float32 BGR 0..1, whose
second, if any, is `morph_value:0`, and whose three outputs are, by position, dst's mask, the
swapped face and its mask. Files of other programs carry neither spec nor record and are welcome.
Everything outside this module is RGB.
"""

import hashlib
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import onnxruntime

from facegraft.array_store import ArrayStore
from facegraft.errors import FacegraftError, FutureVersion, NotAModel, ParameterError
from facegraft.model_spec import METADATA_KEY, RECORD_KEY, ModelRecord, ModelSpec
from facegraft.onnx_file import OnnxFile, open_onnx

log = logging.getLogger(__name__)

FACE_INPUT = "in_face"  # what readers look for inside the first input's name; DFL appends ":0"
MORPH_INPUT = "morph_value"
NEXT_STEP = "choose a .dfm file, for example one made by `facegraft export`"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Prediction:
    """What the network makes of one aligned face, C-contiguous float32 0..1."""

    face: np.ndarray  # (R, R, 3) RGB, dst with src's face
    mask: np.ndarray  # (R, R), where the new face is
    dst_mask: np.ndarray  # (R, R), where dst's own face is

    def __repr__(self) -> str:
        low, high = float(self.face.min()), float(self.face.max())
        return f"Prediction({len(self.face)} px, face {low:.3f}..{high:.3f})"


class SwapModel:
    """An open .dfm file; `SwapModel.open` makes it."""

    spec: ModelSpec | None  # None: the file says nothing about its architecture or face type
    record: ModelRecord | None  # None: nobody recorded licence and consent
    resolution: int  # px, side of the aligned face it takes and gives
    has_morph: bool  # takes a morph value
    digest: str  # sha256 of the file, hex: the cache key of its predictions

    def __init__(self, file: OnnxFile, store: ArrayStore | None = None):
        """Raises: NotAModel where the file breaks the .dfm contract, FutureVersion."""
        self._store = store
        self.path, self.digest = file.path, file.digest
        self._file = file
        path, session = file.path, file.session
        self._inputs = [value.name for value in session.get_inputs()]
        self.resolution, self._any_batch = _check_inputs(path, session)
        _check_outputs(path, session, self.resolution)
        self.has_morph = len(self._inputs) > 1
        self.spec, self.record = _read_metadata(path, file.metadata, self.resolution)

    @property
    def metadata(self) -> dict[str, str]:
        """The file's own key and value texts."""
        return self._file.metadata

    @property
    def provider(self) -> str:
        """onnxruntime's name of what runs it."""
        return self._file.provider

    @classmethod
    def open(
        cls,
        path: Path,
        providers: Sequence[str] | None = None,
        threads: int = 0,
        store: ArrayStore | None = None,
    ) -> Self:
        """Open a .dfm or .onnx file; the suffix is not looked at.

        `providers` are onnxruntime's names, best first; None takes CUDA where it is there.
        `threads` is for the CPU; 0 leaves the number to onnxruntime. `store` keeps predictions on
        disk, by content of model and face, for a later session or another computer.

        Raises: NotAModel naming what is wrong with the file; FutureVersion if its spec is newer
        than this FaceGraft; ParameterError for an unknown provider.
        """
        file = open_onnx(path, providers, threads, NEXT_STEP)
        model = cls(file, store)
        log.info("model %s: %d px on %s", model.path.name, model.resolution, file.provider)
        return model

    def predict(self, aligned: np.ndarray, morph_value: float = 0.75) -> Prediction:
        """`aligned` (R, R, 3) float32 RGB 0..1 with R = `resolution`. A model without morph input
        has no use for `morph_value` 0..1.

        Raises: ParameterError for another shape; NotAModel if the outputs break the contract;
        ModelError if onnxruntime fails, or gives numbers that are none.
        """
        return self.predict_batch(aligned[None], morph_value)[0]

    def predict_batch(self, aligned: np.ndarray, morph_value: float = 0.75) -> list[Prediction]:
        """The same for (N, R, R, 3); a model of fixed batch 1 is run N times."""
        side = self.resolution
        if aligned.shape[1:] != (side, side, 3):
            raise ParameterError(
                f"the aligned face has shape {aligned.shape[1:]}; {self.path.name} takes "
                f"({side}, {side}, 3)"
            )
        if not 0 <= morph_value <= 1:
            raise ParameterError(f"morph_value is {morph_value:g}; the limits are 0 to 1")
        if self._store is not None:
            return self._from_store(self._store, aligned, morph_value)
        return self._in_batches(aligned, morph_value)

    def _from_store(
        self, store: ArrayStore, aligned: np.ndarray, morph_value: float
    ) -> list[Prediction]:
        """What the store has, and the rest computed and put there."""
        morph = f"{morph_value:.9g}" if self.has_morph else ""
        keys = [
            f"{self.digest} {morph} {hashlib.sha256(crop.tobytes()).hexdigest()}"
            for crop in aligned
        ]
        found = {n: array for n, key in enumerate(keys) if (array := store.get(key)) is not None}
        missing = [n for n in range(len(keys)) if n not in found]
        made = self._in_batches(aligned[missing], morph_value) if missing else []
        for n, prediction in zip(missing, made, strict=True):
            parts = (prediction.face, prediction.mask[..., None], prediction.dst_mask[..., None])
            found[n] = np.concatenate(parts, axis=2)
            store.put(keys[n], found[n])
        planes = (found[n] for n in range(len(keys)))
        return [
            Prediction(*map(np.ascontiguousarray, (p[..., :3], p[..., 3], p[..., 4])))
            for p in planes
        ]

    def _in_batches(self, aligned: np.ndarray, morph_value: float) -> list[Prediction]:
        step = len(aligned) if self._any_batch else 1
        predictions = []
        for start in range(0, len(aligned), step or 1):
            predictions += self._run(aligned[start : start + step], morph_value)
        return predictions

    def feeds(self, aligned: np.ndarray, morph_value: float = 0.75) -> dict[str, np.ndarray]:
        """The graph's own inputs for (N, R, R, 3) float32 RGB 0..1."""
        feeds = {self._inputs[0]: np.ascontiguousarray(aligned[..., ::-1], dtype=np.float32)}
        if self.has_morph:
            feeds[self._inputs[1]] = np.array([morph_value], np.float32)
        return feeds

    def _run(self, aligned: np.ndarray, morph_value: float) -> list[Prediction]:
        dst_mask, face, mask = self._file.run(self.feeds(aligned, morph_value))
        n, side = len(aligned), self.resolution
        if face.shape != (n, side, side, 3) or {mask.size, dst_mask.size} != {n * side * side}:
            raise NotAModel(
                f"{self.path.name} answers with shapes {dst_mask.shape}, {face.shape} and "
                f"{mask.shape}; a .dfm gives mask, ({n}, {side}, {side}, 3) face and mask. "
                f"{NEXT_STEP.capitalize()}"
            )
        faces = _unit(face[..., ::-1])
        masks = _unit(mask.reshape(n, side, side))  # one channel: NHWC and NCHW hold the same
        dst_masks = _unit(dst_mask.reshape(n, side, side))
        return [Prediction(*parts) for parts in zip(faces, masks, dst_masks, strict=True)]

    def __repr__(self) -> str:
        kind = self.spec.architecture if self.spec else "foreign"
        return f"SwapModel({self.path.name}, {kind}, {self.resolution} px)"


def _unit(x: np.ndarray) -> np.ndarray:
    """A C-contiguous float32 copy within 0..1."""
    x = np.array(x, dtype=np.float32, order="C")
    return np.clip(x, 0, 1, out=x)


def _check_inputs(path: Path, session: onnxruntime.InferenceSession) -> tuple[int, bool]:
    """Resolution, and whether any batch size goes."""
    inputs = session.get_inputs()
    names = ", ".join(value.name for value in inputs) or "none"
    if not inputs or FACE_INPUT not in inputs[0].name:
        raise _not_dfm(path, f"its first input is not in_face:0; its inputs are {names}")
    if len(inputs) > 2:
        raise _not_dfm(path, f"it has {len(inputs)} inputs ({names}) where at most 2 are known")
    face = inputs[0]
    shape: list[Any] = face.shape
    if face.type != "tensor(float)":
        raise _not_dfm(path, f"{face.name} takes {face.type} where float32 is wanted")
    if len(shape) != 4 or shape[3] != 3:
        raise _not_dfm(path, f"{face.name} has shape {shape} where [batch, R, R, 3] is wanted")
    batch, height, width, _ = shape
    if not isinstance(height, int) or not isinstance(width, int):
        raise _not_dfm(path, f"{face.name} has shape {shape}, whose size is no fixed number")
    if height != width:
        raise _not_dfm(path, f"{face.name} is {width}x{height} px and not square")
    if isinstance(batch, int) and batch != 1:
        raise _not_dfm(path, f"{face.name} takes {batch} faces at once where 1 or any is wanted")
    if len(inputs) == 2:
        morph = inputs[1]
        if MORPH_INPUT not in morph.name or morph.type != "tensor(float)":
            raise _not_dfm(
                path,
                f"its second input is {morph.name} ({morph.type}) where only morph_value:0 "
                "(float32) is known",
            )
    return height, not isinstance(batch, int)


def _check_outputs(path: Path, session: onnxruntime.InferenceSession, side: int) -> None:
    """Count, and shapes as far as the file states them; `predict` meets the rest."""
    outputs = session.get_outputs()
    if len(outputs) != 3:
        names = ", ".join(value.name for value in outputs)
        raise _not_dfm(path, f"it has {len(outputs)} outputs ({names}) where 3 are wanted")
    for value, channels in zip(outputs, (1, 3, 1), strict=True):
        sizes = value.shape[1:] if value.shape else []
        if not sizes or not all(isinstance(n, int) for n in sizes):
            continue
        if math.prod(sizes) != side * side * channels:
            wanted = f"{channels} channel{'s' if channels > 1 else ''} of {side}x{side}"
            raise _not_dfm(
                path,
                f"its output {value.name} has shape {value.shape} where {wanted} belong: "
                "the order is dst mask, face, mask",
            )


def _not_dfm(path: Path, reason: str) -> NotAModel:
    return NotAModel(f"{path} is an ONNX file but no .dfm: {reason}; {NEXT_STEP}")


def _read_metadata(
    path: Path, metadata: Mapping[str, str], side: int
) -> tuple[ModelSpec | None, ModelRecord | None]:
    """Ours is read; what cannot be read is as good as none, but for a newer version."""
    spec = record = None
    if METADATA_KEY in metadata:
        try:
            spec = ModelSpec.from_json(metadata[METADATA_KEY])
        except FutureVersion:
            raise
        except (FacegraftError, AttributeError) as error:  # the latter where the JSON is no object
            log.warning("%s: its spec is ignored: %s", path.name, error)
    if spec is not None and spec.resolution != side:
        log.warning(
            "%s: its spec is ignored: %s px for a graph of %d", path.name, spec.resolution, side
        )
        spec = None
    if RECORD_KEY in metadata:
        try:
            record = ModelRecord.from_json(metadata[RECORD_KEY])
        except (ValueError, TypeError, AttributeError) as error:
            log.warning("%s: its record is ignored: %s", path.name, error)
    return spec, record
