"""Does a run fit into memory: the batch that does, and a word before and after it does not."""

from collections.abc import Callable
from dataclasses import replace

import torch

from facegraft.errors import OutOfMemory, ParameterError
from facegraft.training.distributed import Group
from facegraft.training.memory import (
    ROUND,
    available_memory,
    estimate,
    is_out_of_memory,
    largest_batch,
    out_of_memory_message,
    suggest,
)
from facegraft.training.params import TrainParams
from facegraft.training.setup import choose_device
from facegraft.training.trainer import Trainer
from facegraft.training.warp import Augmented

LARGEST = 64  # faces a process: beyond, a step takes longer and teaches hardly more


def with_batch(
    params: TrainParams,
    device: torch.device,
    autocast: torch.dtype | None,
    group: Group,
    note: Callable[[str], None],
) -> TrainParams:
    """`params` with a batch size that runs where it is 0; a note where a given one may not.

    Raises: ParameterError for impossible networks, and when not even one face of each side fits.
    """
    if params.batch_size:
        _warn(replace(params, batch_size=max(1, params.batch_size // group.size)), device, note)
        return params
    free = available_memory(device)

    def fits(batch: int) -> bool:
        return estimate(replace(params, batch_size=batch), device).total * ROUND <= free

    def try_step(batch: int) -> None:
        if device.type == "cpu":
            return  # a CPU ends the process instead of refusing; the estimate has to do
        trainer = Trainer(replace(params, batch_size=batch), device, autocast, Group())
        side = params.resolution
        faces = torch.rand(batch, 3, side, side, device=device)
        mask = torch.ones(batch, 1, side, side, device=device)
        made = Augmented(faces, faces, mask, mask)
        trainer.step(made, made, 0)
        torch.cuda.synchronize(device)

    found = torch.tensor([largest_batch(try_step, high=LARGEST, fits=fits)])
    group.broadcast([found])
    batch = int(found) * group.size
    note(f"batch_size {batch} is the largest that runs here")
    return replace(params, batch_size=batch)


def _warn(params: TrainParams, device: torch.device, note: Callable[[str], None]) -> None:
    free = available_memory(device)
    takes = estimate(params, device).total  # impossible networks end here, and are no warning
    try:
        changes = suggest(params, device, free)
    except ParameterError as error:
        note(f"WARNING: {error}")
        return
    if changes:
        note(
            f"WARNING: this run takes about {takes / 2**30:.1f} GiB and {free / 2**30:.1f} GiB are "
            f"free. It fits with {'; '.join(map(str, changes))}"
        )


def explained(error: BaseException, params: TrainParams) -> OutOfMemory | None:
    """`error` in our words if it says that memory ran out, else None."""
    if not is_out_of_memory(error):
        return None
    return OutOfMemory(out_of_memory_message(params, choose_device(params)))
