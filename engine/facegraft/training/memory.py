"""How much memory a run will take, what to change where it is too much, the largest batch.

`estimate` takes a training step as `step_memory.py` plays it, and adds what lies beside it. All
sizes are bytes.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from facegraft.controls import Value
from facegraft.errors import ParameterError
from facegraft.training.face_cache import free_memory
from facegraft.training.optim import GPU_BLOCK, AdaBelief, RMSprop
from facegraft.training.params import Optimizer, Precision, TrainParams
from facegraft.training.setup import choose_precision
from facegraft.training.step_memory import step_memory

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
    weights, step = step_memory(params, reduced)
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


def _gib(size: int) -> str:
    return f"{size / 2**30:.2f} GiB"
