"""MaskTrainParams: every option of a mask network's training, once. Torch-free.

Rows that mean what they mean in a swap model's training are that table's rows; only defaults may
differ. Presets are other defaults by name.
"""

from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass
from enum import StrEnum
from typing import Any

from facegraft.controls import Value, control, controls_of
from facegraft.errors import ParameterError
from facegraft.model_spec import FaceType
from facegraft.training.params import Device, OnDivergence, Precision, TrainParams

_SHARED = {row.name: row for row in controls_of(TrainParams)}


def _as_in_training(name: str, default: Any = MISSING) -> Any:
    row = _SHARED[name]
    return control(row.default if default is MISSING else default, **asdict(row.control))


class MaskNetwork(StrEnum):
    LIGHT = "light"
    XSEG = "xseg"


class MaskOptimizer(StrEnum):
    ADAM = "adam"
    ADABELIEF = "adabelief"
    RMSPROP = "rmsprop"


class Labels(StrEnum):
    DRAWN = "drawn"
    STORED = "stored"
    HULL = "hull"


@dataclass(frozen=True, slots=True)
class MaskTrainParams:
    """Values of every option. The defaults are the preset `light`."""

    network: MaskNetwork = control(
        MaskNetwork.LIGHT,
        label="Network",
        help="light learns from a few labels within minutes, also without a GPU; xseg is "
        "DeepFaceLab's, six times as large and much slower",
        group="Network",
    )
    resolution: int = control(
        192,
        label="Resolution",
        help="Side of the square that the network sees; light takes a multiple of 32, xseg of 64 "
        "(DeepFaceLab's has 256)",
        hard=(64, 512),
        unit="px",
        group="Network",
    )
    face_type: FaceType = control(
        FaceType.WHOLE_FACE,
        label="Face type",
        help="How much of the head the square holds; faces of other types are re-framed",
        group="Network",
    )
    labels: Labels = control(
        Labels.DRAWN,
        label="Labels",
        help="What is learned: drawn takes polygons and masks made by people; stored also takes "
        "masks that a network computed; hull takes the landmarks' outline of every face, to begin "
        "without any label",
        group="Session",
    )
    batch_size: int = control(
        8,
        label="Batch size",
        help="Faces per iteration",
        hard=(1, 256),
        unit="faces",
        group="Optimizer",
    )
    optimizer: MaskOptimizer = control(
        MaskOptimizer.ADAM,
        label="Optimizer",
        help="Adam learns within a few hundred iterations; rmsprop with learning-rate dropout is "
        "DeepFaceLab's, adabelief the swap models'",
        group="Optimizer",
    )
    learning_rate: float = _as_in_training("learning_rate", 2e-3)
    lr_dropout: bool = _as_in_training("lr_dropout")
    cool_down: float = control(
        30.0,
        label="Cool down",
        help="Last part of the way to the target iterations, over which the learning rate goes to "
        "0 and faces are shown ever more as they are: edges settle; without a target nothing cools",
        hard=(0.0, 100.0),
        unit="percent",
        group="Optimizer",
    )
    clip_gradient: float = _as_in_training("clip_gradient", 1.0)
    random_flip: bool = control(
        True,
        label="Random flip",
        help="Mirror some faces",
        group="Augmentation",
    )
    random_warp: bool = control(
        True,
        label="Random warp",
        help="Distort face and label alike",
        group="Augmentation",
    )
    rotation: float = _as_in_training("rotation")
    scale: float = _as_in_training("scale", 10.0)
    shift: float = _as_in_training("shift")
    backgrounds: float = control(
        50.0,
        label="Backgrounds",
        help="How many faces get another face's surroundings",
        hard=(0.0, 100.0),
        unit="percent",
        group="Augmentation",
    )
    occluders: float = control(
        50.0,
        label="Occluders",
        help="How many faces get something in front of them: hands, bars and blobs in colours of "
        "skin and of other pictures",
        hard=(0.0, 100.0),
        unit="percent",
        group="Augmentation",
    )
    lights: float = control(
        50.0,
        label="Lights",
        help="How many faces get a flare of their own light, and how many one of their "
        "background's",
        hard=(0.0, 100.0),
        unit="percent",
        group="Augmentation",
    )
    damage: float = control(
        25.0,
        label="Damage",
        help="How often each of sharpening, motion blur, blur, coarse pixels and JPEG is done to a "
        "part of the picture",
        hard=(0.0, 100.0),
        unit="percent",
        group="Augmentation",
    )
    colors: float = control(
        75.0,
        label="Colours",
        help="How many faces get other colours: hue, saturation and value shifted, or the levels",
        hard=(0.0, 100.0),
        unit="percent",
        group="Augmentation",
    )
    target_iterations: int = _as_in_training("target_iterations")
    save_minutes: float = _as_in_training("save_minutes", 5.0)
    keep_saves: int = _as_in_training("keep_saves")
    backup_hours: float = _as_in_training("backup_hours")
    preview_minutes: float = _as_in_training("preview_minutes")
    preview_history: bool = _as_in_training("preview_history")
    tensorboard: bool = _as_in_training("tensorboard")
    on_divergence: OnDivergence = _as_in_training("on_divergence")
    precision: Precision = _as_in_training("precision")
    device: Device = _as_in_training("device")
    seed: int = _as_in_training("seed")
    threads: int = _as_in_training("threads")

    def __post_init__(self) -> None:
        step = STEPS[self.network]
        if self.resolution % step:
            nearest = max(step, round(self.resolution / step) * step)
            raise ParameterError(
                f"resolution is {self.resolution}; {self.network} takes a multiple of {step}, for "
                f"example {nearest}"
            )


STEPS = {MaskNetwork.LIGHT: 32, MaskNetwork.XSEG: 64}  # px, what the last halving divides
MASK_NETWORK_ROWS = ("network", "resolution", "face_type")  # fixed once a run has weights


class MaskPreset(StrEnum):
    LIGHT = "light"
    XSEG = "xseg"


MASK_DESCRIPTIONS: Mapping[MaskPreset, str] = {
    MaskPreset.LIGHT: "our own small network at 192 px, for a few labels and minutes",
    MaskPreset.XSEG: "DeepFaceLab's network and steps at 256 px, for a GPU",
}

MASK_PRESETS: Mapping[MaskPreset, Mapping[str, Value]] = {
    MaskPreset.LIGHT: {},
    MaskPreset.XSEG: {
        "network": "xseg",
        "resolution": 256,
        "batch_size": 4,
        "optimizer": "rmsprop",
        "learning_rate": 1e-4,
        "lr_dropout": True,
        "cool_down": 0.0,
        "clip_gradient": 0.0,
        "scale": 5.0,
    },
}
