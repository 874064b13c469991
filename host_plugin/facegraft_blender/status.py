"""What the panel says about each node: the outcome of its last frame. Nothing here is saved."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import bpy  # pyright: ignore[reportMissingImports]

_log = logging.getLogger(__name__)


class Outcome(StrEnum):
    SWAPPED = "swapped"
    BAKED = "baked"
    NO_FACE = "no face"
    CANCELLED = "cancelled"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Status:
    """How one frame of one node went."""

    frame: int
    outcome: Outcome
    message: str = ""  # empty where all is well
    notes: Sequence[str] = ()  # what the engine could not do, or did otherwise than asked
    faces: Sequence[Mapping[str, Any]] = ()  # "landmarks" in px of `size`, "track", "score", ...
    size: tuple[int, int] = (0, 0)  # width and height of the picture that entered the node
    ms: Mapping[str, float] = field(default_factory=dict)  # by stage
    cached: Mapping[str, bool] = field(default_factory=dict)


_by_tree: dict[int, Status] = {}  # by the tree's session id


def report(tree: bpy.types.NodeTree, status: Status) -> None:
    """Keep the status for the panel; messages go to the log too, notes where they are new."""
    before = last(tree)
    _by_tree[tree.session_uid] = status
    if status.message:
        level = logging.ERROR if status.outcome is Outcome.ERROR else logging.WARNING
        _log.log(level, "FaceGraft: frame %d: %s", status.frame, status.message)
    for note in status.notes:
        if before is None or note not in before.notes:
            _log.warning("FaceGraft: frame %d: %s: %s", status.frame, tree.name, note)


def last(tree: bpy.types.NodeTree) -> Status | None:
    return _by_tree.get(tree.session_uid)


def forget() -> None:
    """Session ids are not those of a newly loaded file."""
    _by_tree.clear()
