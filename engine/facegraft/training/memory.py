"""How much memory a run will take, what to change where it is too much, the largest batch.

`estimate` plays one training step on torch's "meta" device, which allocates nothing, and follows
what is alive at each moment; so activations, recomputation and gradients are counted for the
options at hand, exactly up to the scratch space of the libraries. Nothing here is loaded until
asked for: a play takes about a second. All sizes are bytes.
"""

import weakref
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from facegraft.controls import Value
from facegraft.errors import ParameterError
from facegraft.models.amp import AMP
from facegraft.models.build import build, set_checkpointing
from facegraft.training.face_cache import free_memory
from facegraft.training.optim import GPU_BLOCK, AdaBelief, RMSprop
from facegraft.training.params import Optimizer, Precision, TrainParams
from facegraft.training.setup import build_judges, choose_precision

STATES = {
    Optimizer.ADABELIEF: len(AdaBelief.state_names),
    Optimizer.RMSPROP: len(RMSprop.state_names),
}
LOSS_PICTURES = 30  # float pictures of a face that its loss keeps for each window of its structure
SCRATCH_CPU = 200 << 20  # laid-out copies of weights in oneDNN, tiles of a convolution
SCRATCH_GPU = 1 << 30  # CUDA context, cuDNN workspaces, rounding of the caching allocator
NAMED = 3  # settings in the message after running out
ROUND = 1.1  # what is left free beside the estimate, which is known to about a tenth


@dataclass(frozen=True, slots=True)
class Estimate:
    """Peak of one training step on the device, by cause."""

    weights: int  # all networks
    optimizer: int  # its state, where it lies on this device, and what a step needs beside it
    step: int  # activations and gradients at the worst moment of forward and backward
    loss: int  # pictures that the losses keep
    cache: int  # decoded faces, on a CPU
    scratch: int  # of the libraries

    @property
    def total(self) -> int:
        return sum(getattr(self, name) for name in self.__dataclass_fields__)

    def __str__(self) -> str:
        rows = ((name, getattr(self, name)) for name in self.__dataclass_fields__)
        parts = ", ".join(f"{name} {_gib(size)}" for name, size in rows if size)
        return f"{_gib(self.total)} ({parts})"


@dataclass(frozen=True, slots=True)
class Change:
    """One row of the options set to another value, and what the run then takes."""

    name: str
    value: Value
    total: int

    def __str__(self) -> str:
        shown = str(self.value).lower() if isinstance(self.value, bool) else self.value
        return f"{self.name} {shown}: {_gib(self.total)}"


def estimate(params: TrainParams, device: torch.device, cache: int = 0) -> Estimate:
    """What training by `params` will take of `device`; `cache` are the decoded faces of both sides.

    `batch_size` is one process's share. Raises: ParameterError for impossible networks.
    """
    reduced = choose_precision(params, device) is not None
    weights, step = _play(_shape_of(params), reduced)
    on_gpu = device.type == "cuda"
    optimizer = 0 if on_gpu and params.optimizer_on_cpu else weights * STATES[params.optimizer]
    windows = 2 if params.resolution >= 256 else 1  # as `saehd_weights`
    picture = 3 * params.resolution**2 * 4
    return Estimate(
        weights=weights,
        optimizer=optimizer + (3 * min(weights, 4 * GPU_BLOCK) if on_gpu else 0),
        step=step,
        loss=2 * params.batch_size * windows * LOSS_PICTURES * picture,
        cache=0 if on_gpu else cache,
        scratch=SCRATCH_GPU if on_gpu else SCRATCH_CPU,
    )


def available_memory(device: torch.device) -> int:
    """What a new program can take of the device without swapping."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else free_memory()


def suggest(
    params: TrainParams, device: torch.device, available: int, cache: int = 0
) -> tuple[Change, ...]:
    """The fewest changes, the mildest first, with which the run fits; () where it fits as it is.

    The networks themselves are left alone. Raises: ParameterError when even all of them do not
    help, with the numbers.
    """
    need = estimate(params, device, cache).total
    changes: list[Change] = []
    while need * ROUND > available:
        for name, value in _mildest(params, device):
            changed = replace(params, **{name: value})
            total = estimate(changed, device, cache).total
            if total < need:  # recomputing can cost small pictures more than it saves
                break
        else:
            raise ParameterError(
                f"these networks need {_gib(need)} at batch_size {params.batch_size} and "
                f"{_gib(available)} are free; lower resolution, d_dims or ae_dims"
            )
        params, need = changed, total
        changes = [c for c in changes if c.name != name] + [Change(name, value, need)]
    return tuple(changes)


def out_of_memory_message(params: TrainParams, device: torch.device) -> str:
    """What to say after running out: the three single changes that would help most."""
    now = estimate(params, device).total
    changes = []
    for name, value in _every_change(params, device):
        total = estimate(replace(params, **{name: value}), device).total
        if total < now:
            changes.append(Change(name, value, total))
    changes.sort(key=lambda change: change.total)
    listed = "; ".join(map(str, changes[:NAMED]))
    help_text = f"These help most: {listed}" if listed else "Train smaller networks in a new folder"
    return (
        f"the {device.type} ran out of memory: the run takes about {_gib(now)} and "
        f"{_gib(available_memory(device))} are free now. {help_text}. The last save is kept"
    )


def largest_batch(
    try_step: Callable[[int], object],
    low: int = 1,
    high: int = 512,
    fits: Callable[[int], bool] | None = None,
) -> int:
    """The largest batch from `low` to `high` that runs, by doubling, then halving the gap.

    `try_step(batch)` trains one step; `fits(batch)`, where given, is asked before, since a CPU
    does not refuse memory but ends the process. Raises: ParameterError when `low` does not run.
    """

    def runs(batch: int) -> bool:
        return (fits is None or fits(batch)) and _runs(try_step, batch)

    if not runs(low):
        raise ParameterError(
            f"not even batch_size {low} fits into memory; lower resolution, d_dims or ae_dims, or "
            "set checkpoint_activations"
        )
    good, bad = low, high + 1
    while bad - good > 1:
        middle = min(2 * good, high) if bad > high else (good + bad) // 2
        if runs(middle):
            good = middle
        else:
            bad = middle
    return good


def is_out_of_memory(error: BaseException) -> bool:
    """Of a GPU, of Python, or of torch's CPU allocator, which has no class for it."""
    kinds = (torch.OutOfMemoryError, MemoryError)
    return isinstance(error, kinds) or "can't allocate memory" in str(error)


def _runs(try_step: Callable[[int], object], batch: int) -> bool:
    try:
        try_step(batch)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
    else:
        return True
    if torch.cuda.is_available():  # after the error's traceback has let go of its tensors
        torch.cuda.empty_cache()
    return False


def _mildest(params: TrainParams, device: torch.device) -> list[tuple[str, Value]]:
    """What `suggest` may still change: first what costs nothing but time, then the batch."""
    result: list[tuple[str, Value]] = []
    if not params.checkpoint_activations:
        result.append(("checkpoint_activations", True))
    if device.type == "cuda" and not params.optimizer_on_cpu:
        result.append(("optimizer_on_cpu", True))
    if params.batch_size > 1:
        result.append(("batch_size", max(1, params.batch_size * 3 // 4)))
    return result


def _every_change(params: TrainParams, device: torch.device) -> list[tuple[str, Value]]:
    result = [change for change in _mildest(params, device) if change[0] != "batch_size"]
    if params.batch_size > 1:
        result.append(("batch_size", params.batch_size // 2))
    if params.optimizer is not Optimizer.RMSPROP:
        result.append(("optimizer", Optimizer.RMSPROP))
    if device.type == "cuda" and params.precision is Precision.FP32:
        result.append(("precision", Precision.AUTO))
    if params.gan_power:
        result.append(("gan_power", 0.0))
    return result


def _shape_of(params: TrainParams) -> TrainParams:
    """`params` without what does not change a step's memory, so that plays are remembered."""
    plain = TrainParams()
    kept = (
        "batch_size", "checkpoint_activations", "face_style_power", "background_style_power",
        "true_face_power", "gan_power", "gan_patch_size", "gan_dims", "morph_factor",
        *params.spec.__dataclass_fields__,
    )  # fmt: skip
    return replace(plain, **{name: getattr(params, name) for name in kept})


@lru_cache(maxsize=64)
def _play(params: TrainParams, reduced: bool) -> tuple[int, int]:
    """(bytes of weights, peak beside them) of one step in float32 or, `reduced`, in bf16."""
    meta = torch.device("meta")
    with meta:
        net = build(params.spec)
        judges = build_judges(params, net, meta)
    set_checkpointing(net, params.checkpoint_activations)
    networks = [net, *judges.values()]
    weights = sum(p.numel() * p.element_size() for m in networks for p in m.parameters())
    if reduced:
        for layer in [layer for network in networks for layer in network.modules()]:
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
                layer.to(torch.bfloat16)
                layer.register_forward_pre_hook(_in_bf16)
    dtype = torch.bfloat16 if reduced else torch.float32
    side = params.resolution
    with _Alive() as alive:
        faces = torch.empty(2, params.batch_size, 3, side, side, device=meta, dtype=dtype)
        more = {}
        if isinstance(net, AMP):
            shape = (params.batch_size, params.spec.inter_dims)
            more["morph"] = torch.empty(shape, dtype=torch.bool, device=meta)
        styled = bool(params.face_style_power or params.background_style_power)
        made = net.reconstruct(faces[0], faces[1], with_swap=styled, **more)
        seen = [x for x in made if x is not None]
        if "code" in judges:
            seen.append(judges["code"](made.code_src))
        if "gan" in judges:
            seen.extend(judges["gan"](made.src_src.to(dtype)))
        _total(seen).backward()
        if "gan" in judges:
            judge = judges["gan"].requires_grad_(True)
            pictures = [faces[0], made.src_src.detach().to(dtype)]
            _total([out for picture in pictures for out in judge(picture)]).backward()
    # autocast keeps float32 gradients and a bf16 copy of the weights
    return weights, alive.peak + (weights if reduced else 0)


def _in_bf16(_layer: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """What autocast does, which knows no meta device."""
    return tuple(x.to(torch.bfloat16) for x in inputs)


def _total(outputs: list[Tensor]) -> Tensor:
    return torch.stack([x.float().sum() for x in outputs]).sum()


class _Alive(TorchDispatchMode):
    """Follows the memory of every tensor that is made inside it."""

    def __init__(self) -> None:
        super().__init__()
        self.peak = 0
        self._now = 0
        self._known: dict[int, Any] = {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor):
                self._add(tensor.untyped_storage())
        return result

    def _add(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key not in self._known:
            self._known[key] = weakref.ref(storage, lambda _: self._remove(key, size))
            self._now += size
            self.peak = max(self.peak, self._now)

    def _remove(self, key: int, size: int) -> None:
        with suppress(KeyError):  # another storage may have taken the place meanwhile
            del self._known[key]
            self._now -= size


def _gib(size: int) -> str:
    return f"{size / 2**30:.2f} GiB"
