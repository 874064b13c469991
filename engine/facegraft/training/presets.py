"""Presets: other defaults for the rows of TrainParams, by name.

`quick96`, `saehd` and `amp` are DeepFaceLab's models of those names; `portrait256` and
`portrait384` are ours, for a GPU of this decade.
"""

from collections.abc import Mapping
from enum import StrEnum

from facegraft.controls import Value


class Preset(StrEnum):
    SAEHD = "saehd"
    QUICK96 = "quick96"
    AMP = "amp"
    PORTRAIT256 = "portrait256"
    PORTRAIT384 = "portrait384"


# one sentence each, shown by `facegraft train --help`; memory as `memory.py` foretells it for bf16
# on a GPU, which a test holds to this text
DESCRIPTIONS: Mapping[Preset, str] = {
    Preset.SAEHD: "the field's usual model at 128 px (about 3.3 GiB of a GPU)",
    Preset.QUICK96: "a first look at 96 px (2 GiB)",
    Preset.AMP: "a model that morphs between the two people at 224 px (4.2 GiB)",
    Preset.PORTRAIT256: "liae at 256 px with steady gaze and edges (5.6 GiB)",
    Preset.PORTRAIT384: "a deeper liae at 384 px for close-ups (9.1 GiB)",
}

PRESETS: Mapping[Preset, Mapping[str, Value]] = {
    Preset.SAEHD: {},
    Preset.QUICK96: {
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
    Preset.AMP: {
        "architecture": "amp",
        "resolution": 224,
        "face_type": "whole_face",
        "inter_dims": 1024,
    },
    Preset.PORTRAIT256: {
        "architecture": "liae-ud",
        "resolution": 256,
        "face_type": "whole_face",
        "uniform_yaw": True,
        "blur_out_mask": True,
        "eyes_mouth_priority": True,
        "clip_gradient": 1.0,
    },
    Preset.PORTRAIT384: {
        "architecture": "liae-udt",
        "resolution": 384,
        "face_type": "whole_face",
        "ae_dims": 384,
        "d_mask_dims": 32,
        "uniform_yaw": True,
        "blur_out_mask": True,
        "eyes_mouth_priority": True,
        "clip_gradient": 1.0,
    },
}
