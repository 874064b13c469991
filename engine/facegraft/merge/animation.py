"""MergeParams over time: constants and keys from a JSON file, one value a frame.

    {"version": 1,
     "params": {"mode": "seamless",
                "mix": {"keys": [[0, 0.0], [24, 1.0, "hold"], [48, 0.5]]}}}

A key is [frame, value] or [frame, value, "linear" | "hold"]; frames are 0-based indices of the
clip, and the third item says how the value goes on to the next key. Numbers are linear unless told
otherwise, whole numbers rounded; switches and choices hold. Before the first key and after the last
their values stay.
"""

import bisect
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Self

from facegraft.controls import Row, controls_of, parse_values, plain_values
from facegraft.errors import FutureVersion, ParameterError
from facegraft.merge.params import MergeParams

VERSION = 1
_FORM = 'keys are [frame, value] or [frame, value, "linear" or "hold"]'


class Interpolation(StrEnum):
    LINEAR = "linear"
    HOLD = "hold"


@dataclass(frozen=True, slots=True)
class Key:
    frame: float
    value: Any  # of the row's type
    interpolation: Interpolation


@dataclass(frozen=True, slots=True)
class Animation:
    """Constants for every row, and curves (keys in rising order) for those that change."""

    constants: MergeParams
    curves: Mapping[str, tuple[Key, ...]]

    @classmethod
    def constant(cls, params: MergeParams) -> Self:
        return cls(params, {})

    @classmethod
    def from_json(cls, values: Any) -> Self:
        """Raises: ParameterError naming the row, the value and its limits; FutureVersion."""
        if not isinstance(values, dict) or not isinstance(values.get("params"), dict):
            raise ParameterError('merge parameters are {"version": 1, "params": {...}}')
        _check_version(values.get("version"))
        unknown = sorted(set(values) - {"version", "params"})
        if unknown:
            raise ParameterError(f"unknown entry {', '.join(unknown)} beside version and params")
        rows = {row.name: row for row in controls_of(MergeParams)}
        constants = {k: v for k, v in values["params"].items() if not isinstance(v, dict)}
        keyed = {k: v for k, v in values["params"].items() if isinstance(v, dict)}
        params = parse_values(
            MergeParams, {**constants, **{k: None for k in keyed if k not in rows}}
        )
        return cls(params, {name: _parse_keys(rows[name], keys) for name, keys in keyed.items()})

    def to_json(self) -> dict[str, Any]:
        """JSON types; `from_json` gives the same animation back."""
        values: dict[str, Any] = dict(plain_values(self.constants))
        for name, keys in self.curves.items():
            values[name] = {
                "keys": [[k.frame, _plain(k.value), str(k.interpolation)] for k in keys]
            }
        return {"version": VERSION, "params": values}

    def at(self, frame: float) -> MergeParams:
        """The parameters of one frame."""
        if not self.curves:
            return self.constants
        values = {name: _value_at(keys, frame) for name, keys in self.curves.items()}
        return parse_values(MergeParams, {**plain_values(self.constants), **values})

    def with_constants(self, values: Mapping[str, Any]) -> "Animation":
        """`values` held over the whole clip in place of what was there: flags over a file."""
        constants = parse_values(MergeParams, {**plain_values(self.constants), **values})
        return Animation(constants, {k: v for k, v in self.curves.items() if k not in values})


def load_animation(path: Path) -> Animation:
    """An animation from a JSON file. Raises: ParameterError naming the file, FutureVersion."""
    try:
        values = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ParameterError(f"cannot read merge parameters from {path}: {error}") from error
    try:
        return Animation.from_json(values)
    except ParameterError as error:
        raise ParameterError(f"{path}: {error}") from error


def _check_version(version: Any) -> None:
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        raise ParameterError(f"version is {version!r}; this FaceGraft writes {VERSION}")
    if version > VERSION:
        raise FutureVersion(
            f"the merge parameters have version {version}, this FaceGraft reads up to {VERSION}; "
            "update FaceGraft"
        )


def _parse_keys(row: Row, values: dict[str, Any]) -> tuple[Key, ...]:
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
    if not isinstance(item, list) or len(item) not in (2, 3):
        raise ParameterError(f"{row.name} has the key {item!r}; {_FORM}")
    frame = item[0]
    if isinstance(frame, bool) or not isinstance(frame, int | float) or not math.isfinite(frame):
        raise ParameterError(f"{row.name} has a key at frame {frame!r}; frames are numbers")
    steps = row.type is not int and row.type is not float
    name = item[2] if len(item) == 3 else ("hold" if steps else "linear")
    if name not in list(Interpolation):
        raise ParameterError(f"{row.name} has a key of kind {name!r}; {_FORM}")
    if steps and name != Interpolation.HOLD:
        raise ParameterError(
            f"{row.name} has a linear key at frame {frame:g}, but its values have nothing between "
            'them; use "hold"'
        )
    return Key(frame, row.parse(item[1]), Interpolation(name))


def _value_at(keys: tuple[Key, ...], frame: float) -> Any:
    after = bisect.bisect_right(keys, frame, key=lambda key: key.frame)
    if after == 0:
        return keys[0].value
    key = keys[after - 1]
    if after == len(keys) or key.interpolation is Interpolation.HOLD:
        return key.value
    following = keys[after]
    share = (frame - key.frame) / (following.frame - key.frame)
    value = key.value + (following.value - key.value) * share
    return round(value) if isinstance(key.value, int) else value


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, StrEnum) else value
