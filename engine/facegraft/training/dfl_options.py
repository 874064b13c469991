"""DeepFaceLab's training options as ours; what has no counterpart is named. Torch-free.

Its values come from a file: numbers out of our range are moved to the nearest limit and said.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from facegraft.controls import Row, Value, controls_of
from facegraft.dfl.model_files import DflModel
from facegraft.errors import DflFormatError
from facegraft.model_spec import FaceType
from facegraft.training.params import NETWORK_ROWS, TrainParams
from facegraft.training.presets import Preset
from facegraft.training.run_params import resolve

LR_CYCLE = 500  # iterations; comes with learning-rate dropout there
_FACE_TYPES = {
    "h": FaceType.HALF, "mf": FaceType.MID_FULL, "f": FaceType.FULL, "wf": FaceType.WHOLE_FACE,
    "head": FaceType.HEAD,
}  # fmt: skip
_LEGACY = {"dfuhd": "df-u", "liaeuhd": "liae-u"}  # names from before 2020-06-19
_GONE = ("dfhd", "liaehd")  # of the same time; the networks were another architecture

# option -> (our row, how its value becomes ours)
_ROWS: Mapping[str, tuple[str, Callable[[Any], Any]]] = {
    "archi": ("architecture", lambda v: _LEGACY.get(v, v)),
    "resolution": ("resolution", int),
    "face_type": ("face_type", lambda v: _FACE_TYPES[v]),
    "ae_dims": ("ae_dims", int),
    "inter_dims": ("inter_dims", int),
    "e_dims": ("e_dims", int),
    "d_dims": ("d_dims", int),
    "d_mask_dims": ("d_mask_dims", int),
    "morph_factor": ("morph_factor", float),
    "masked_training": ("masked_training", bool),
    "eyes_mouth_prio": ("eyes_mouth_priority", bool),
    "uniform_yaw": ("uniform_yaw", bool),
    "blur_out_mask": ("blur_out_mask", bool),
    "models_opt_on_gpu": ("optimizer_on_cpu", lambda v: not v),
    "adabelief": ("optimizer", lambda v: "adabelief" if v else "rmsprop"),
    "lr_dropout": ("lr_dropout", lambda v: v in (True, "y", "cpu")),
    "random_warp": ("random_warp", bool),
    "random_hsv_power": ("hsv_power", float),
    "true_face_power": ("true_face_power", float),
    "face_style_power": ("face_style_power", float),
    "bg_style_power": ("background_style_power", float),
    "ct_mode": ("color_transfer", str),
    "clipgrad": ("clip_gradient", float),  # its norm is 1
    "pretrain": ("pretrain", bool),
    "autobackup_hour": ("backup_hours", float),
    "write_preview_history": ("preview_history", bool),
    "target_iter": ("target_iterations", int),
    "random_src_flip": ("random_src_flip", bool),
    "random_dst_flip": ("random_dst_flip", bool),
    "batch_size": ("batch_size", int),
    "gan_power": ("gan_power", float),
    "gan_patch_size": ("gan_patch_size", int),
    "gan_dims": ("gan_dims", int),
}
_NEEDED = {  # what shapes the networks and has no default in the file's absence
    "SAEHD": ("archi", "resolution", "face_type", "ae_dims", "e_dims", "d_dims", "d_mask_dims"),
    "AMP": (
        "resolution", "face_type", "ae_dims", "inter_dims", "e_dims", "d_dims", "d_mask_dims",
    ),
    "Quick96": (),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Options:
    """Our options for a model, and sentences on what could not be taken over."""

    params: TrainParams
    notes: tuple[str, ...]


def map_options(model: DflModel) -> Options:
    """Raises: DflFormatError where the options that shape the networks are missing or strange,
    ParameterError where they are no network of ours."""
    given = {k: v for k, v in model.options.items() if v is not None}
    missing = [key for key in _NEEDED[model.kind] if key not in given]
    if missing:
        raise DflFormatError(f"{model.prefix}_data.dat does not say its {', '.join(missing)}")
    architecture = given.get("archi")
    if isinstance(architecture, str) and architecture in _GONE:
        raise DflFormatError(
            f"{model.prefix} is of the architecture {architecture}, which DeepFaceLab gave up in "
            "2020 and whose networks nothing builds any more"
        )
    rows = {row.name: row for row in controls_of(TrainParams)}
    values: dict[str, Value] = {}
    notes, unknown = [], []
    for key, value in given.items():
        if key not in _ROWS or not isinstance(value, str | int | float):
            unknown.append(key)
            continue
        name, convert = _ROWS[key]
        if model.kind == "Quick96" and name in NETWORK_ROWS:
            continue  # fixed there
        try:
            ours = convert(value)
        except (KeyError, OverflowError, TypeError, ValueError) as error:
            raise DflFormatError(f"{model.prefix}_data.dat: {key} is {str(value)[:40]}") from error
        values[name], note = _within(rows[name], ours)
        if note:
            notes.append(note)
    if unknown:
        notes.append(f"options without a counterpart here: {', '.join(sorted(unknown)[:20])}")
    return Options(_resolve(model, values, notes), tuple(notes))


def _resolve(model: DflModel, values: dict[str, Value], notes: list[str]) -> TrainParams:
    """The table with what DeepFaceLab ties to other options or to the model's class."""
    if values.get("lr_dropout"):
        values["lr_cycle"] = LR_CYCLE
    if model.kind == "Quick96":
        values.pop("optimizer", None)
        values.pop("lr_cycle", None)
        return resolve(values, Preset.QUICK96)
    if model.kind == "AMP":
        return resolve({"optimizer": "adabelief", **values}, Preset.AMP)
    if "optimizer" not in values:
        values["optimizer"] = "rmsprop"  # models from before the option existed
    if values.get("true_face_power") and not str(values["architecture"]).startswith("df"):
        values["true_face_power"] = 0.0
        notes.append("true_face_power is for df alone and was left out, as DeepFaceLab does")
    return resolve(values)


def _within(row: Row, value: Any) -> tuple[Any, str]:
    """A number moved into the row's range, but for rows that shape the networks."""
    if row.control.hard is None or isinstance(value, bool) or row.name in NETWORK_ROWS:
        return value, ""
    low, high = row.control.hard
    moved = row.type(min(max(value, low), high))
    if moved == value:
        return value, ""
    return moved, f"{row.name} was {value:g} and is now {moved:g}, the limit here"
