"""The memory of one training step, played on torch's "meta" device, which allocates nothing.

Every tensor that is alive is followed, so activations, recomputation and gradients are counted for
the options at hand, exactly up to the scratch space of the libraries. A play takes about a second.
"""

import weakref
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from facegraft.models.amp import AMP
from facegraft.models.build import build, set_checkpointing
from facegraft.training.params import TrainParams
from facegraft.training.setup import build_judges


def step_memory(params: TrainParams, reduced: bool) -> tuple[int, int]:
    """(bytes of weights, peak beside them) of one step in float32 or, `reduced`, in bf16.

    Raises: ParameterError for impossible networks.
    """
    return _play(_shape_of(params), reduced)


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
