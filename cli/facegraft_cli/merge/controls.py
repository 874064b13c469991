"""Help sections of the merge's rows, and "Controls": presets and parameter files below them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from facegraft.controls import controls_of
from facegraft.errors import ParameterError
from facegraft.merge.animation import Animation, load_animation
from facegraft.merge.mask.face_mask import MaskSource, sources_of
from facegraft.merge.params import MergeParams
from facegraft.merge.presets import load_preset
from facegraft_cli.merge.inputs import Networks
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


def check_needs(
    animation: Animation, indices: Sequence[int], networks: Networks, has_matte: bool
) -> None:
    """Refuse at once what would fail after an hour of searching faces.

    Raises: ParameterError naming the row, its value and the option that is missing.
    """
    for index in indices:
        params = animation.at(index)
        needed = set(sources_of(params.mask_mode))
        if networks.segmenter is None and needed & {MaskSource.XSEG_PRD, MaskSource.XSEG_DST}:
            raise ParameterError(
                f"mask_mode is {params.mask_mode} at frame {index}; give --segmenter MODEL.onnx, "
                "or choose another mask"
            )
        if not has_matte and MaskSource.HOST in needed:
            raise ParameterError(
                f"mask_mode is host at frame {index}; give --host-matte CLIP, or another mask"
            )
        if networks.enhancer is None and params.super_resolution > 0:
            raise ParameterError(
                f"super_resolution is {params.super_resolution:g} percent at frame {index}; give "
                "--enhancer MODEL.onnx, or set it to 0"
            )
