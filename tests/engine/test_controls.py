"""A row means the same to every host, and wrong values are refused by name."""

from dataclasses import dataclass
from enum import StrEnum

import pytest

from facegraft.controls import (
    control,
    controls_of,
    describe_table,
    parse_values,
    plain_values,
    table_digest,
)
from facegraft.errors import ParameterError
from facegraft.extract import ExtractParams
from facegraft.merge.params import MergeParams
from facegraft.training.params import TrainParams


class Shape(StrEnum):
    BOX = "box"
    ROUND = "round"


@dataclass(frozen=True, slots=True)
class Params:
    size: int = control(3, label="Size", help="How big", hard=(1, 9), unit="px")
    amount: float = control(0.5, label="Amount", help="How much", hard=(0, 1))
    shape: Shape = control(Shape.BOX, label="Shape", help="Which")
    on: bool = control(True, label="On", help="Whether")


@dataclass(frozen=True, slots=True)
class Reworded:
    size: int = control(3, label="Größe", help="In other words", hard=(1, 9), unit="px")
    amount: float = control(0.5, label="Amount", help="How much", hard=(0, 1))
    shape: Shape = control(Shape.BOX, label="Shape", help="Which")
    on: bool = control(True, label="On", help="Whether")


@dataclass(frozen=True, slots=True)
class Widened:
    size: int = control(3, label="Size", help="How big", hard=(1, 10), unit="px")
    amount: float = control(0.5, label="Amount", help="How much", hard=(0, 1))
    shape: Shape = control(Shape.BOX, label="Shape", help="Which")
    on: bool = control(True, label="On", help="Whether")


def test_values_go_through_json_types_and_back() -> None:
    params = Params(7, 0.25, Shape.ROUND, False)
    plain = plain_values(params)
    assert plain == {"size": 7, "amount": 0.25, "shape": "round", "on": False}
    assert parse_values(Params, plain) == params


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("size", 10, "size is 10; the limits are 1 to 9 px"),
        ("size", 2.5, "whole number"),
        ("size", "3", "takes a int"),
        ("size", True, "takes a int"),
        ("on", 1, "takes a bool"),
        ("amount", float("nan"), "the limits are 0 to 1"),
        ("shape", "oval", "it can be box, round"),
        ("sise", 1, "unknown option sise; this version knows size, amount, shape, on; did you"),
        ("xyz", 1, "unknown option xyz; this version knows size, amount, shape, on$"),
    ],
)
def test_a_wrong_value_names_itself_and_the_limits(name: str, value: object, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        parse_values(Params, {name: value})


def test_the_digest_changes_with_meaning_and_not_with_words() -> None:
    assert table_digest(Params) == table_digest(Reworded)
    assert table_digest(Params) != table_digest(Widened)


@pytest.mark.parametrize("table", [MergeParams, TrainParams, ExtractParams])
def test_every_row_of_every_table_can_be_shown(table: type) -> None:
    defaults = table()
    for row in controls_of(table):
        assert row.control.label and row.control.help and row.control.group
        assert row.parse(getattr(defaults, row.name)) == row.default
        if row.type in (int, float):
            assert row.control.hard, f"{row.name} has no limits"
        if row.slider and row.control.hard:
            low, high = row.control.hard
            assert low <= row.slider[0] < row.slider[1] <= high
    assert [r["name"] for r in describe_table(table)] == [r.name for r in controls_of(table)]
