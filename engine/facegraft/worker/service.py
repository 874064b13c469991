"""What the worker computes: one frame in, one face layer out, with what repeats kept.

Detection is kept by the frame's pixels, and every stage of the merge by those and all that it
depends on, so that a changed control computes what comes after it. One merge runs at a time: the
networks use every core.
"""

import hashlib
import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np

from facegraft.enhance import Enhancer
from facegraft.faces.clip import Detector
from facegraft.faces.detect import FaceDetector
from facegraft.faces.face import Face
from facegraft.inference import SwapModel
from facegraft.media.working_space import WorkingSpace
from facegraft.merge.clip.choose import FaceChoice
from facegraft.merge.detail.motion import motions
from facegraft.merge.extras import FrameExtras
from facegraft.merge.frame import merge_patches, reach
from facegraft.merge.geometry import NOWHERE, Rect, clipped, union
from facegraft.merge.over_time import looks_along
from facegraft.merge.patch import Patch, lay
from facegraft.segment import Segmenter
from facegraft.worker import layer
from facegraft.worker.alike import Alike, Looked
from facegraft.worker.cache import BoundedCache, OpenFiles, PictureKeeper
from facegraft.worker.casting import Casting, Pick, open_cast
from facegraft.worker.clip_request import SeatPlanRequest
from facegraft.worker.found import FoundFace, notes_on
from facegraft.worker.request import GivenFace, MergeRequest, model_path
from facegraft.worker.seats import SeatPlan, plan_seats
from facegraft.worker.steady import Fitted, SteadyFits, fits_of
from facegraft.worker.stored import StoredFaces

log = logging.getLogger(__name__)

CACHE_BYTES = 384 << 20  # one face that fills 4K takes 67 MB, and 240 with two controls and grain
IMAGE_BYTES = 128 << 20  # converted pictures; one face that fills 4K takes 93 MB, and 1080p 23 MB
MAX_MODELS = 3  # open at once; each holds up to 700 MB
MAX_NETWORKS = 2  # segmenters and enhancers, each
_REACH_STEP = 64  # px

_NOTHING = np.zeros((0, 0, 4), np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """layer: (h, w, 4) float32 premultiplied, the part of the frame that `roi` names."""

    layer: np.ndarray
    roi: Rect
    faces: tuple[FoundFace, ...]
    cached: dict[str, bool]
    ms: dict[str, float]
    digest: str
    matte_digest: str
    notes: tuple[str, ...]

    @property
    def face_count(self) -> int:
        """Of the faces that were chosen."""
        return sum(found.chosen for found in self.faces)


class MergeService:
    """Open networks, the detector and the caches; one per worker, called from any thread."""

    def __init__(
        self,
        detector: Detector | None = None,
        cache_bytes: int = CACHE_BYTES,
        image_bytes: int = IMAGE_BYTES,
    ) -> None:
        """`detector`: None for the default one, opened when a frame first needs it."""
        self._lock = threading.Lock()
        self._cache = BoundedCache(cache_bytes)
        self._images = BoundedCache(image_bytes)
        self._models = OpenFiles("model", MAX_MODELS, SwapModel.open)
        self._segmenters = OpenFiles("segmenter", MAX_NETWORKS, Segmenter.open)
        self._enhancers = OpenFiles("enhancer", MAX_NETWORKS, Enhancer.open)
        self._stored = StoredFaces()
        self._fits = SteadyFits()
        self._detector = detector
        self._alike = Alike(lambda: self.detector)

    @property
    def detector(self) -> Detector:
        """Opened when first asked for. Raises: MissingWeights, BadWeights."""
        if self._detector is None:
            self._detector = FaceDetector()
        return self._detector

    def load_model(self, path: str) -> dict[str, Any]:
        """Open a model, or take the open one, and describe it. Raises: NotAModel."""
        with self._lock:
            model = self._models.get(model_path(path))
        return {
            "digest": model.digest,
            "resolution": model.resolution,
            "has_morph": model.has_morph,
            "spec": model.spec and model.spec.to_json(),
            "record": model.record and model.record.to_json(),
        }

    def detect(self, rgba: np.ndarray, space: WorkingSpace) -> list[Face]:
        """The faces of a frame; kept for the merge of the same pixels.

        Raises: MissingWeights, BadWeights.
        """
        with self._lock:
            return self._detected(rgba, space, pixel_digest(rgba))[0]

    def merge(
        self,
        rgba: np.ndarray,
        request: MergeRequest,
        digest: str | None = None,
        matte: np.ndarray | None = None,
        matte_digest: str | None = None,
        out: np.ndarray | None = None,
    ) -> Outcome:
        """Swap the faces of `rgba` (H, W, 4) float32, premultiplied, in `request.space`.

        digest:  of these very pixels where it is known, as an earlier Outcome gave it.
        matte:   (H, W) float32 0..1, the host's; `matte_digest` of it where it is known.
        out:     float32, flat, room for the whole frame: where the layer is written, packed. None
                 for a new array. Nothing is written where this raises.

        Raises: what models, weights and facesets raise, and `merge_frame`.
        """
        with self._lock:
            watch = _Stopwatch()
            digest = digest or pixel_digest(rgba)
            if matte is None:
                matte_digest = ""
            else:
                matte_digest = matte_digest or pixel_digest(matte)
            watch.lap("hash")
            cast = self._cast(request)
            extras = self._networks(request, matte)
            watch.lap("model")
            pick, unlike = self._picker(rgba, request, digest)
            found, detection_cached = self._found(rgba, request, digest, pick)
            watch.lap("detection")
            cached = {"detection": detection_cached, "inference": True}
            found, per_face = cast.of(found, pick, request.params)
            params, model = request.params, cast.model
            faces = [f.face for f in found if f.chosen]
            roi, part = NOWHERE, _NOTHING
            notes = (*unlike, *notes_on(request, found))
            if faces and params.mix > 0:
                keep = PictureKeeper(self._cache, (digest, matte_digest, request.space.name))
                extras = replace(extras, faces=per_face, keep=keep)
                rect = _coarse(reach(faces, model, params, rgba.shape, extras), rgba.shape)
                image = self._display_image(rgba, request.space, rect, digest)
                watch.lap("display")
                if request.fits is not None and looks_along(params):
                    extras, more = self._fits.given(
                        request.fits, self._place(request), image, faces, model, params, extras
                    )
                    notes += more
                    watch.lap("steady")
                patches = merge_patches(image, faces, model, params, extras)
                watch.lap("merge")
                inferred = keep.ran.get("prediction", 0.0)
                watch.move("merge", "inference", inferred)
                cached["inference"] = "prediction" not in keep.ran
                if patches:
                    roi, part = _layer_of(rgba, image, patches, request.space, out)
                watch.lap("layer")
            return Outcome(part, roi, found, cached, watch.ms, digest, matte_digest, notes)

    def fit(
        self, rgba: np.ndarray, request: MergeRequest, matte: np.ndarray | None = None
    ) -> list[Fitted]:
        """What this frame alone says about its chosen faces' colour and mask, for a FitWriter.

        Raises: as `merge`.
        """
        with self._lock:
            cast, extras = self._cast(request), self._networks(request, matte)
            digest = pixel_digest(rgba)
            pick, _ = self._picker(rgba, request, digest)
            found, _ = self._found(rgba, request, digest, pick)
            found, per_face = cast.of(found, pick, request.params)
            faces = [f.face for f in found if f.chosen]
            extras = replace(extras, faces=per_face)
            rect = reach(faces, cast.model, request.params, rgba.shape, extras)
            image = layer.display_image(rgba, request.space, rect)
            return fits_of(image, faces, cast.model, request.params, extras)

    def plan_seats(self, request: SeatPlanRequest) -> SeatPlan:
        """Which frames to look at. Raises: as `merge`, and what reading the faces raises."""
        with self._lock:
            clip = self._stored.clip(request.faces, request.width, request.height)
            cast = open_cast(request.model, {}, request.cast, self._models.get)
        return plan_seats(clip, cast, request)

    def look(self, rgba: np.ndarray, space: WorkingSpace, index: int, plan: SeatPlan) -> int:
        """Measure the frame at `index` for `plan`; gives how many models lie in it and are found.

        Raises: MissingWeights, BadWeights, ModelError.
        """
        with self._lock:
            image = layer.display_image(rgba, space, (0, 0, rgba.shape[1], rgba.shape[0]))
            return plan.look(index, image, self.detector)

    def _cast(self, request: MergeRequest) -> Casting:
        return open_cast(request.model, request.seat, request.cast, self._models.get)

    def _networks(self, request: MergeRequest, matte: np.ndarray | None) -> FrameExtras:
        segmenter, enhancer = request.segmenter, request.enhancer
        return FrameExtras(
            segmenter=None if segmenter is None else self._segmenters.get(segmenter),
            enhancer=None if enhancer is None else self._enhancers.get(enhancer),
            host_matte=matte,
            seed=self._place(request),
        )

    def _place(self, request: MergeRequest) -> int:
        """The frame's index in its clip, as a faceset knows it: whatever a host calls the frame, it
        has the same grain and the same fits everywhere."""
        if request.faces is not None or request.faceset is None:
            return request.frame
        place = self._stored.clip_index(request.faceset, request.frame_key or "")
        return request.frame if place is None else place

    def _picker(
        self, rgba: np.ndarray, request: MergeRequest, digest: str
    ) -> tuple[Pick, list[str]]:
        """What answers a choice of this frame's faces, and the notes that it makes meanwhile."""
        notes: list[str] = []
        frame = Looked(
            digest + request.space.name,
            request.width,
            request.height,
            cache(lambda: layer.detection_image(rgba, request.space)),
            request.track_sizes,
        )

        def pick(choice: FaceChoice, faces: Sequence[Face]) -> Sequence[Face]:
            chosen, note = self._alike.pick(choice, faces, frame, request.resemblance)
            notes.extend([note] if note else [])
            return chosen

        return pick, notes

    def _found(
        self, rgba: np.ndarray, request: MergeRequest, digest: str, pick: Pick
    ) -> tuple[tuple[FoundFace, ...], bool]:
        """Faces of the frame, and whether the detector stayed idle."""
        idle = True
        if request.faces is not None:
            faces = [given.face for given in request.faces]
            ways = [_motion_of(given) for given in request.faces]
        elif request.faceset is not None:
            faces, ways = self._stored.of_frame(
                request.faceset, request.frame_key or "", request.width, request.height
            )
        else:
            faces, idle = self._detected(rgba, request.space, digest)
            ways = [None] * len(faces)
        chosen = pick(request.choice, faces)
        taken = {id(face) for face in chosen}
        found = (
            FoundFace(face, way, id(face) in taken) for face, way in zip(faces, ways, strict=True)
        )
        return tuple(found), idle

    def _detected(
        self, rgba: np.ndarray, space: WorkingSpace, digest: str
    ) -> tuple[list[Face], bool]:
        key = ("faces", digest, space.name, self.detector.name)
        faces = self._cache.get(key)
        if faces is not None:
            return faces, True
        faces = self.detector.detect(layer.detection_image(rgba, space))
        self._cache.put(key, faces, 4096 * (1 + len(faces)))  # landmarks twice, boxes, objects
        return faces, False

    def _display_image(
        self, rgba: np.ndarray, space: WorkingSpace, reach: Rect, digest: str
    ) -> np.ndarray:
        key = (digest, space.name, reach)
        image = self._images.get(key)
        if image is None:
            image = layer.display_image(rgba, space, reach)
            image.flags.writeable = False
            # rows beside it were never touched, so the system has given no memory for them; of
            # those that were it gives all, in pages of 2 MB
            self._images.put(key, image, (reach[3] - reach[1]) * image.strides[0])
        return image


def _layer_of(
    rgba: np.ndarray,
    image: np.ndarray,
    patches: Sequence[Patch],
    space: WorkingSpace,
    out: np.ndarray | None,
) -> tuple[Rect, np.ndarray]:
    """The rectangle around all patches, and its layer (h, w, 4)."""
    roi = NOWHERE
    for patch in patches:
        roi = union(roi, patch.rect)
    x0, y0, x1, y1 = roi
    window = np.s_[y0:y1, x0:x1]
    height, width = y1 - y0, x1 - x0
    room = np.empty(height * width * 4, np.float32) if out is None else out
    part = room[: height * width * 4].reshape(height, width, 4)
    if len(patches) == 1:
        patch = patches[0]
        layer.patch_layer(rgba[window], image[window], patch.face, patch.alpha, space, part)
    else:
        merged = image[window].copy()
        matte = np.zeros((height, width), np.float32)
        for patch in patches:
            left, top, right, bottom = patch.rect
            moved = (left - x0, top - y0, right - x0, bottom - y0)
            lay(merged, matte, replace(patch, rect=moved))
        layer.face_layer(rgba[window], merged, matte, space, part)
    return roi, part


def _coarse(rect: Rect, shape: tuple[int, ...]) -> Rect:
    """`rect` grown to a coarse grid, so that a face that is moved a little needs no other picture
    of its frame."""
    x0, y0, x1, y1 = rect
    step = _REACH_STEP
    grown = (x0 // step * step, y0 // step * step, -(-x1 // step) * step, -(-y1 // step) * step)
    return clipped(grown, shape)


def _motion_of(given: GivenFace) -> np.ndarray | None:
    """From the landmarks one frame before and after that the host gave with the face."""
    face = replace(given.face, track=0)
    before, after = (
        [] if points is None else [replace(face, landmarks=points)]
        for points in (given.before, given.after)
    )
    return motions(before, [face], after)[0]


def pixel_digest(pixels: np.ndarray) -> str:
    """sha256 of size and bits of a contiguous float32 picture: a false match would show the
    wrong face. With a processor's SHA instructions 24 ms at 1080p, half of blake2b's time."""
    state = hashlib.sha256(f"{pixels.shape}".encode())
    state.update(pixels.data.cast("B"))
    return state.hexdigest()


class _Stopwatch:
    """Milliseconds of each stage."""

    def __init__(self) -> None:
        self.ms: dict[str, float] = {}
        self._since = time.perf_counter()

    def lap(self, stage: str) -> None:
        now = time.perf_counter()
        self.ms[stage] = round((now - self._since) * 1e3, 3)
        self._since = now

    def move(self, stage: str, other: str, ms: float) -> None:
        """Count `ms` of one stage as another's."""
        self.ms[other] = round(ms, 3)
        self.ms[stage] = round(self.ms[stage] - ms, 3)
