"""What the worker computes: one frame in, one face layer out, with what repeats kept.

Detection is kept by the frame's pixels, inference by those and the model, framing and morph, so a
changed merge control runs neither again. One merge runs at a time: the networks use every core.
"""

import hashlib
import logging
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from facegraft.errors import NotAModel, ParameterError
from facegraft.faces.clip import Detector
from facegraft.faces.detect import FaceDetector
from facegraft.faces.face import AlignedFace, Face
from facegraft.faces.faceset import Faceset
from facegraft.inference import Prediction, SwapModel
from facegraft.merge.extras import FaceExtras, FrameExtras
from facegraft.merge.frame import merge_frame, predict_faces, reach
from facegraft.worker import layer
from facegraft.worker.cache import BoundedCache
from facegraft.worker.layer import Rect
from facegraft.worker.request import MergeRequest, model_path

log = logging.getLogger(__name__)

CACHE_BYTES = 256 << 20  # 150 faces of a 256 px model; a shot's worth of re-tuning
IMAGE_BYTES = 64 << 20  # converted pictures; a face that fills 1080p takes 14 MB
MAX_MODELS = 3  # open at once; each holds up to 700 MB
MAX_FACESETS = 2  # indices only, without pictures

_NOTHING = np.zeros((0, 0, 4), np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """layer: (h, w, 4) float32 premultiplied, the part of the frame that `roi` names."""

    layer: np.ndarray
    roi: Rect
    face_count: int
    cached: dict[str, bool]
    ms: dict[str, float]
    digest: str


class MergeService:
    """Open models, the detector and the caches; one per worker, called from any thread."""

    def __init__(self, detector: Detector | None = None, cache_bytes: int = CACHE_BYTES) -> None:
        """`detector`: None for the default one, opened when a frame first needs it."""
        self._lock = threading.Lock()
        self._cache = BoundedCache(cache_bytes)
        self._images = BoundedCache(IMAGE_BYTES)
        self._models: OrderedDict[tuple[Path, int, int], SwapModel] = OrderedDict()
        self._facesets: OrderedDict[tuple[Path, int], dict[str, list[AlignedFace]]] = OrderedDict()
        self._detector = detector

    def load_model(self, path: str) -> dict[str, Any]:
        """Open a model, or take the open one, and describe it. Raises: NotAModel."""
        with self._lock:
            model = self._model(model_path(path))
        return {
            "digest": model.digest,
            "resolution": model.resolution,
            "has_morph": model.has_morph,
            "spec": model.spec and model.spec.to_json(),
            "record": model.record and model.record.to_json(),
        }

    def merge(self, rgba: np.ndarray, request: MergeRequest, digest: str | None) -> Outcome:
        """Swap the faces of `rgba` (H, W, 4) float32, premultiplied, in `request.color`.

        `digest`: of these very pixels where it is known, as an earlier Outcome gave it.
        Raises: what models, weights and facesets raise.
        """
        with self._lock:
            watch = _Stopwatch()
            digest = digest or pixel_digest(rgba)
            watch.lap("hash")
            model = self._model(request.model)
            watch.lap("model")
            faces, detection_cached = self._faces(rgba, request, digest)
            watch.lap("detection")
            cached = {"detection": detection_cached, "inference": True}
            if not faces or request.params.mix == 0:
                return Outcome(_NOTHING, (0, 0, 0, 0), len(faces), cached, watch.ms, digest)
            rect = reach(faces, model, request.params, rgba.shape)
            image = self._display_image(rgba, request.color, rect, digest)
            watch.lap("display")
            predictions, cached["inference"] = self._predictions(
                image, faces, request, model, digest
            )
            watch.lap("inference")
            extras = FrameExtras([FaceExtras(prediction=p) for p in predictions])
            merged = merge_frame(image, faces, model, request.params, extras)
            watch.lap("merge")
            if merged.roi is None:
                return Outcome(_NOTHING, (0, 0, 0, 0), len(faces), cached, watch.ms, digest)
            x0, y0, x1, y1 = merged.roi
            window = np.s_[y0:y1, x0:x1]
            part = layer.face_layer(
                rgba[window], merged.result[window], merged.matte[window], request.color
            )
            watch.lap("layer")
            return Outcome(part, merged.roi, len(faces), cached, watch.ms, digest)

    def _model(self, path: Path) -> SwapModel:
        try:
            status = path.stat()
        except OSError as error:
            raise NotAModel(f"cannot read the model {path}: {error.strerror}") from error
        key = (path, status.st_mtime_ns, status.st_size)
        model = self._models.get(key)
        if model is None:
            log.info("opening model %s", path)
            model = self._models[key] = SwapModel.open(path)
            while len(self._models) > MAX_MODELS:
                self._models.popitem(last=False)
        self._models.move_to_end(key)
        return model

    def _faces(
        self, rgba: np.ndarray, request: MergeRequest, digest: str
    ) -> tuple[list[Face], bool]:
        """Faces of the frame, and whether the detector stayed idle."""
        if request.landmarks is not None:
            return [face_from(points) for points in request.landmarks], True
        if request.faceset is not None:
            return self._stored_faces(request, request.faceset), True
        if self._detector is None:
            self._detector = FaceDetector()
        key = ("faces", digest, request.color, self._detector.name)
        faces = self._cache.get(key)
        if faces is not None:
            return faces, True
        faces = self._detector.detect(layer.detection_image(rgba, request.color))
        self._cache.put(key, faces, 4096 * (1 + len(faces)))  # landmarks twice, boxes, objects
        return faces, False

    def _stored_faces(self, request: MergeRequest, folder: Path) -> list[Face]:
        """The faceset's faces of this frame, scaled where the host renders at another size."""
        try:
            key = (folder, folder.stat().st_mtime_ns)
        except OSError:
            key = (folder, 0)  # Faceset.open says it better
        frames = self._facesets.get(key)
        if frames is None:
            frames = {}
            for aligned in Faceset.open(folder):
                frames.setdefault(aligned.origin.frame_name, []).append(aligned)
            self._facesets[key] = frames
            while len(self._facesets) > MAX_FACESETS:
                self._facesets.popitem(last=False)
        found = frames.get(request.frame_key or "", [])
        return [_fitted(aligned, request.width, request.height) for aligned in found]

    def _display_image(self, rgba: np.ndarray, color: str, reach: Rect, digest: str) -> np.ndarray:
        key = (digest, color, reach)
        image = self._images.get(key)
        if image is None:
            image = layer.display_image(rgba, color, reach)
            image.flags.writeable = False
            x0, y0, x1, y1 = reach
            # the rest was never touched, so the system has given no memory for it
            self._images.put(key, image, (x1 - x0) * (y1 - y0) * 3 * image.itemsize)
        return image

    def _predictions(
        self,
        image: np.ndarray,
        faces: list[Face],
        request: MergeRequest,
        model: SwapModel,
        digest: str,
    ) -> tuple[list[Prediction], bool]:
        points = hashlib.sha256(b"".join(f.landmarks.tobytes() for f in faces)).hexdigest()
        params = request.params
        key = (
            "predictions", digest, request.color, points, model.digest,
            params.face_type, params.morph_value,
        )  # fmt: skip
        predictions = self._cache.get(key)
        if predictions is not None:
            return predictions, True
        predictions = predict_faces(image, faces, model, params)
        size = sum(p.face.nbytes + p.mask.nbytes + p.dst_mask.nbytes for p in predictions)
        self._cache.put(key, predictions, size)
        return predictions, False


def pixel_digest(rgba: np.ndarray) -> str:
    """sha256 of size and bits of (H, W, 4) float32, contiguous: a false match would show the
    wrong face. With a processor's SHA instructions 24 ms at 1080p, half of blake2b's time."""
    state = hashlib.sha256(f"{rgba.shape}".encode())
    state.update(rgba.data.cast("B"))
    return state.hexdigest()


def face_from(points: np.ndarray) -> Face:
    """A face that somebody else found. `points`: (68, 2) float32 frame pixels."""
    (x0, y0), (x1, y1) = points.min(axis=0), points.max(axis=0)
    return Face(landmarks=points, box=(float(x0), float(y0), float(x1), float(y1)), score=1.0)


def _fitted(aligned: AlignedFace, width: int, height: int) -> Face:
    origin = aligned.origin
    if not origin.frame_width:  # faces of other programs, taken as of this very clip
        return face_from(aligned.landmarks)
    scale = width / origin.frame_width
    if abs(origin.frame_height * scale - height) > 1.0:  # px; proxies round their sides
        raise ParameterError(
            f"the frame is {width}x{height} px, the faceset's {origin.frame_width}x"
            f"{origin.frame_height}; give the clip that the faces were extracted from"
        )
    return face_from((aligned.landmarks * scale).astype(np.float32))


class _Stopwatch:
    """Milliseconds of each stage."""

    def __init__(self) -> None:
        self.ms: dict[str, float] = {}
        self._since = time.perf_counter()

    def lap(self, stage: str) -> None:
        now = time.perf_counter()
        self.ms[stage] = round((now - self._since) * 1e3, 3)
        self._since = now
