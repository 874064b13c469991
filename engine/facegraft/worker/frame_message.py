"""What a client's message says of one frame beside its pixels. Standard library and numpy only."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from facegraft.worker.protocol import Message

_PLAIN_KEYS = ("track", "score", "held", "track_size")


@dataclass(frozen=True, slots=True)
class CastPart:
    """Another model for the faces of a choice, with its own seat (see `WorkerClient.merge`)."""

    choice: str
    model: str  # path
    seat: Mapping[str, float] = field(default_factory=dict)


def frame_values(
    *,
    model: str,
    params: Mapping[str, Any],
    color: str,
    faces: Sequence[Mapping[str, Any]] | None = None,
    faceset: str | None = None,
    frame_key: str | None = None,
    choice: str = "",
    cast: Sequence[CastPart] = (),
    segmenter: str = "",
    enhancer: str = "",
    frame: int = 0,
    seat: Mapping[str, float] | None = None,
    fits: str = "",
    recognition: str = "",
    likeness: float | None = None,
) -> Message:
    """What a message says of one frame beside its pixels; arguments as `WorkerClient.merge`."""
    message: Message = {
        "color": color,
        "model": absolute(model),
        "params": dict(params),
        "choice": choice,
        "cast": [
            {"choice": part.choice, "model": absolute(part.model), "seat": dict(part.seat)}
            for part in cast
        ],
        "segmenter": absolute(segmenter),
        "enhancer": absolute(enhancer),
        "frame": frame,
        "seat": dict(seat or {}),
        "fits": absolute(fits),
        "recognition": absolute(recognition),
        "likeness": likeness,
    }
    if faces is not None:
        message["faces"] = [_plain_face(face) for face in faces]
    if faceset is not None:
        message["faceset"] = absolute(faceset)
    if frame_key is not None:
        message["frame_key"] = frame_key
    return message


def _plain_face(face: Mapping[str, Any]) -> Message:
    """A face as JSON types."""
    plain: Message = {key: face[key] for key in _PLAIN_KEYS if key in face}
    for key in ("landmarks", "before", "after"):
        if face.get(key) is not None:
            plain[key] = np.asarray(face[key], np.float64).tolist()
    return plain


def absolute(path: str) -> str:
    """Empty stays empty, so that the worker can say that no path is set."""
    return os.path.abspath(path) if path else ""
