"""The seats of a clip's models, measured in frames that a host hands over one by one.

`plan_seats` says which frames are needed: some for each model, spread over the faces that it is
given. The host sends those, and `measured` gives what `merge/clip/seat.py` would of the whole clip.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from facegraft.errors import ParameterError
from facegraft.faces.clip import Detector
from facegraft.faces.face import Face
from facegraft.inference import SwapModel
from facegraft.merge.clip.cast import Part, cast_clip
from facegraft.merge.clip.choose import choose
from facegraft.merge.clip.faces import ClipFaces
from facegraft.merge.clip.seat import Seat, Similarity, displacement, frames_to_look_at, seat_of
from facegraft.merge.params import MergeParams
from facegraft.worker.casting import Casting
from facegraft.worker.clip_request import SeatPlanRequest


@dataclass(slots=True, eq=False)
class _Look:
    """One model: the largest of its faces by frame, and what was found so far."""

    model: SwapModel
    faces: Mapping[int, Face]
    found: list[Similarity] = field(default_factory=list)
    seen: int = 0


@dataclass(slots=True, eq=False)
class SeatPlan:
    """The measuring of a clip's seats, as far as it got."""

    params: MergeParams
    looks: Sequence[_Look]

    @property
    def frames(self) -> list[int]:
        """Indices of the frames that it needs, rising."""
        return sorted({index for one in self.looks for index in one.faces})

    def look(self, index: int, image: np.ndarray, detector: Detector) -> int:
        """Measure a frame, (H, W, 3) float32 display-referred; gives how many models are found.

        Raises: ModelError.
        """
        count = 0
        for one in self.looks:
            if index in one.faces:
                face = one.faces[index]
                moved = displacement(image, face, one.model, detector, self.params)
                one.seen += 1
                if moved is not None:
                    one.found.append(moved)
                    count += 1
        return count

    def measured(self) -> list[tuple[SwapModel, Seat]]:
        """Raises: ParameterError naming a model that was found in too few frames."""
        result = []
        for one in self.looks:
            try:
                result.append((one.model, seat_of(one.found, one.seen)))
            except ParameterError as error:
                raise ParameterError(f"{one.model.path.name}: {error}") from error
        return result


def plan_seats(clip: ClipFaces, cast: Casting, request: SeatPlanRequest) -> SeatPlan:
    """The frames that each model is to be looked at in.

    Raises: ParameterError where none of the faces is meant, or a track does not exist.
    """
    width, height = request.width, request.height
    clip = choose(clip, request.choice, width, height)
    parts: list[Part] = [(entry.choice, model) for entry, model in cast.parts]
    done = cast_clip(clip, parts, width, height, cast.own)
    by_digest: dict[str, tuple[SwapModel, dict[int, tuple[Face, ...]]]] = {}
    for index, faces in done.clip.frames.items():
        for face, model in zip(faces, done.models[index], strict=True):
            _, frames = by_digest.setdefault(model.digest, (model, {}))
            frames[index] = (*frames.get(index, ()), face)
    looks = []
    for model, frames in by_digest.values():
        own = ClipFaces(frames)
        looks.append(_Look(model, {i: own.at(i)[0] for i in frames_to_look_at(own)}))
    if not looks:
        raise ParameterError("no face of the clip is chosen; there is nothing to seat")
    return SeatPlan(request.params, looks)
