"""The rows that look along a clip, smooth_color and smooth_mask: fitted first, averaged, then used.

`fit_clip` reads the frames to be merged and their neighbours once. It fits each face's colour and
mask in its own frame and averages them along the face's track by Gaussian weights that look both
ways. The merge, in whatever order it works, is then handed the averages. Neighbours outside the
chosen frames are read too, so a farm's chunk gets the pixels of the whole clip.

It helps against what spoils single frames: grain, a network's unsteady mask, something that passes
in front of the face. It is no help where the plate's own exposure flickers, which a fit of each
frame follows and an average does not (`benchmarks/flicker.py`).
"""

import math
import zlib
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from facegraft.errors import Cancelled
from facegraft.media.source import Frame, FrameSource
from facegraft.merge.area import face_area
from facegraft.merge.clip.steady import neighbours
from facegraft.merge.color.maps import ColorMap, average_maps
from facegraft.merge.frame import FaceFit, fit_faces
from facegraft.merge.in_order import in_order
from facegraft.merge.job import MergeJob
from facegraft.merge.mask.face_mask import MASK_SIZE
from facegraft.merge.mask.steady import MaskWindow
from facegraft.merge.params import MaskMode, MergeMode, MergeParams
from facegraft.progress import Progress, Silent

Place = tuple[int, int]  # a face: frame, track
Weights = Sequence[tuple[int, float]]  # of the frames around it

_MASK_STEPS = 65535
_CLONING = (MergeMode.SEAMLESS, MergeMode.SEAMLESS_HIST_MATCH)


@dataclass(frozen=True, slots=True, eq=False)
class SteadyFit:
    """A face's colour and mask, averaged over time; None where its own frame's are to be used."""

    color_map: ColorMap | None
    packed_mask: bytes | None  # deflated: a clip's masks are kept together

    def mask(self) -> np.ndarray | None:
        """(MASK_SIZE, MASK_SIZE) float32 0..1."""
        if self.packed_mask is None:
            return None
        steps = np.frombuffer(zlib.decompress(self.packed_mask), np.uint16)
        return steps.reshape(MASK_SIZE, MASK_SIZE) * np.float32(1 / _MASK_STEPS)


@dataclass(frozen=True, slots=True, eq=False)
class SteadyFits:
    """The fits of a clip, by face."""

    fits: Mapping[Place, SteadyFit]

    def of(self, index: int, track: int) -> SteadyFit | None:
        return self.fits.get((index, track))


def looks_along(params: MergeParams) -> bool:
    """Whether a clip with these values needs `fit_clip`."""
    return params.smooth_color > 0 or params.smooth_mask > 0


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A face to be steadied, and the frames that it takes."""

    place: Place
    color: Weights
    mask: Weights

    @property
    def frames(self) -> list[int]:
        return [index for index, _ in (*self.color, *self.mask)] or [self.place[0]]


@dataclass(slots=True)
class _Averages:
    """Fits as they come in, and what they are averaged to."""

    job: MergeJob
    maps: dict[Place, ColorMap] = field(default_factory=dict)
    masks: MaskWindow = field(default_factory=MaskWindow)
    done: dict[Place, SteadyFit] = field(default_factory=dict)

    def put(self, index: int, fits: Mapping[int, FaceFit]) -> None:
        for track, fit in fits.items():
            self.maps[index, track] = fit.color_map
            self.masks.put(index, track, fit.mask)

    def finish(self, wanted: _Wanted) -> None:
        """Average what one face wants; all of its frames are here."""
        mask = self.masks.average(wanted.place[1], wanted.mask)
        packed = None
        if mask is not None:
            steps = (mask * _MASK_STEPS + 0.5).astype(np.uint16)
            packed = zlib.compress(steps.tobytes(), level=1)
        self.done[wanted.place] = SteadyFit(self._color(wanted), packed)

    def _color(self, wanted: _Wanted) -> ColorMap | None:
        """Maps of another kind, where it is keyed, say nothing about this frame."""
        index, track = wanted.place
        kind = kind_of_map(self.job.animation.at(index))
        same = [
            (self.maps[n, track], weight)
            for n, weight in wanted.color
            if (n, track) in self.maps and kind_of_map(self.job.animation.at(n)) == kind
        ]
        if not same:
            return None
        maps, weights = zip(*same, strict=True)
        return average_maps(maps, weights)

    def forget(self, before: int) -> None:
        self.masks.forget(before)
        for place in [place for place in self.maps if place[0] < before]:
            del self.maps[place]


def fit_clip(
    source: FrameSource,
    job: MergeJob,
    indices: Sequence[int],
    progress: Progress | None = None,
    at_once: int = 0,
) -> SteadyFits:
    """Steady colour and mask for the faces in the frames at `indices` (rising).

    `at_once` frames are fitted at a time, see in_order.py.

    Raises: UnreadableMedia, ParameterError as `merge_frame`, Cancelled.
    """
    progress = progress or Silent()
    waiting = deque(_all_wanted(job, indices))
    needed = sorted({index for wanted in waiting for index in wanted.frames})
    rows = job.animation.constants
    reach = math.ceil(max(rows.smooth_color, rows.smooth_mask))
    progress.start(len(needed), "frames fitted")
    averages = _Averages(job)

    def frames() -> Iterator[tuple[Frame, np.ndarray | None]]:
        for index in needed:
            yield source[index], job.matte_at(index)

    for (frame, _), fits in in_order(frames(), lambda item: _fit_frame(job, *item), at_once):
        averages.put(frame.index, fits)
        while waiting and max(waiting[0].frames) <= frame.index:
            averages.finish(waiting.popleft())
        if waiting:
            averages.forget(waiting[0].place[0] - reach)
        progress.advance()
        if progress.cancelled:
            raise Cancelled(
                "the colours and masks of the clip were being fitted; nothing is merged"
            )
    return SteadyFits(averages.done)


def _all_wanted(job: MergeJob, indices: Sequence[int]) -> Iterator[_Wanted]:
    for index in indices:
        params = job.animation.at(index)
        tracks = dict.fromkeys(face.track for face in job.clip.at(index) if face.track >= 0)
        for track in tracks:
            color: Weights = ()
            mask: Weights = ()
            if params.smooth_color > 0:
                color = neighbours(job.clip, index, track, params.smooth_color)
            if params.smooth_mask > 0 and params.mask_mode is not MaskMode.HOST:
                mask = neighbours(job.clip, index, track, params.smooth_mask)
            yield _Wanted((index, track), color, mask)


def _fit_frame(job: MergeJob, frame: Frame, matte: np.ndarray | None) -> dict[int, FaceFit]:
    """The fit of each tracked face of a frame, by track."""
    faces, params = job.faces(frame), job.params(frame)
    area = face_area(frame, faces, job.model, params, job.extras(frame, faces, params, matte))
    if area is None:
        return {}
    fits = fit_faces(area.image, area.faces, job.model, params, area.extras)
    found: dict[int, FaceFit] = {}
    for face, fit in zip(faces, fits, strict=True):
        if face.track >= 0:
            found.setdefault(face.track, fit)
    return found


def kind_of_map(params: MergeParams) -> tuple[object, bool]:
    """Maps with equal kinds can be averaged."""
    return params.color_transfer, params.mode in _CLONING
