"""Every architecture of the registry as small as its limits allow, for tests."""

from itertools import chain, combinations

import torch
from torch import Tensor

from facegraft.model_spec import FaceType, ModelSpec
from facegraft.models.build import FAMILIES, LETTERS, SwapNet, build

INTER_DIMS = 32  # of amp


def with_options(family: str) -> list[str]:
    """The family's name with every choice of its option letters."""
    known = LETTERS[family]
    chosen = chain.from_iterable(combinations(known, n) for n in range(len(known) + 1))
    return [f"{family}-{''.join(letters)}".rstrip("-") for letters in chosen]


ARCHITECTURES = [name for family in FAMILIES for name in with_options(family)]


def tiny(architecture: str, resolution: int = 64) -> ModelSpec:
    inter_dims = INTER_DIMS if architecture.startswith("amp") else 0
    return ModelSpec(architecture, resolution, FaceType.FULL, 32, 16, 16, 16, inter_dims)


def fresh(architecture: str) -> SwapNet:
    """The same weights at every call."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return build(tiny(architecture))


def lively(architecture: str) -> SwapNet:
    """Biases away from 0 and steep heads, so that the outputs spread over 0..1."""
    net = fresh(architecture)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, p in net.named_parameters():
            if name.endswith("bias"):
                p.uniform_(-0.05, 0.05, generator=generator)
            elif "head" in name:
                p.mul_(20)
    return net


def images(count: int, seed: int = 0) -> Tensor:
    """(count, 3, 64, 64) RGB noise 0..1."""
    return torch.rand(count, 3, 64, 64, generator=torch.Generator().manual_seed(seed))
