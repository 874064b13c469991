"""TrainParams: every option of a training run, once: flags, TOML file and run folder use it.

Torch-free, so that `facegraft train --help` costs nothing. A preset is a set of other defaults for
the same rows: `quick96` and `saehd` are DeepFaceLab's models of that name. A run keeps its table
as `params.toml`; rows that shape the networks can not change once a run exists.
"""

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from facegraft.controls import Value, control, controls_of, parse_values, plain_values
from facegraft.errors import ParameterError
from facegraft.model_spec import FaceType, ModelSpec


class Optimizer(StrEnum):
    ADABELIEF = "adabelief"
    RMSPROP = "rmsprop"


class Precision(StrEnum):
    AUTO = "auto"
    FP32 = "fp32"
    BF16 = "bf16"


class Device(StrEnum):
    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


class Preset(StrEnum):
    SAEHD = "saehd"
    QUICK96 = "quick96"


@dataclass(frozen=True, slots=True)
class TrainParams:
    """Values of every training option. The defaults are the `saehd` preset."""

    architecture: str = control(
        "liae-ud",
        label="Architecture",
        help="df keeps the src identity, liae adapts to the dst light and shape; letters after the "
        "dash: u steadies the code, d doubles the output resolution",
        group="Network",
    )
    resolution: int = control(
        128,
        label="Resolution",
        help="Side of the square the model sees and makes; a multiple of 16, with d of 32",
        hard=(64, 640),
        unit="px",
        group="Network",
    )
    face_type: FaceType = control(
        FaceType.FULL,
        label="Face type",
        help="How much of the head the square holds",
        group="Network",
    )
    ae_dims: int = control(
        256,
        label="Inter dims",
        help="Features of the code between encoder and decoder",
        hard=(32, 1024),
        unit="features",
        group="Network",
    )
    e_dims: int = control(
        64,
        label="Encoder dims",
        help="Features of the encoder's first layer",
        hard=(16, 256),
        unit="features",
        group="Network",
    )
    d_dims: int = control(
        64,
        label="Decoder dims",
        help="Features of the decoder's last layer",
        hard=(16, 256),
        unit="features",
        group="Network",
    )
    d_mask_dims: int = control(
        22,
        label="Mask decoder dims",
        help="Features of the mask branch's last layer; a third of the decoder's is enough",
        hard=(16, 256),
        unit="features",
        group="Network",
    )
    batch_size: int = control(
        8,
        label="Batch size",
        help="Faces of each side per iteration; larger is smoother and slower",
        hard=(1, 512),
        unit="faces",
        group="Optimizer",
    )
    optimizer: Optimizer = control(
        Optimizer.ADABELIEF,
        label="Optimizer",
        help="Adabelief is steadier; rmsprop keeps one number per weight instead of two",
        group="Optimizer",
    )
    learning_rate: float = control(
        5e-5,
        label="Learning rate",
        help="Size of a weight's step",
        hard=(1e-7, 1e-2),
        group="Optimizer",
    )
    lr_dropout: bool = control(
        False,
        label="Learning-rate dropout",
        help="Each step updates a random 30 percent of the weights; finds finer detail, late in a "
        "run",
        group="Optimizer",
    )
    lr_cycle: int = control(
        0,
        label="Learning-rate cycle",
        help="Period of a cosine that takes the rate to zero and back; 0 keeps it constant",
        hard=(0, 100_000),
        unit="iterations",
        group="Optimizer",
    )
    masked_training: bool = control(
        True,
        label="Masked training",
        help="Count errors inside the face's outline only, so that nothing is spent on background",
        group="Loss",
    )
    wide_mask: bool = control(
        True,
        label="Wide mask",
        help="In masked training, count the face's edge and a little beyond in full; off, the edge "
        "counts half",
        group="Loss",
    )
    random_warp: bool = control(
        True,
        label="Random warp",
        help="Distort what the network sees, so that it learns the face and not the picture; "
        "switch off for the last part of a run",
        group="Augmentation",
    )
    unwarped_every: int = control(
        0,
        label="Unwarped every",
        help="Repeat the previous batch without warp at every n-th iteration; 0 never",
        hard=(0, 1000),
        unit="iterations",
        group="Augmentation",
    )
    random_src_flip: bool = control(
        False,
        label="Random src flip",
        help="Mirror some src faces; helps when src lacks one side, harms asymmetric faces",
        group="Augmentation",
    )
    random_dst_flip: bool = control(
        True,
        label="Random dst flip",
        help="Mirror some dst faces",
        group="Augmentation",
    )
    rotation: float = control(
        10.0,
        label="Rotation",
        help="Largest random rotation to either side",
        hard=(0.0, 45.0),
        unit="degrees",
        group="Augmentation",
    )
    scale: float = control(
        15.0,
        label="Scale",
        help="Largest random change of size, up or down",
        hard=(0.0, 50.0),
        unit="percent",
        group="Augmentation",
    )
    shift: float = control(
        5.0,
        label="Shift",
        help="Largest random offset on each axis, in percent of the square",
        hard=(0.0, 25.0),
        unit="percent",
        group="Augmentation",
    )
    target_iterations: int = control(
        0,
        label="Target iterations",
        help="Stop after this many iterations, counted from the run's beginning; 0 trains until "
        "stopped with Ctrl-C",
        hard=(0, 100_000_000),
        unit="iterations",
        group="Session",
    )
    save_minutes: float = control(
        25.0,
        label="Save every",
        help="Time between two saves; a run also saves after its first iteration and at its end",
        hard=(0.1, 1440.0),
        unit="minutes",
        group="Session",
    )
    preview_minutes: float = control(
        1.0,
        label="Preview every",
        help="Time between two preview sheets and loss curves; 0 draws them with each save only",
        hard=(0.0, 1440.0),
        unit="minutes",
        group="Session",
    )
    precision: Precision = control(
        Precision.AUTO,
        label="Precision",
        help="Number format of the networks' arithmetic; auto takes bf16 on a GPU that has it and "
        "fp32 elsewhere",
        group="Session",
    )
    device: Device = control(
        Device.AUTO,
        label="Device",
        help="Where to train; auto takes the GPU when there is one",
        group="Session",
    )
    seed: int = control(
        0,
        label="Seed",
        help="Start of every random choice; equal seeds give equal runs on one machine",
        hard=(0, 1_000_000_000),
        group="Session",
    )
    threads: int = control(
        0,
        label="Threads",
        help="Processor threads for arithmetic and image decoding; 0 takes one per core",
        hard=(0, 256),
        unit="threads",
        group="Session",
    )

    def __post_init__(self) -> None:
        if self.unwarped_every == 1:
            raise ParameterError(
                "unwarped_every is 1, which would repeat one batch for ever; take 0 for never, or "
                "2 and more"
            )

    @property
    def spec(self) -> ModelSpec:
        return ModelSpec(*(getattr(self, name) for name in NETWORK_ROWS))


# in ModelSpec's order; what a run can not change once it has weights
NETWORK_ROWS = (
    "architecture", "resolution", "face_type", "ae_dims", "e_dims", "d_dims", "d_mask_dims",
)  # fmt: skip

PRESETS: Mapping[Preset, Mapping[str, Value]] = {
    Preset.SAEHD: {},
    Preset.QUICK96: {  # DeepFaceLab's Quick96: a first look in an hour, no questions asked
        "architecture": "df-ud",
        "resolution": 96,
        "ae_dims": 128,
        "d_mask_dims": 16,
        "batch_size": 4,
        "optimizer": "rmsprop",
        "learning_rate": 2e-4,
        "lr_dropout": True,
        "wide_mask": False,
        "unwarped_every": 3,
        "random_dst_flip": False,
        "scale": 5.0,
    },
}

PARAMS_NAME = "params.toml"


def resolve(
    given: Mapping[str, Any], preset: Preset | None = None, existing: TrainParams | None = None
) -> TrainParams:
    """`given` values over the `existing` run's table, or else over a `preset`'s (None: saehd).

    Raises: ParameterError for an unknown or impossible value, and for a change to a row that
    shapes the networks of an existing run.
    """
    over = {**PRESETS[preset], **given} if preset else dict(given)
    if existing is None:
        return parse_values(TrainParams, over)
    params = parse_values(TrainParams, {**plain_values(existing), **over})
    for name in NETWORK_ROWS:
        old, new = getattr(existing, name), getattr(params, name)
        if old != new:
            raise ParameterError(
                f"{name} is {old} in this run and can not become {new}; leave the option out, or "
                "train into a new folder"
            )
    return params


def read_params(run_folder: Path) -> TrainParams | None:
    """The options of an existing run, None where there is none. Raises: ParameterError."""
    path = run_folder / PARAMS_NAME
    if not path.exists():
        return None
    try:
        return parse_values(TrainParams, tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:  # not readable, not TOML, or a value out of range
        raise ParameterError(f"{path}: {error}") from error


def to_toml(params: TrainParams) -> str:
    """The whole table as TOML, each row under its help, ready to be edited."""
    lines, group = [], ""
    values = plain_values(params)
    for row in controls_of(TrainParams):
        if row.control.group != group:
            group = row.control.group
            lines += [f"\n# {group} " + "-" * (70 - len(group))]
        limits = ", ".join(row.choices) or row.describe_range()
        lines.append(f"# {row.control.help}" + (f" ({limits})" if limits else ""))
        lines.append(f"{row.name} = {json.dumps(values[row.name])}")
    return "\n".join(lines).lstrip() + "\n"
