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
    width, height = (_whole(message, k, 1, MAX_SIDE) for k in ("width", "height"))
    faceset, frame_key = _optional_text(message, "faceset"), _optional_text(message, "frame_key")
    if faceset is not None and frame_key is None:
        raise ParameterError("a faceset is given without a frame_key; name the frame in it")
    choice = _optional_text(message, "choice")
    has_matte = message.get("matte") is not None
    cast = _cast(message.get("cast"))
    model = text_of(message, "model")
    is_merge = message["type"] == "merge"
    return MergeRequest(
        width=width,
        height=height,
        input=_whole(message, "input", 0, 1 << 62),
        output=_whole(message, "output", 0, 1 << 62) if is_merge else None,
        space=space_of(text_of(message, "color")),
        model=None if cast and not model else model_path(model),
        params=parse_values(MergeParams, _object(message, "params")),
        input_unchanged=message.get("input_unchanged") is True,
        faces=_faces(message.get("faces")),
        faceset=None if faceset is None else Path(faceset),
        frame_key=frame_key,
        choice=_choice(choice) if choice else EVERYONE,
        resemblance=_resemblance(message),
        cast=cast,
        segmenter=_network(message, "segmenter"),
        enhancer=_network(message, "enhancer"),
        matte=_whole(message, "matte", 0, 1 << 62) if has_matte else None,
        matte_unchanged=message.get("matte_unchanged") is True,
        frame=_whole(message, "frame", 0, 1 << 31) if message.get("frame") is not None else 0,
        seat=_seating(message.get("seat")),
        fits=_file(message, "fits"),
    )


@dataclass(frozen=True, slots=True)
class SearchRequest:
    """A frame of a clip whose faces are to be followed."""

    width: int  # px
    height: int
    input: int  # byte offset of the frame in the mapping
    space: WorkingSpace
    index: int  # of the frame in the clip
    is_first: bool  # begins another clip


def parse_search(message: Message) -> SearchRequest:
    """Raises: ProtocolError for a malformed message; what `open_space` raises."""
    return SearchRequest(
        width=_whole(message, "width", 1, MAX_SIDE),
        height=_whole(message, "height", 1, MAX_SIDE),
        input=_whole(message, "input", 0, 1 << 62),
        space=space_of(text_of(message, "color")),
        index=_whole(message, "index", 0, 1 << 31),
        is_first=message.get("first") is True,
    )


def parse_save_tracks(message: Message) -> tuple[Path, ClipParams]:
    """Where the tracks go, and how they are steadied.

    Raises: ProtocolError for a malformed message, ParameterError for values out of range.
    """
    return path_of(message, "path"), parse_values(ClipParams, _object(message, "clip"))


@dataclass(frozen=True, slots=True)
class SeatPlanRequest:
    """Whose seat is to be measured: the faces of a clip, and the models that they are given."""

    faces: Path  # track file or faceset
    width: int  # px, of the clip's frames
    height: int
    params: MergeParams
    model: Path | None
    choice: FaceChoice
    cast: tuple[CastEntry, ...]


def parse_seat_plan(message: Message) -> SeatPlanRequest:
    """Raises: as `parse_merge`."""
    cast = _cast(message.get("cast"))
    model, choice = text_of(message, "model"), _optional_text(message, "choice")
    return SeatPlanRequest(
        path_of(message, "faces"),
        _whole(message, "width", 1, MAX_SIDE),
        _whole(message, "height", 1, MAX_SIDE),
        parse_values(MergeParams, _object(message, "params")),
        None if cast and not model else model_path(model),
        parse_choice(choice) if choice else EVERYONE,
        cast,
    )


def path_of(message: Message, key: str) -> Path:
    """Raises: ProtocolError where the message lacks it, ParameterError for a relative path."""
    path = Path(text_of(message, key))
    if not path.is_absolute():
        raise ParameterError(f"{key} is {str(path)!r}, a relative path; give the whole path")
    return path


def _file(message: Message, key: str) -> Path | None:
    return path_of(message, key) if _optional_text(message, key) else None


def space_of(name: str) -> WorkingSpace:
    """Raises: as `open_space`."""
    return open_space("linear_rec709" if name == SCENE_LINEAR else name)


def model_path(text: str) -> Path:
    """Raises: NotAModel where the host has no model set, or not by its whole path."""
    if not text:
        raise NotAModel("no model is set; choose an exported .dfm file")
    return _whole_path(text, "model")


def text_of(message: Message, key: str) -> str:
    """Raises: ProtocolError where the message lacks that text."""
    value = message.get(key)
    if not isinstance(value, str) or "\0" in value:
        raise ProtocolError(f"{message['type']}: {key} is {value!r}; it is a text")
    return value


def _network(message: Message, key: str) -> Path | None:
    """A network's file; None where none, or the empty path of an unset field, is given."""
    text = _optional_text(message, key)
    return _whole_path(text, key) if text else None


def _whole_path(text: str, what: str) -> Path:
    path = Path(text)
    if not path.is_absolute():
        raise NotAModel(f"the {what} path {text!r} is relative; give the whole path")
    return path


def _optional_text(message: Message, key: str) -> str | None:
    return None if message.get(key) is None else text_of(message, key)


def _object(message: Message, key: str) -> Mapping[str, Any]:
    values = message.get(key, {})
    if not isinstance(values, dict):
        raise ProtocolError(f"{key} is {type(values).__name__}; it is an object of values by name")
    return values


def _whole(message: Message, key: str, low: int, high: int) -> int:
    value = message.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise ProtocolError(f"merge: {key} is {value!r}; it is a whole number, {low} to {high}")
    return value


def _list(value: Any, what: str, most: int) -> list[dict[str, Any]]:
    good = isinstance(value, list) and all(isinstance(entry, dict) for entry in value)
    if not good or len(value) > most:
        raise ProtocolError(f"{what} is no list of up to {most} objects")
    return value


def _cast(value: Any) -> tuple[CastEntry, ...]:
    entries = [] if value is None else _list(value, "cast", MAX_CAST)
    return tuple(
        CastEntry(
            _choice(str(e.get("choice"))),
            model_path(str(e.get("model") or "")),
            _seating(e.get("seat")),
        )
        for e in entries
    )


def _choice(text: str) -> FaceChoice:
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
    return [_face(entry) for entry in _list(value, "faces", MAX_FACES)]


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
