"""Keys of a control over time: their values between keys, and their form in JSON.

Standard library only, since hosts write this file from their own curves:

    {"version": 2,
     "params": {"mode": "seamless",
                "mix": {"keys": [[0, 0.0], [24, 1.0, "hold"], [48, 0.5, "bezier", [40, 0.5]]]}}}

A key is [frame, value], [frame, value, kind] or [frame, value, kind, left, right]. Frames are
0-based indices of the clip. The kind says how the value goes on to the next key: `hold`, `linear`
or `bezier`. `left` and `right` are the key's handles, [frame, value] each or null; a bezier segment
runs by the right handle of its first key and the left one of its second, as an F-curve of Blender
does. A handle that is not given lies flat, a third of the way to the other key. Numbers are linear
unless told otherwise; switches, choices and texts hold. Before the first key and after the last
their values stay.
"""

import bisect
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from facegraft.controls import Row
from facegraft.errors import ParameterError

VERSION = 2  # 1 knew no bezier; everything else is the same
_FORM = 'keys are [frame, value, "hold", "linear" or "bezier", left handle, right handle]'
_HALVINGS = 60  # of 0..1; more than a float's digits

Point = tuple[float, float]  # frame, value


class Interpolation(StrEnum):
    HOLD = "hold"
    LINEAR = "linear"
    BEZIER = "bezier"


@dataclass(frozen=True, slots=True)
class Key:
    """One key. `value` has the row's type; handles matter beside bezier segments only."""

    frame: float
    value: Any
    interpolation: Interpolation
    left: Point | None = None
    right: Point | None = None


def value_at(keys: Sequence[Key], frame: float) -> Any:
    """The value of a curve at `frame`; `keys` in rising order, one or more.

    Numbers may overshoot their limits between keys. Whole numbers are rounded, halves up, as
    Blender rounds them.
    """
    after = bisect.bisect_right(keys, frame, key=lambda key: key.frame)
    if after == 0:
        return keys[0].value
    key = keys[after - 1]
    if after == len(keys) or key.interpolation is Interpolation.HOLD or frame == key.frame:
        return key.value
    following = keys[after]
    if key.interpolation is Interpolation.LINEAR:
        share = (frame - key.frame) / (following.frame - key.frame)
        value = key.value + (following.value - key.value) * share
    else:
        value = _bezier(key, following, frame)
    return math.floor(value + 0.5) if isinstance(key.value, int) else value


def _bezier(key: Key, following: Key, frame: float) -> float:
    """The cubic through both keys by the handles between them, at `frame`.

    A handle that is longer in time than the segment is shortened to it, with its direction kept,
    which makes time rise along the curve, so that one point of it belongs to `frame`.
    """
    start, end = (key.frame, key.value), (following.frame, following.value)
    third = (end[0] - start[0]) / 3
    right = key.right or (start[0] + third, start[1])
    left = following.left or (end[0] - third, end[1])
    first, second = _shortened(start, right, end[0]), _shortened(end, left, start[0])
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        t = (low + high) / 2
        if _cubic(start[0], first[0], second[0], end[0], t) < frame:
            low = t
        else:
            high = t
    return _cubic(start[1], first[1], second[1], end[1], (low + high) / 2)


def _shortened(point: Point, handle: Point, other_frame: float) -> Point:
    """`handle` of `point` within the time to the other key, on whichever side it points."""
    reach, length = abs(other_frame - point[0]), abs(handle[0] - point[0])
    if length <= reach:
        return handle
    share = reach / length
    return (
        point[0] + (handle[0] - point[0]) * share,
        point[1] + (handle[1] - point[1]) * share,
    )


def _cubic(a: float, b: float, c: float, d: float, t: float) -> float:
    """Bernstein's form of the cubic with these four control values at t, 0 to 1."""
    s = 1 - t
    return s * s * s * a + 3 * s * s * t * b + 3 * s * t * t * c + t * t * t * d


def sampled(values: Iterable[tuple[float, Any]]) -> tuple[Key, ...]:
    """Held keys from one value a frame, for curves that keys cannot say (modifiers, drivers).

    A value that repeats the one before it needs no key.
    """
    keys: list[Key] = []
    for frame, value in values:
        if not keys or keys[-1].value != value:
            keys.append(Key(frame, value, Interpolation.HOLD))
    return tuple(keys)


def document(params: Mapping[str, Any], **entries: Any) -> dict[str, Any]:
    """The whole file for `json.dump`: each row a constant or a sequence of keys.

    `entries` stand beside `params`, such as a preset's name.
    """
    values = {
        name: {"keys": [_key_to_json(key) for key in value]}
        if isinstance(value, tuple | list)
        else _plain(value)
        for name, value in params.items()
    }
    return {"version": VERSION, **entries, "params": values}


def _key_to_json(key: Key) -> list[Any]:
    values = [key.frame, _plain(key.value), str(key.interpolation)]
    if key.left or key.right:
        values += [point and list(point) for point in (key.left, key.right)]
    return values


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, StrEnum) else value


def parse_keys(row: Row, values: Mapping[str, Any]) -> tuple[Key, ...]:
    """The keys of a row in rising order. Raises: ParameterError naming row, key and limits."""
    items = values.get("keys")
    if set(values) != {"keys"} or not isinstance(items, list) or not items:
        raise ParameterError(f'{row.name} takes a value or {{"keys": [...]}} with one key or more')
    if not row.control.animatable:
        raise ParameterError(f"{row.name} cannot be animated; give one value")
    keys = sorted((_parse_key(row, item) for item in items), key=lambda key: key.frame)
    for before, after in zip(keys, keys[1:], strict=False):
        if before.frame == after.frame:
            raise ParameterError(f"{row.name} has two keys at frame {after.frame:g}; keep one")
    return tuple(keys)


def _parse_key(row: Row, item: Any) -> Key:
    if not isinstance(item, list) or not 2 <= len(item) <= 5:
        raise ParameterError(f"{row.name} has the key {item!r}; {_FORM}")
    frame = item[0]
    if not _is_number(frame):
        raise ParameterError(f"{row.name} has a key at frame {frame!r}; frames are numbers")
    steps = row.type is not int and row.type is not float
    name = item[2] if len(item) > 2 else ("hold" if steps else "linear")
    if name not in list(Interpolation):
        raise ParameterError(f"{row.name} has a key of kind {name!r}; {_FORM}")
    if steps and name != Interpolation.HOLD:
        raise ParameterError(
            f"{row.name} has a {name} key at frame {frame:g}, but its values have nothing between "
            'them; use "hold"'
        )
    left, right = (_parse_handle(row, frame, handle) for handle in (item[3:] + [None, None])[:2])
    return Key(frame, row.parse(item[1]), Interpolation(name), left, right)


def _parse_handle(row: Row, frame: float, handle: Any) -> Point | None:
    if handle is None:
        return None
    if not isinstance(handle, list) or len(handle) != 2 or not all(map(_is_number, handle)):
        raise ParameterError(
            f"{row.name} has the handle {handle!r} at frame {frame:g}; a handle is [frame, value]"
        )
    return float(handle[0]), float(handle[1])


def _is_number(value: Any) -> bool:
    return not isinstance(value, bool) and isinstance(value, int | float) and math.isfinite(value)
