"""A model of DeepFaceLab's as a run of ours: train goes on with it, export writes it as .dfm.

Networks, discriminators, optimizer memory, iteration, options and the losses so far come along.
`dfl/model_files.py` reads, `dfl/weights.py` converts, `dfl_options.py` maps the options.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from facegraft.dfl.model_files import DflModel, read_arrays, read_model
from facegraft.dfl.weights import (
    CODE,
    GAN,
    OPTIMIZER_STATES,
    Layer,
    code_layers,
    convert_layers,
    convert_optimizer,
    gan_layers,
    network_layers,
)
from facegraft.errors import DflFormatError, ParameterError
from facegraft.files import write_atomic
from facegraft.models.build import build
from facegraft.models.df import DF
from facegraft.models.discriminator import CodeDiscriminator, PatchDiscriminator
from facegraft.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from facegraft.training.dfl_options import map_options
from facegraft.training.history import History
from facegraft.training.params import TrainParams
from facegraft.training.restore import STEP
from facegraft.training.run_params import PARAMS_NAME, to_toml

CROPS = 4  # faces for the export's check, as many as a preview sheet shows
DEFAULT_PATCH = 8  # resolution over the patch size, where the options do not say it
Note = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Imported:
    """What came over."""

    params: TrainParams
    iteration: int
    groups: tuple[str, ...]  # of the save: "net", "optimizer", "gan", ...
    notes: tuple[str, ...]  # sentences on what did not


def import_model(folder: Path, name: str, run_folder: Path, note: Note) -> Imported:
    """The model `name` in DeepFaceLab's model `folder` into a new run; `note` hears each sentence.

    Raises: SourceNotFound, DflFormatError (a file that is missing, damaged, of another shape, or
    asks to run something), ParameterError where the run folder holds a run already, WriteError.
    """
    if (run_folder / PARAMS_NAME).exists() or load_checkpoint(run_folder, note, ()) is not None:
        raise ParameterError(f"{run_folder} holds a run already; import into a new folder")
    model = read_model(Path(folder), name)
    options = map_options(model)
    params, notes = options.params, list(options.notes)
    groups = {**_networks(model, params, notes), **_discriminators(model, params, notes)}
    losses = model.losses[-model.iteration :] if model.iteration else model.losses[:0]
    last = losses[-1].tolist() if len(losses) else [math.nan, math.nan]
    crops = preview_faces(model.previews, params.resolution)
    if crops is None:
        notes.append(
            "it kept no preview faces of its resolution; until training goes on, export is checked "
            "on drawn pictures"
        )
        crops = _drawn_crops(params.resolution)
    checkpoint = Checkpoint(
        params=params,
        iteration=model.iteration,
        seconds=0.0,
        src_digest="",
        dst_digest="",
        last_loss=(last[0], last[1]),
        groups=groups,
        crops=torch.from_numpy(crops),
    )
    save_checkpoint(run_folder, checkpoint)
    write_atomic(run_folder / PARAMS_NAME, to_toml(params).encode())
    history = History(run_folder, model.iteration)
    for iteration, (src, dst) in enumerate(losses.tolist(), model.iteration - len(losses) + 1):
        history.add(iteration, src, dst)
    history.flush()
    for text in notes:
        note(text)
    return Imported(params, model.iteration, tuple(groups), tuple(notes))


def _networks(
    model: DflModel, params: TrainParams, notes: list[str]
) -> dict[str, dict[str, Tensor]]:
    """Groups "net" and "optimizer". Raises: DflFormatError."""
    with torch.device("meta"):  # names and shapes alone
        net = build(params.spec)
    layers = network_layers(params.spec)
    names = list(dict.fromkeys(layer.network for layer in layers))
    missing = [str(model.path(n)) for n in names if not model.path(n).exists()]
    if missing:
        raise DflFormatError(
            f"{', '.join(missing)}: missing. A {model.kind} model of the architecture "
            f"{params.architecture} is {', '.join(names)}; copy all files of the model"
        )
    groups = {"net": _converted(model, net, layers, names)}
    groups |= _optimizer(model, net, layers, "src_dst_opt", "optimizer", params, notes)
    return groups


def _discriminators(
    model: DflModel, params: TrainParams, notes: list[str]
) -> dict[str, dict[str, Tensor]]:
    """Groups of the discriminators whose files are there. One that does not fit its options is left
    out: DeepFaceLab begins it anew as well."""
    groups: dict[str, dict[str, Tensor]] = {}
    found = []
    if params.gan_power and model.path(GAN).exists():
        patch = params.gan_patch_size or params.resolution // DEFAULT_PATCH
        critic = PatchDiscriminator(patch, params.gan_dims)
        found.append(("gan", critic, gan_layers(len(critic.convs)), GAN, "GAN_opt"))
    if params.true_face_power and model.path(CODE).exists():
        with torch.device("meta"):
            net = build(params.spec)
        if isinstance(net, DF):
            critic = CodeDiscriminator(net.inter.out_dims, net.inter.out_side)
            found.append(("code", critic, code_layers(len(critic.convs)), CODE, "D_code_opt"))
    for group, critic, layers, network, optimizer in found:
        try:
            groups[group] = _converted(model, critic, layers, [network])
        except DflFormatError as error:
            notes.append(f"{network} begins anew: {error}")
            continue
        groups |= _optimizer(model, critic, layers, optimizer, f"{group}_optimizer", params, notes)
    return groups


def _converted(
    model: DflModel, net: nn.Module, layers: Sequence[Layer], names: Sequence[str]
) -> dict[str, Tensor]:
    """A network's state by our names, in our order."""
    shapes = _shapes(net)
    converted: dict[str, np.ndarray] = {}
    for name in names:  # file by file: the largest hold gigabytes
        own = [layer for layer in layers if layer.network == name]
        path = model.path(name)
        converted |= convert_layers(own, read_arrays(path), shapes, str(path))
    assert converted.keys() == shapes.keys(), "every parameter has a layer"
    return {name: torch.from_numpy(converted[name]) for name in shapes}


def _shapes(net: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in net.state_dict().items()}


def _optimizer(
    model: DflModel,
    net: nn.Module,
    layers: Sequence[Layer],
    file_name: str,
    group: str,
    params: TrainParams,
    notes: list[str],
) -> dict[str, dict[str, Tensor]]:
    """{group: state}; of its step alone and with a note where the memory is missing or misfit,
    since without it an optimizer only starts slower."""
    path = model.path(file_name)
    empty = {group: {STEP: torch.tensor(model.iteration)}}
    if not path.exists():
        notes.append(f"{path.name} is not there; that optimizer starts without memory")
        return empty
    arrays = read_arrays(path)
    states = OPTIMIZER_STATES[params.optimizer.value]
    try:
        converted = convert_optimizer(layers, arrays, _shapes(net), states, str(path))
    except DflFormatError as error:
        notes.append(f"that optimizer starts without memory: {error}")
        return empty
    if not converted:
        notes.append(f"{path.name} holds nothing of {params.optimizer}; it starts without memory")
        return empty
    step = int(arrays["iters"].reshape(-1)[0]) if arrays.get("iters", np.empty(0)).size else 0
    tensors = {name: torch.from_numpy(value) for name, value in converted.items()}
    return {group: {STEP: torch.tensor(max(0, step)), **tensors}}


def preview_faces(previews: Any, resolution: int) -> np.ndarray | None:
    """(N, R, R, 3) uint8 RGB: dst's faces of a kept preview batch; None where it holds none.

    A batch is, for src and for dst, the arrays warped, target, mask, ...; pictures are BGR float
    0..1, (N, R, R, 3) or (N, 3, R, R).
    """
    side: Any = previews
    for place in (1, 1):  # dst, its target
        if not isinstance(side, list | tuple) or len(side) <= place:
            return None
        side = side[place]
    if not isinstance(side, np.ndarray) or side.ndim != 4 or side.dtype.kind != "f":
        return None
    if side.shape[1] == 3:
        side = side.transpose(0, 2, 3, 1)
    if side.shape[1:] != (resolution, resolution, 3) or not len(side):
        return None
    bgr = np.nan_to_num(side[:CROPS].astype(np.float32)).clip(0, 1)
    return np.ascontiguousarray(np.rint(bgr[..., ::-1] * 255).astype(np.uint8))


def _drawn_crops(resolution: int) -> np.ndarray:
    """(CROPS, R, R, 3) uint8: soft clouds of colour, the same every time."""
    rng = np.random.default_rng(0)
    size = (resolution, resolution)
    clouds = [
        cv2.resize(rng.integers(0, 256, (5, 5, 3), np.uint8), size, interpolation=cv2.INTER_CUBIC)
        for _ in range(CROPS)
    ]
    return np.stack(clouds)
