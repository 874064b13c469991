"""MergeParams over time: constants and keys, one value a frame; `keys.py` has the file's form."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from facegraft.controls import Row, controls_of, parse_values, plain_values
from facegraft.errors import FutureVersion, ParameterError
from facegraft.merge.keys import VERSION, Key, document, parse_keys, value_at
from facegraft.merge.params import MergeParams

ROWS = {row.name: row for row in controls_of(MergeParams)}
_BESIDE = {"version", "params", "name", "about"}  # the last two are a preset's


@dataclass(frozen=True, slots=True)
class Animation:
    """Constants for every row, and curves (keys in rising order) for those that change."""

    constants: MergeParams
    curves: Mapping[str, tuple[Key, ...]]

    @classmethod
    def constant(cls, params: MergeParams) -> Self:
        return cls(params, {})

    @classmethod
    def from_json(cls, values: Any, base: Mapping[str, Any] | None = None) -> Self:
        """`base`: values of the rows that `values` does not name, in place of their defaults.

        Raises: ParameterError naming the row, the value and its limits; FutureVersion.
        """
        params = checked_params(values)
        constants = {k: v for k, v in params.items() if not isinstance(v, dict)}
        keyed = {k: v for k, v in params.items() if isinstance(v, dict)}
        curves = {name: parse_keys(ROWS[name], keys) for name, keys in keyed.items()}
        return cls(parse_values(MergeParams, {**(base or {}), **constants}), curves)

    def to_json(self) -> dict[str, Any]:
        """JSON types; `from_json` gives the same animation back."""
        return document({**plain_values(self.constants), **self.curves})

    def at(self, frame: float) -> MergeParams:
        """The parameters of one frame. What overshoots between keys stops at the row's limits."""
        if not self.curves:
            return self.constants
        values = {
            name: _within(ROWS[name], value_at(keys, frame)) for name, keys in self.curves.items()
        }
        return parse_values(MergeParams, {**plain_values(self.constants), **values})

    def with_constants(self, values: Mapping[str, Any]) -> "Animation":
        """`values` held over the whole clip in place of what was there: flags over a file."""
        constants = parse_values(MergeParams, {**plain_values(self.constants), **values})
        return Animation(constants, {k: v for k, v in self.curves.items() if k not in values})


def load_animation(path: Path, base: Mapping[str, Any] | None = None) -> Animation:
    """An animation from a JSON file. Raises: ParameterError naming the file, FutureVersion."""
    try:
        values = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ParameterError(f"cannot read merge parameters from {path}: {error}") from error
    try:
        return Animation.from_json(values, base)
    except (ParameterError, FutureVersion) as error:
        raise type(error)(f"{path}: {error}") from error


def checked_params(values: Any) -> dict[str, Any]:
    """The `params` of a file's JSON, each the name of a row; the values are still as they came.

    Raises: ParameterError for another form, and for rows that do not exist; FutureVersion where
    the file is newer than this program, naming the rows that are unknown here.
    """
    if not isinstance(values, dict) or not isinstance(values.get("params"), dict):
        raise ParameterError(f'merge parameters are {{"version": {VERSION}, "params": {{...}}}}')
    params, version = values["params"], values.get("version")
    unknown = ", ".join(sorted(set(params) - set(ROWS)))
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        raise ParameterError(f"version is {version!r}; this FaceGraft writes {VERSION}")
    if version > VERSION:
        rows = f" (it sets {unknown}, which this FaceGraft does not have)" if unknown else ""
        raise FutureVersion(
            f"the merge parameters have version {version}, this FaceGraft reads up to {VERSION}"
            f"{rows}; update FaceGraft"
        )
    if unknown:
        raise ParameterError(
            f"unknown option {unknown}: a typing error, or written by a newer FaceGraft, which to "
            f"update to; this one knows {', '.join(ROWS)}"
        )
    strangers = ", ".join(sorted(set(values) - _BESIDE))
    if strangers:
        raise ParameterError(f"unknown entry {strangers} beside version and params")
    return params


def _within(row: Row, value: Any) -> Any:
    if row.control.hard is None:
        return value
    low, high = row.control.hard
    return row.type(min(max(value, low), high))
