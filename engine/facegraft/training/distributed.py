"""Training on several GPUs or machines that torchrun starts: one Group that ranks agree through.

    torchrun --nproc-per-node 2 -m facegraft_cli train ...

Every rank runs the whole program on its share of each batch; gradients are averaged after the
backward pass, in blocks of one flat buffer, so that any network, judge and optimizer works
unchanged and all ranks step alike. Without torchrun's environment the group is this process alone
and every method returns at once. nccl carries GPU tensors, gloo the rest.

Why not torch's DistributedDataParallel: `benchmarks/groups.py` steps both side by side. Weights
come out equal to the last bit, and DDP's step is 5 to 9 % quicker for two processes over gloo, as
it sends while it still computes. But DDP settles what is trained when it wraps a network: where a
later phase freezes a part, as liae's without warp, its next step gives gradients that are not
averaged, without a word, and the one after it fails; and each judge wants a wrapper of its own.
Neither has been measured on several GPUs.
"""

import logging
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor

from facegraft.errors import ParameterError, TrainingInterrupted

BLOCK = 1 << 23  # values, 32 MiB: long enough for full bandwidth, little memory beside the weights
TIMEOUT = 300.0  # seconds; a slow save or a first compilation of one rank is no loss of it

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Group:
    """The processes of one run. All ranks call the same methods in the same order.

    Raises, from every method: TrainingInterrupted when a worker is gone.
    """

    rank: int = 0  # 0 writes files and shows progress, the others neither
    size: int = 1
    local_rank: int = 0  # number of this process on its machine, and of its GPU

    @property
    def part(self) -> tuple[int, int]:
        return self.rank, self.size

    def average_gradients(self, params: Iterable[Tensor]) -> None:
        """Each gradient becomes its mean over all ranks; those of None are left out everywhere."""
        if self.size > 1:
            gradients = [p.grad for p in params if p.grad is not None]
            for block in _blocks(gradients):
                flat = torch.cat([_flat(g) for g in block])
                _guarded(dist.all_reduce, flat)
                flat /= self.size
                for gradient, mean in _split(block, flat):
                    _flat(gradient).copy_(mean)

    @torch.no_grad()
    def broadcast(self, tensors: Iterable[Tensor]) -> None:
        """Parameters or buffers become those of rank 0, in place."""
        if self.size > 1:
            for block in _blocks([t.detach() for t in tensors]):
                flat = torch.cat([_flat(t) for t in block])
                _guarded(dist.broadcast, flat, src=0)
                for tensor, value in _split(block, flat):
                    _flat(tensor).copy_(value)

    def mean(self, values: Tensor) -> Tensor:
        """The mean over all ranks, for losses of equal shares of a batch."""
        if self.size > 1:
            values = values.detach().clone()
            _guarded(dist.all_reduce, values)
            values /= self.size
        return values

    def any(self, flag: bool) -> bool:
        """True on every rank if it is on one: a stop, a save that is due."""
        if self.size == 1:
            return flag
        value = torch.tensor(int(flag))  # on the CPU: asking a GPU would wait for its queue
        _guarded(dist.all_reduce, value, op=dist.ReduceOp.MAX)
        return bool(value.item())

    def close(self) -> None:
        """Leave; also after an error, when the others may be gone."""
        if self.size > 1 and dist.is_initialized():
            dist.destroy_process_group()


def join_group(use_gpu: bool | None = None, timeout: float = TIMEOUT) -> Group:
    """The group that torchrun's environment describes, or this process alone without it.

    `use_gpu` chooses nccl (None: where there is CUDA), `timeout` are the seconds after which a
    silent worker counts as lost. Raises: TrainingInterrupted when the others can not be reached.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size <= 1 or "RANK" not in os.environ or "MASTER_ADDR" not in os.environ:
        return Group()
    rank, local = int(os.environ["RANK"]), int(os.environ.get("LOCAL_RANK", "0"))
    if use_gpu is None:
        use_gpu = torch.cuda.is_available()
    if use_gpu:
        torch.cuda.set_device(local)
        # a lost worker is an error to catch, instead of an abort of this process
        os.environ.setdefault("TORCH_NCCL_BLOCKING_WAIT", "1")
    _guarded(
        dist.init_process_group,
        "cpu:gloo,cuda:nccl" if use_gpu else "gloo",
        rank=rank,
        world_size=size,
        timeout=timedelta(seconds=timeout),
    )
    _log.info("rank %d of %d, %s", rank, size, dist.get_backend())
    return Group(rank, size, local)


def share_of_batch(batch_size: int, group: Group) -> int:
    """Faces of each side that one rank trains on. Raises: ParameterError for unequal shares."""
    if batch_size % group.size:
        nearest = max(group.size, round(batch_size / group.size) * group.size)
        raise ParameterError(
            f"batch_size is {batch_size}, which {group.size} workers can not share equally; take "
            f"{nearest}"
        )
    return batch_size // group.size


def _guarded(call: Callable[..., object], *args: object, **kwargs: object) -> None:
    """Torch reports a lost connection, a timeout and a closed store as RuntimeErrors."""
    try:
        call(*args, **kwargs)
    except RuntimeError as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise TrainingInterrupted(
            f"a worker of this distributed run was lost or can not be reached ({first}). Start "
            "the same command again: it resumes from the last checkpoint"
        ) from error


def _flat(tensor: Tensor) -> Tensor:
    """A dense tensor's values in the order of its memory, as a view."""
    return tensor.as_strided((tensor.numel(),), (1,), tensor.storage_offset())


def _blocks(tensors: list[Tensor]) -> Iterable[list[Tensor]]:
    """Neighbours of one kind together, about BLOCK values each; a larger tensor stands alone."""
    block: list[Tensor] = []
    count = 0
    for tensor in tensors:
        other_kind = bool(block) and tensor.dtype is not block[0].dtype
        if block and (other_kind or count + tensor.numel() > BLOCK):
            yield block
            block, count = [], 0
        block.append(tensor)
        count += tensor.numel()
    if block:
        yield block


def _split(block: list[Tensor], flat: Tensor) -> Iterable[tuple[Tensor, Tensor]]:
    return zip(block, flat.split([t.numel() for t in block]), strict=True)
