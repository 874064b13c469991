"""A merge message's values, checked before anything is computed."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from facegraft.controls import parse_values
from facegraft.errors import NotAModel, ParameterError, ProtocolError
from facegraft.faces.face import Face
from facegraft.media.working_space import WorkingSpace, open_space
from facegraft.merge.clip.choose import EVERYONE, FaceChoice, parse_choice
from facegraft.merge.clip.params import SEAT_ROWS, ClipParams
from facegraft.merge.params import MergeParams
from facegraft.worker.fields import list_of, object_of, optional_text, path_of, text_of, whole
from facegraft.worker.protocol import MAX_SIDE, Message

SCENE_LINEAR = "scene_linear"  # a host's word for what it works in unless it says more
MAX_FACES = 100  # given faces per frame; more than that is a mistake in the host's list
MAX_CAST = 100

Seating = Mapping[str, float]  # SEAT_ROWS by name; empty where a model is not seated


@dataclass(frozen=True, slots=True, eq=False)
class GivenFace:
    """A face that the host names.

    before, after: (68, 2) float32, its landmarks one frame earlier and later, where they are known.
    track_size: px, of its track over the clip, where that is known.
    """

    face: Face
    before: np.ndarray | None = None
    after: np.ndarray | None = None
    track_size: float | None = None


@dataclass(frozen=True, slots=True)
class Resemblance:
    """How faces are compared with the picture of a choice `like:`."""

    network: Path | None = None  # of the ArcFace kind
    least: float = ClipParams().likeness  # cosine similarity, -1 to 1


@dataclass(frozen=True, slots=True)
class CastEntry:
    """Which faces are given to another model than the frame's, and what seats that one."""

    choice: FaceChoice
    model: Path
    seat: Seating = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class MergeRequest:
    """What one frame asks for."""

    width: int  # px
    height: int
    input: int  # byte offset of the frame in the mapping
    output: int | None  # byte offset of the layer; None where none is asked for
    space: WorkingSpace
    model: Path | None  # None: faces that the cast does not mean stay as they are
    params: MergeParams
    input_unchanged: bool = False
    faces: Sequence[GivenFace] | None = None  # instead of detection
    faceset: Path | None = None
    frame_key: str | None = None
    choice: FaceChoice = EVERYONE
    resemblance: Resemblance = field(default_factory=Resemblance)
    cast: tuple[CastEntry, ...] = ()
    segmenter: Path | None = None
    enhancer: Path | None = None
    matte: int | None = None  # byte offset of the host's matte
    matte_unchanged: bool = False
    frame: int = 0  # of the host's timeline: the grain's seed, and the index in `fits`
    seat: Seating = field(default_factory=dict)
    fits: Path | None = None  # file of the clip's fits, for the rows that look along time

    @property
    def track_sizes(self) -> dict[int, float]:
        """Px by track, where the host says them: `largest` then means the same in every frame."""
        given = self.faces or ()
        return {g.face.track: g.track_size for g in given if g.track_size and g.face.track >= 0}


def parse_merge(message: Message) -> MergeRequest:
    """Raises: ProtocolError for a malformed message, ParameterError for values out of range,
    NotAModel where no model is named; what `open_space` raises."""
    width, height = (whole(message, k, 1, MAX_SIDE) for k in ("width", "height"))
    faceset, frame_key = optional_text(message, "faceset"), optional_text(message, "frame_key")
    if faceset is not None and frame_key is None:
        raise ParameterError("a faceset is given without a frame_key; name the frame in it")
    choice = optional_text(message, "choice")
    has_matte = message.get("matte") is not None
    cast = cast_of(message.get("cast"))
    model = text_of(message, "model")
    is_merge = message["type"] == "merge"
    return MergeRequest(
        width=width,
        height=height,
        input=whole(message, "input", 0, 1 << 62),
        output=whole(message, "output", 0, 1 << 62) if is_merge else None,
        space=space_of(text_of(message, "color")),
        model=None if cast and not model else model_path(model),
        params=parse_values(MergeParams, object_of(message, "params")),
        input_unchanged=message.get("input_unchanged") is True,
        faces=_faces(message.get("faces")),
        faceset=None if faceset is None else Path(faceset),
        frame_key=frame_key,
        choice=choice_of(choice) if choice else EVERYONE,
        resemblance=_resemblance(message),
        cast=cast,
        segmenter=_network(message, "segmenter"),
        enhancer=_network(message, "enhancer"),
        matte=whole(message, "matte", 0, 1 << 62) if has_matte else None,
        matte_unchanged=message.get("matte_unchanged") is True,
        frame=whole(message, "frame", 0, 1 << 31) if message.get("frame") is not None else 0,
        seat=_seating(message.get("seat")),
        fits=_file(message, "fits"),
    )


def _file(message: Message, key: str) -> Path | None:
    return path_of(message, key) if optional_text(message, key) else None


def space_of(name: str) -> WorkingSpace:
    """Raises: as `open_space`."""
    return open_space("linear_rec709" if name == SCENE_LINEAR else name)


def model_path(text: str) -> Path:
    """Raises: NotAModel where the host has no model set, or not by its whole path."""
    if not text:
        raise NotAModel("no model is set; choose an exported .dfm file")
    return _whole_path(text, "model")


def _network(message: Message, key: str) -> Path | None:
    """A network's file; None where none, or the empty path of an unset field, is given."""
    text = optional_text(message, key)
    return _whole_path(text, key) if text else None


def _whole_path(text: str, what: str) -> Path:
    path = Path(text)
    if not path.is_absolute():
        raise NotAModel(f"the {what} path {text!r} is relative; give the whole path")
    return path


def cast_of(value: Any) -> tuple[CastEntry, ...]:
    entries = [] if value is None else list_of(value, "cast", MAX_CAST)
    return tuple(
        CastEntry(
            choice_of(str(e.get("choice"))),
            model_path(str(e.get("model") or "")),
            _seating(e.get("seat")),
        )
        for e in entries
    )


def choice_of(text: str) -> FaceChoice:
    """Raises: ParameterError for an unknown form, and a picture without its whole path."""
    choice = parse_choice(text)
    if choice.picture is not None and not choice.picture.is_absolute():
        raise ParameterError(
            f"the picture's path {str(choice.picture)!r} is relative; give the whole path"
        )
    return choice


def _resemblance(message: Message) -> Resemblance:
    """Raises: NotAModel for a relative path, ParameterError for a likeness out of range."""
    asked = message.get("likeness")
    values = {} if asked is None else {"likeness": asked}
    return Resemblance(_network(message, "recognition"), parse_values(ClipParams, values).likeness)


def _seating(value: Any) -> Seating:
    if value is None:
        return {}
    good = isinstance(value, dict) and all(
        name in SEAT_ROWS and isinstance(v, int | float) and math.isfinite(v)
        for name, v in value.items()
    )
    if not good:
        raise ProtocolError(f"seat is {value!r}; it has numbers by name: {', '.join(SEAT_ROWS)}")
    return {name: float(v) for name, v in value.items()}


def _faces(value: Any) -> list[GivenFace] | None:
    if value is None:
        return None
    return [_face(entry) for entry in list_of(value, "faces", MAX_FACES)]


def _face(values: Mapping[str, Any]) -> GivenFace:
    points = _points(values.get("landmarks"))
    if points is None:
        raise ProtocolError("a face comes without landmarks; they are 68 (x, y)")
    track, score = values.get("track"), values.get("score")
    size = values.get("track_size")
    if size is not None and not (isinstance(size, int | float) and 0 < size < math.inf):
        raise ProtocolError(f"a face has track_size {size!r}; it is a number of pixels")
    good_track = track is None or (isinstance(track, int) and not isinstance(track, bool))
    good_score = score is None or (isinstance(score, int | float) and 0 <= score <= 1)
    if not good_track or not good_score:
        raise ProtocolError(
            f"a face has track {track!r} and score {score!r}; they are a whole number and 0 to 1"
        )
    face = face_from(
        points,
        score=1.0 if score is None else float(score),
        track=-1 if track is None else track,
        held=values.get("held") is True,
    )
    return GivenFace(face, _points(values.get("before")), _points(values.get("after")), size)


def face_from(points: np.ndarray, score: float = 1.0, track: int = -1, held: bool = False) -> Face:
    """A face that somebody else found. `points`: (68, 2) float32 frame pixels."""
    (x0, y0), (x1, y1) = points.min(axis=0), points.max(axis=0)
    box = (float(x0), float(y0), float(x1), float(y1))
    return Face(landmarks=points, box=box, score=score, track=track, held=held)


def _points(value: Any) -> np.ndarray | None:
    if value is None:
        return None
    try:
        points = np.asarray(value, np.float32)
    except (TypeError, ValueError) as error:
        raise ProtocolError(f"landmarks are not numbers: {error}") from error
    if points.shape != (68, 2):
        raise ProtocolError(f"landmarks have shape {points.shape}; a face has 68 (x, y)")
    if not np.isfinite(points).all():
        raise ProtocolError("landmarks hold a value that is not finite")
    return points
