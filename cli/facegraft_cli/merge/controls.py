"""Help sections of the merge's rows, and "Controls": presets and parameter files below them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from facegraft.controls import controls_of
from facegraft.merge.animation import Animation, load_animation
from facegraft.merge.params import MergeParams
from facegraft.merge.presets import load_preset
from facegraft_cli.options import given_values, option_in, table_options, together

SECTION = "Controls (flags win over --params, which wins over --preset)"

control_options = together(
    option_in(
        SECTION,
        "--preset",
        help="A named look: one of `facegraft merge-preset list`, or the path of a .json file.",
    ),
    option_in(
        SECTION,
        "--params",
        type=click.Path(path_type=Path),
        help="JSON file of the controls below, constant or keyed by frame, such as the node "
        "exports; docs/merge.md tells its form.",
    ),
    table_options(MergeParams),
)


def chosen_controls(values: Mapping[str, Any]) -> Animation:
    """Raises: ParameterError naming file, row and limits; FutureVersion."""
    rows = {row.name for row in controls_of(MergeParams)}
    base = load_preset(values["preset"]).values if values["preset"] else {}
    if values["params"]:
        animation = load_animation(values["params"], base)
    else:
        animation = Animation.constant(MergeParams()).with_constants(base)
    flags = {name: value for name, value in given_values(values).items() if name in rows}
    return animation.with_constants(flags)
