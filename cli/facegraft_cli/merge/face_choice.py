"""Help sections "Face choice" and "Steadiness": whose faces are swapped, how they are followed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import click

from facegraft.controls import controls_of, parse_values
from facegraft.embedding import Embedder
from facegraft.errors import ParameterError
from facegraft.faces.clip import Detector
from facegraft.faces.detect import FaceDetector
from facegraft.faces.faceset import Faceset
from facegraft.inference import SwapModel
from facegraft.media.source import FrameSource
from facegraft.merge.clip.cast import Part, cast_clip
from facegraft.merge.clip.choose import ChoiceKind, FaceChoice, choose, parse_choice
from facegraft.merge.clip.faces import ClipFaces, faces_from_set, find_faces
from facegraft.merge.clip.likeness import resolve_like
from facegraft.merge.clip.params import ClipParams
from facegraft.merge.clip.seat import seat
from facegraft.merge.clip.steady import steadied
from facegraft.merge.clip.track_file import load_tracks
from facegraft.merge.job import MergeJob
from facegraft.progress import Progress
from facegraft_cli.merge.device import Device
from facegraft_cli.options import given_values, option_in, table_options, together

SECTION = "Face choice"
STEADINESS = "Steadiness"
_STEADYING = {
    row.name
    for row in controls_of(ClipParams)
    if row.control.group == "Tracks" or row.name == "min_confidence"
}
MARGIN = 12  # frames searched beyond a range: tracks and smoothing need neighbours

face_options = together(
    table_options(ClipParams, sections={"Faces": SECTION}),
    option_in(
        SECTION,
        "--recognition",
        type=click.Path(path_type=Path),
        help="Face recognition model (ONNX, ArcFace kind), for like: in --choose and --cast.",
    ),
    option_in(
        SECTION,
        "--cast",
        multiple=True,
        metavar="CHOICE=MODEL",
        help="Another model for some faces, as often as there are people: 1=ada.dfm (a track), "
        "left:2=ben.dfm. The others get --model, or stay as they are without it.",
    ),
    option_in(
        SECTION,
        "--seat",
        is_flag=True,
        help="Measure in some frames how far each model's faces lie off their place, and correct "
        "the placement by it.",
    ),
    table_options(ClipParams, sections={"Tracks": STEADINESS}),
)


def clip_params(values: Mapping[str, Any]) -> ClipParams:
    """Raises: ParameterError."""
    rows = {row.name for row in controls_of(ClipParams)}
    given = {name: value for name, value in given_values(values).items() if name in rows}
    return parse_values(ClipParams, given)


def is_track_file(path: Path | None) -> bool:
    """Whether --faces names a file of tracked faces, as the node keeps it, and no faceset."""
    return path is not None and path.suffix.lower() == ".json"


def leaves_faces(values: Mapping[str, Any]) -> bool:
    """Whether faces stay as they are: a host's tracked ones were steadied, unless flags say how."""
    asked = given_values(values).keys() & _STEADYING
    return is_track_file(values["faces"]) and not asked


@dataclass(slots=True)
class Chooser:
    """Finds and picks the faces of one clip; the detector is opened once, when it is needed.

    leaves: faces are not steadied.
    """

    source: FrameSource
    params: ClipParams
    leaves: bool
    recognition: Path | None
    device: Device
    progress: Progress
    _detector: Detector | None = field(default=None, init=False)

    @property
    def detector(self) -> Detector:
        """Raises: MissingWeights with the next step."""
        if self._detector is None:
            self._detector = FaceDetector()
        return self._detector

    def chosen(self, indices: Sequence[int], folder: Path | None) -> ClipFaces:
        """The faces of the set in `folder`, or found around `indices`; steadied, then chosen.

        `folder` may be a track file, whose faces were steadied when they were tracked.

        Raises: ParameterError, FacesetError, MissingWeights, UnreadableMedia, Cancelled.
        """
        choice = parse_choice(self.params.choose)
        clip = self._all(indices, folder)
        if not self.leaves:
            clip = steadied(clip, self.params)
        info = self.source.info
        return choose(clip, self._known(choice, clip), info.width, info.height)

    def cast(self, job: MergeJob, parts: Sequence[Part], own: SwapModel | None) -> MergeJob:
        """`job` with a model for each of its faces; without parts as it is.

        own: the model of faces that no part means; None leaves them alone.
        Raises: ParameterError.
        """
        if not parts:
            return job
        info = self.source.info
        known = [(self._known(choice, job.clip), model) for choice, model in parts]
        done = cast_clip(job.clip, known, info.width, info.height, own)
        return replace(job, clip=done.clip, models=done.models)

    def seated(self, job: MergeJob) -> MergeJob:
        """`job` with the seat of each of its models. Raises: ParameterError, Cancelled."""
        seats = {}
        for model, clip in job.clips_by_model():
            found = seat(
                model, self.source, clip, self.detector, job.animation.constants,
                progress=self.progress,
            )  # fmt: skip
            seats[model.digest] = found
            moved = ", ".join(f"{name} {value:+g}" for name, value in found.to_values().items())
            self.progress.note(
                f"seat of {model.path.name}, from {found.frame_count} frames: {moved}"
            )
        return replace(job, seats=seats)

    def _known(self, choice: FaceChoice, clip: ClipFaces) -> FaceChoice:
        if choice.kind is not ChoiceKind.LIKE:
            return choice
        if self.recognition is None:
            raise ParameterError(
                f"{choice} compares faces; give --recognition MODEL.onnx, or choose by track:N"
            )
        embedder = Embedder.open(self.recognition, self.device.providers, self.device.threads)
        return resolve_like(
            choice, clip, self.source, embedder, self.detector, self.params.likeness, self.progress
        )

    def _all(self, indices: Sequence[int], folder: Path | None) -> ClipFaces:
        source = self.source
        if folder is None:
            last = source.info.frame_count - 1
            near = {
                n for i in indices for n in range(max(0, i - MARGIN), min(last, i + MARGIN) + 1)
            }
            return find_faces(source, sorted(near), self.detector, 0, self.progress)
        if is_track_file(folder):
            return load_tracks(folder, source.info.width, source.info.height)
        faceset = Faceset.open(folder)
        names = sorted({face.origin.source_name for face in faceset})
        if source.info.path.name not in names:
            self.progress.note(
                f"{folder} was extracted from {', '.join(names[:3])}, not {source.info.path.name}"
            )
        return faces_from_set(faceset, source)
