"""All that one merge of a clip is made of, beside the frames: models, controls over time, faces.

`run.py` asks a job, for every frame, which faces it has, which values hold, and what the frame
brings along (`extras.py`). Every answer is made from values alone, so frames may be asked in any
order and from several threads; `matte_at`, which reads a file, is for the thread that reads frames.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from facegraft.errors import ParameterError
from facegraft.faces.face import Face
from facegraft.inference import SwapModel
from facegraft.media.images import to_unit
from facegraft.media.source import Frame, FrameSource, SourceInfo
from facegraft.merge.animation import Animation
from facegraft.merge.clip.faces import ClipFaces
from facegraft.merge.detail.motion import motions
from facegraft.merge.extras import FaceExtras, FrameExtras
from facegraft.merge.params import MergeParams

if TYPE_CHECKING:
    from facegraft.enhance import Enhancer
    from facegraft.merge.clip.seat import Seat
    from facegraft.merge.over_time import SteadyFits
    from facegraft.segment import Segmenter


@dataclass(frozen=True, slots=True, eq=False)
class MergeJob:
    """See the module.

    model:  of every face, unless `models` gives each of a frame's faces its own (clip/cast.py).
    seats:  by the digest of a model, what places its faces right (clip/seat.py).
    mattes: the host's matte as a clip of the plate's size and length, or one picture for all.
    steady: what `over_time.fit_clip` found, for smooth_color and smooth_mask.
    """

    model: SwapModel
    animation: Animation
    clip: ClipFaces
    models: Mapping[int, tuple[SwapModel, ...]] = field(default_factory=dict)
    seats: "Mapping[str, Seat]" = field(default_factory=dict)
    segmenter: "Segmenter | None" = None
    enhancer: "Enhancer | None" = None
    mattes: FrameSource | None = None
    steady: "SteadyFits | None" = None

    def faces(self, frame: Frame) -> tuple[Face, ...]:
        return self.clip.at(frame.index)

    def params(self, frame: Frame) -> MergeParams:
        return self.animation.at(frame.index)

    def extras(
        self,
        frame: Frame,
        faces: Sequence[Face],
        params: MergeParams,
        matte: np.ndarray | None = None,
    ) -> FrameExtras:
        """What the frame brings along; `matte` is what `matte_at` read for it."""
        models = self.models.get(frame.index) or (self.model,) * len(faces)
        moves = self._motions(frame, faces, params)
        return FrameExtras(
            faces=[
                self._face_extras(frame.index, face, model, params, motion)
                for face, model, motion in zip(faces, models, moves, strict=True)
            ],
            segmenter=self.segmenter,
            enhancer=self.enhancer,
            host_matte=matte,
            seed=frame.index,
        )

    def _face_extras(
        self,
        index: int,
        face: Face,
        model: SwapModel,
        params: MergeParams,
        motion: np.ndarray | None,
    ) -> FaceExtras:
        seat = self.seats.get(model.digest)
        fit = self.steady.of(index, face.track) if self.steady else None
        return FaceExtras(
            model=None if model is self.model else model,
            params=seat.added_to(params) if seat else None,
            motion=motion,
            color_map=fit.color_map if fit else None,
            mask=fit.mask() if fit else None,
        )

    def clips_by_model(self) -> list[tuple[SwapModel, ClipFaces]]:
        """Each model with the faces that it is given."""
        by_digest: dict[str, tuple[SwapModel, dict[int, tuple[Face, ...]]]] = {}
        for index, faces in self.clip.frames.items():
            models = self.models.get(index) or (self.model,) * len(faces)
            for face, model in zip(faces, models, strict=True):
                _, frames = by_digest.setdefault(model.digest, (model, {}))
                frames[index] = (*frames.get(index, ()), face)
        return [(model, ClipFaces(frames)) for model, frames in by_digest.values()]

    def _motions(
        self, frame: Frame, faces: Sequence[Face], params: MergeParams
    ) -> Sequence[np.ndarray | None]:
        if params.motion_blur == 0:
            return [None] * len(faces)
        return motions(self.clip.at(frame.index - 1), faces, self.clip.at(frame.index + 1))

    def matte_at(self, index: int) -> np.ndarray | None:
        """The host's matte of a frame, (H, W) float32 0..1: the red channel of its picture.

        Raises: UnreadableMedia.
        """
        if self.mattes is None:
            return None
        frame = self.mattes[index if self.mattes.info.frame_count > 1 else 0]
        return np.clip(to_unit(frame.pixels[..., 0]), 0, 1)


def check_mattes(mattes: SourceInfo, plate: SourceInfo) -> None:
    """Raises: ParameterError where the mattes do not fit the plate."""
    if (mattes.width, mattes.height) != (plate.width, plate.height):
        raise ParameterError(
            f"{mattes.path.name} is {mattes.width}x{mattes.height} px and the clip "
            f"{plate.width}x{plate.height}; render the matte at the clip's size"
        )
    if mattes.frame_count not in (1, plate.frame_count):
        raise ParameterError(
            f"{mattes.path.name} has {mattes.frame_count} frames and the clip {plate.frame_count}; "
            "give one matte for each frame, or one picture for all"
        )
