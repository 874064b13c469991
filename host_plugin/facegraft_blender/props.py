"""MergeParams rows as node sockets, and socket values as parameters: one loop over the table.

Blender addresses keyframes by socket position, so a node's inputs are two pictures and then the
rows in table order, for ever. Choices are Integer sockets, since Menu sockets take no keyframes.
No bpy in here: the loop is checked outside Blender too.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby
from typing import Any

from facegraft.controls import Row, controls_of
from facegraft.merge.params import MergeParams

IMAGE, MASK = 0, 1  # positions of the two picture sockets, which stand before the rows
IMAGE_INPUTS = 2

_SOCKET_TYPES = {bool: "NodeSocketBool", int: "NodeSocketInt", float: "NodeSocketFloat"}


@dataclass(frozen=True, slots=True)
class SocketRow:
    """What a node socket needs to show one row."""

    row: Row
    socket_type: str
    default: bool | int | float
    slider: tuple[float, float] | None  # drag range; values typed or keyed may go to the hard one
    description: str

    @property
    def name(self) -> str:
        return self.row.control.label

    def value_of(self, socket_value: bool | int | float) -> Any:
        """The socket's value as the table's type, held to the hard range like any Blender value.

        A curve that overshoots between two keys is thus cut off at the limit, not refused.
        """
        if self.row.choices:
            index = min(max(int(socket_value), 0), len(self.row.choices) - 1)
            return self.row.choices[index]
        value = self.row.type(socket_value)
        if self.row.control.hard is not None:
            low, high = self.row.control.hard
            value = self.row.type(min(max(value, low), high))
        return value

    def socket_value(self, value: Any) -> bool | int | float:
        """The inverse of `value_of`."""
        return self.row.choices.index(str(value)) if self.row.choices else value


def socket_row(row: Row) -> SocketRow:
    """One table row as a socket."""
    if issubclass(row.type, StrEnum):
        names = ", ".join(f"{i} {name.replace('_', ' ')}" for i, name in enumerate(row.choices))
        return SocketRow(
            row=row,
            socket_type="NodeSocketInt",
            default=row.choices.index(row.default.value),
            slider=(0, len(row.choices) - 1),
            description=f"{row.control.help}. {names}",
        )
    described = row.describe_range()
    return SocketRow(
        row=row,
        socket_type=_SOCKET_TYPES[row.type],
        default=row.default,
        slider=row.slider,
        description=row.control.help + (f" ({described})" if described else ""),
    )


SOCKET_ROWS: tuple[SocketRow, ...] = tuple(socket_row(row) for row in controls_of(MergeParams))


def panels(rows: Sequence[SocketRow] = SOCKET_ROWS) -> Iterator[tuple[str, list[SocketRow]]]:
    """Runs of rows with the same group, in table order.

    A row that is later appended to an earlier group opens a second panel of that name at the end,
    because inserting it into the first one would shift every keyframe behind it.
    """
    for group, run in groupby(rows, key=lambda r: r.row.control.group):
        yield group, list(run)


def params_from(values: Sequence[bool | int | float]) -> dict[str, Any]:
    """Merge parameters by name from the values of a node's sockets behind the pictures."""
    return {spec.row.name: spec.value_of(v) for spec, v in zip(SOCKET_ROWS, values, strict=True)}
