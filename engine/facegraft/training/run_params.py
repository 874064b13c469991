"""The options of one run: from a preset, typed values and what its folder keeps as params.toml.

A run trains a swap model or a mask network; which of the two tables its options are is its kind.
"""

import json
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from facegraft.controls import controls_of, parse_values, plain_values
from facegraft.errors import ParameterError
from facegraft.training.kinds import ColorTransfer
from facegraft.training.mask_params import MASK_NETWORK_ROWS, MaskTrainParams
from facegraft.training.params import NETWORK_ROWS, TrainParams
from facegraft.training.presets import PRESETS, Preset

PARAMS_NAME = "params.toml"
FIXED_ROWS = {TrainParams: NETWORK_ROWS, MaskTrainParams: MASK_NETWORK_ROWS}

P = TypeVar("P", TrainParams, MaskTrainParams)


def resolve(
    given: Mapping[str, Any], preset: Preset | None = None, existing: TrainParams | None = None
) -> TrainParams:
    """`given` values over the `existing` run's table, or else over a `preset`'s (None: saehd).

    Raises: ParameterError for an unknown or impossible value, and for a change to a row that
    shapes the networks of an existing run.
    """
    over = {**PRESETS[preset], **given} if preset else dict(given)
    return parse_values(TrainParams, over) if existing is None else changed(existing, over)


def changed(existing: P, given: Mapping[str, Any]) -> P:
    """A run's options with the `given` values over them, of any kind of run.

    Raises: ParameterError, as `resolve`.
    """
    params = parse_values(type(existing), {**plain_values(existing), **given})
    for name in FIXED_ROWS[type(existing)]:
        old, new = getattr(existing, name), getattr(params, name)
        if old != new:
            raise ParameterError(
                f"{name} is {old} in this run and can not become {new}; leave the option out, or "
                "train into a new folder"
            )
    return params


def read_params(run_folder: Path, table: type[P] = TrainParams) -> P | None:
    """The options of an existing run of the kind that `table` tells, None where there is none.

    Raises: ParameterError.
    """
    path = run_folder / PARAMS_NAME
    if not path.exists():
        return None
    try:
        return parse_values(table, tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:  # not readable, not TOML, or a value out of range
        raise ParameterError(f"{path}: {error}") from error


def to_toml(params: TrainParams | MaskTrainParams) -> str:
    """The whole table as TOML, each row under its help, ready to be edited."""
    lines, group = [], ""
    values = plain_values(params)
    for row in controls_of(type(params)):
        if row.control.group != group:
            group = row.control.group
            lines += [f"\n# {group} " + "-" * (70 - len(group))]
        limits = ", ".join(row.choices) or row.describe_range()
        lines.append(f"# {row.control.help}" + (f" ({limits})" if limits else ""))
        lines.append(f"{row.name} = {json.dumps(values[row.name])}")
    return "\n".join(lines).lstrip() + "\n"


def pretraining_values(params: TrainParams) -> TrainParams:
    """The options that count while `pretrain` is on: DeepFaceLab's, faces as such and no extras."""
    if not params.pretrain:
        return params
    return replace(
        params,
        random_warp=False,
        random_src_flip=True,
        random_dst_flip=True,
        uniform_yaw=True,
        lr_dropout=False,
        lr_cycle=0,
        hsv_power=0.0,
        color_transfer=ColorTransfer.NONE,
        gan_power=0.0,
        true_face_power=0.0,
        face_style_power=0.0,
        background_style_power=0.0,
    )
