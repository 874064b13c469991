"""A merge message's values, checked before anything is computed."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from facegraft.controls import parse_values
from facegraft.errors import NotAModel, ParameterError, ProtocolError
from facegraft.merge.params import MergeParams
from facegraft.worker.protocol import MAX_SIDE, Message

COLORS = ("scene_linear", "display")
MAX_FACES = 100  # given faces per frame; more than that is a mistake in the host's list


@dataclass(frozen=True, slots=True, eq=False)
class MergeRequest:
    """What one frame asks for."""

    width: int  # px
    height: int
    input: int  # byte offset of the frame in the mapping
    output: int  # byte offset of the layer
    input_unchanged: bool
    color: str  # one of COLORS
    model: Path
    params: MergeParams
    landmarks: np.ndarray | None  # (N, 68, 2) float32 frame pixels, instead of detection
    faceset: Path | None
    frame_key: str | None


def parse_merge(message: Message) -> MergeRequest:
    """Raises: ProtocolError for a malformed message, ParameterError for values out of range,
    NotAModel where no model is named."""
    width, height = (_whole(message, k, 1, MAX_SIDE) for k in ("width", "height"))
    color = message.get("color")
    if color not in COLORS:
        raise ParameterError(f"color is {color!r}; it can be {', '.join(COLORS)}")
    values = message.get("params", {})
    if not isinstance(values, dict):
        raise ProtocolError(f"params is {type(values).__name__}; it is an object of values by name")
    faceset = _optional_text(message, "faceset")
    frame_key = _optional_text(message, "frame_key")
    if faceset is not None and frame_key is None:
        raise ParameterError("a faceset is given without a frame_key; name the frame in it")
    return MergeRequest(
        width=width,
        height=height,
        input=_whole(message, "input", 0, 1 << 62),
        output=_whole(message, "output", 0, 1 << 62),
        input_unchanged=message.get("input_unchanged") is True,
        color=color,
        model=model_path(text_of(message, "model")),
        params=parse_values(MergeParams, values),
        landmarks=_landmarks(message.get("landmarks")),
        faceset=None if faceset is None else Path(faceset),
        frame_key=frame_key,
    )


def model_path(text: str) -> Path:
    """Raises: NotAModel where the host has no model set, or not by its whole path."""
    if not text:
        raise NotAModel("no model is set; choose an exported .dfm file")
    path = Path(text)
    if not path.is_absolute():
        raise NotAModel(f"the model path {text!r} is relative; give the whole path")
    return path


def text_of(message: Message, key: str) -> str:
    """Raises: ProtocolError where the message lacks that text."""
    value = message.get(key)
    if not isinstance(value, str) or "\0" in value:
        raise ProtocolError(f"{message['type']}: {key} is {value!r}; it is a text")
    return value


def _optional_text(message: Message, key: str) -> str | None:
    return None if message.get(key) is None else text_of(message, key)


def _whole(message: Message, key: str, low: int, high: int) -> int:
    value = message.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise ProtocolError(f"merge: {key} is {value!r}; it is a whole number, {low} to {high}")
    return value


def _landmarks(value: Any) -> np.ndarray | None:
    if value is None:
        return None
    try:
        points = np.asarray(value, np.float32)
    except (TypeError, ValueError) as error:
        raise ProtocolError(f"landmarks are not numbers: {error}") from error
    if points.size == 0:
        return np.empty((0, 68, 2), np.float32)
    if points.ndim != 3 or points.shape[1:] != (68, 2) or len(points) > MAX_FACES:
        raise ProtocolError(
            f"landmarks have shape {points.shape}; they are up to {MAX_FACES} faces of 68 (x, y)"
        )
    if not np.isfinite(points).all():
        raise ProtocolError("landmarks hold a value that is not finite")
    return points
