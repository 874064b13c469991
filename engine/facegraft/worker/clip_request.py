"""Values of the messages of passes over a clip, checked before anything is computed."""

from dataclasses import dataclass
from pathlib import Path

from facegraft.controls import parse_values
from facegraft.media.working_space import WorkingSpace
from facegraft.merge.clip.choose import EVERYONE, FaceChoice
from facegraft.merge.clip.params import ClipParams
from facegraft.merge.params import MergeParams
from facegraft.worker.fields import object_of, optional_text, path_of, text_of, whole
from facegraft.worker.protocol import MAX_SIDE, Message
from facegraft.worker.request import CastEntry, cast_of, choice_of, model_path, space_of


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
        width=whole(message, "width", 1, MAX_SIDE),
        height=whole(message, "height", 1, MAX_SIDE),
        input=whole(message, "input", 0, 1 << 62),
        space=space_of(text_of(message, "color")),
        index=whole(message, "index", 0, 1 << 31),
        is_first=message.get("first") is True,
    )


def parse_save_tracks(message: Message) -> tuple[Path, ClipParams]:
    """Where the tracks go, and how they are steadied.

    Raises: ProtocolError for a malformed message, ParameterError for values out of range.
    """
    return path_of(message, "path"), parse_values(ClipParams, object_of(message, "clip"))


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
    cast = cast_of(message.get("cast"))
    model, choice = text_of(message, "model"), optional_text(message, "choice")
    return SeatPlanRequest(
        path_of(message, "faces"),
        whole(message, "width", 1, MAX_SIDE),
        whole(message, "height", 1, MAX_SIDE),
        parse_values(MergeParams, object_of(message, "params")),
        None if cast and not model else model_path(model),
        choice_of(choice) if choice else EVERYONE,
        cast,
    )
