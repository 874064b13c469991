"""An option is declared once, as a dataclass field that carries its row.

`control()` makes the field, `controls_of()` reads the table back. Command line, Blender node,
OpenFX node, presets and the parameter page are loops over that table; nothing restates a row.

    @dataclass(frozen=True, slots=True)
    class MergeParams:
        erode: float = control(0.0, label="Erode", help="...", hard=(-400, 400), unit="permille")

Order of declaration is order of display, and never changes: hosts address rows by position.
"""

import hashlib
import json
import typing
from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from difflib import get_close_matches
from enum import StrEnum
from typing import Any, TypeVar

from facegraft.errors import ParameterError

_KEY = "control"
T = TypeVar("T")

Range = tuple[float, float]
Value = bool | int | float | str | StrEnum


@dataclass(frozen=True, slots=True)
class Control:
    """What every host needs to show one option, beside its name, type and default."""

    label: str
    help: str  # one sentence or two, without range and unit, which hosts add themselves
    hard: Range | None = None  # values outside are refused
    soft: Range | None = None  # where a slider ends; None: the hard range
    unit: str = ""
    group: str = ""  # panel or page
    animatable: bool = True


@dataclass(frozen=True, slots=True)
class Row:
    """One line of an option table."""

    name: str
    type: type  # bool, int, float, str or a StrEnum
    default: Any
    control: Control

    @property
    def choices(self) -> tuple[str, ...]:
        """Values of a choice in display order; empty for other types."""
        return tuple(m.value for m in self.type) if issubclass(self.type, StrEnum) else ()

    @property
    def slider(self) -> Range | None:
        return self.control.soft or self.control.hard

    def describe_range(self) -> str:
        """'-400 to 400 permille', '64 to 640 px', or '' where there is no range."""
        if self.control.hard is None:
            return self.control.unit
        low, high = self.control.hard
        return f"{low:g} to {high:g} {self.control.unit}".strip()

    def parse(self, value: Any) -> Any:
        """`value` as this row's type, within its range.

        Raises: ParameterError naming row, value and limits.
        """
        if issubclass(self.type, StrEnum):
            try:
                return self.type(str(value).replace("-", "_").lower())
            except ValueError:
                known = ", ".join(self.choices)
                raise ParameterError(f"{self.name} is {value!r}; it can be {known}") from None
        if self.type is str:
            return str(value)
        if isinstance(value, bool) != (self.type is bool) or not isinstance(value, int | float):
            raise ParameterError(f"{self.name} is {value!r}; it takes a {self.type.__name__}")
        number = self.type(value)
        if self.type is int and number != value:
            raise ParameterError(f"{self.name} is {value!r}; it takes a whole number")
        if self.control.hard is not None:
            low, high = self.control.hard
            if not low <= number <= high:
                raise ParameterError(
                    f"{self.name} is {number:g}; the limits are {self.describe_range()}"
                )
        return number


def control(
    default: Any,
    *,
    label: str,
    help: str,  # the word hosts and click use for it
    hard: Range | None = None,
    soft: Range | None = None,
    unit: str = "",
    group: str = "",
    animatable: bool = True,
) -> Any:
    """A dataclass field with `default` that carries its row; see Control for the arguments."""
    row = Control(label, help, hard, soft, unit, group, animatable)
    return field(default=default, metadata={_KEY: row})


def controls_of(table: type) -> tuple[Row, ...]:
    """The rows of a table in display order. `table` is a dataclass whose fields are controls."""
    types = typing.get_type_hints(table)
    return tuple(
        Row(f.name, types[f.name], f.default, _row(f)) for f in fields(table) if _KEY in f.metadata
    )


def _row(f: Field[Any]) -> Control:
    if f.default is MISSING:
        raise TypeError(f"{f.name}: a control needs a default")
    return f.metadata[_KEY]


def parse_values(table: type[T], values: Mapping[str, Any]) -> T:
    """An instance of `table` from plain values (JSON, TOML, host properties); the rest is default.

    Raises: ParameterError for an unknown name, a wrong type or a value outside its range.
    """
    rows = {row.name: row for row in controls_of(table)}
    unknown = sorted(set(values) - set(rows))
    if unknown:
        near = [match for name in unknown for match in get_close_matches(name, rows, 1)]
        guess = f"; did you mean {', '.join(near)}?" if near else ""
        raise ParameterError(
            f"unknown option {', '.join(unknown)}; this version knows {', '.join(rows)}{guess}"
        )
    return table(**{name: rows[name].parse(value) for name, value in values.items()})


def plain_values(params: Any) -> dict[str, Value]:
    """The table's values as JSON types; the inverse of `parse_values`."""
    result: dict[str, Value] = {}
    for row in controls_of(type(params)):
        value = getattr(params, row.name)
        result[row.name] = value.value if isinstance(value, StrEnum) else value
    return result


def describe_table(table: type) -> list[dict[str, Any]]:
    """The rows as JSON types, in order: what the worker's greeting and the docs page show."""
    return [
        {
            "name": row.name,
            "type": "choice" if row.choices else row.type.__name__,
            "default": row.default.value if row.choices else row.default,
            "choices": list(row.choices),
            "label": row.control.label,
            "help": row.control.help,
            "hard": row.control.hard and list(row.control.hard),
            "soft": row.control.soft and list(row.control.soft),
            "unit": row.control.unit,
            "group": row.control.group,
            "animatable": row.control.animatable,
        }
        for row in controls_of(table)
    ]


def table_digest(table: type) -> str:
    """Short digest of the rows; two sides with equal digests mean the same by every value.

    Labels and help may be reworded freely: only names, types, choices, defaults and ranges count.
    """
    keys = ("name", "type", "default", "choices", "hard")
    rows = [[row[key] for key in keys] for row in describe_table(table)]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()[:16]
