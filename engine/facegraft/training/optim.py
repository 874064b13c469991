"""AdaBelief and RMSprop as DeepFaceLab steps them, and Adam, in place and block by block.

All take the usual parameters of a torch optimizer, two of DeepFaceLab's own and one of ours:
    keep    learning-rate dropout: each weight takes part in a step with this probability
    cosine  period in steps of a learning rate that swings between `lr` and 0; 0 is a constant one
    on_cpu  the state stays in the processor's memory and the step is made there
Formulas: AdaBelief is Zhuang et al. 2020 without bias correction, epsilon outside the root; Adam is
Kingma and Ba 2015 with it, for networks that are to learn within a few hundred steps.

A step is drawn from (seed, step number) alone and the step number is part of `state_dict`, so a
resumed run continues exactly, whatever else uses torch's random generators.

On a CPU an optimizer step is bound by memory: ten passes over 38 million weights cost ten times
their transfer. Each operation therefore runs over one block of every tensor before the next block
is touched; on a GPU the blocks are large and each is one fused launch.
"""

# pyright: reportPrivateImportUsage=false
# torch documents the _foreach functions for this use and exports none of them to type checkers.

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

EPSILON = 1e-6  # DeepFaceLab's, added to the root
CPU_BLOCK = 1 << 19  # weights, 2 MiB an array: smaller ones lose more to launches than they gain
GPU_BLOCK = 1 << 26  # weights; bounds the temporaries to 256 MiB each

Views = list[Tensor]


class _BlockOptimizer(Optimizer):
    """The walk over blocks; a subclass names its state and updates one block of it."""

    state_names: tuple[str, ...]

    def __init__(
        self,
        params: Iterable[Any],
        lr: float,
        keep: float,
        cosine: int,
        seed: int,
        on_cpu: bool,
        **more: float,
    ):
        if lr <= 0 or not 0 < keep <= 1 or cosine < 0:
            raise ValueError(f"lr {lr}, keep {keep}, cosine {cosine}: out of range")
        defaults = dict(lr=lr, keep=keep, cosine=cosine, seed=seed, on_cpu=on_cpu, step=0, **more)
        super().__init__(params, defaults)

    def _fraction(
        self, grads: Views, states: tuple[Views, ...], group: dict[str, Any]
    ) -> tuple[Views, Views]:
        """Update `states` from `grads` in place; the step as numerators and new denominators."""
        raise NotImplementedError

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step. `closure` is for torch's interface and is evaluated first."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            self._step_group(group)
        return loss

    def _step_group(self, group: dict[str, Any]) -> None:
        lr = group["lr"]
        if group["cosine"]:
            lr *= (math.cos(2 * math.pi * group["step"] / group["cosine"]) + 1) / 2
        params = [p for p in group["params"] if p.grad is not None]
        homes = [p.detach().cpu() if group["on_cpu"] else p for p in params]
        rows = [
            (home, self._laid_out(home, p.grad), *self._state_of(p, home))
            for p, home in zip(params, homes, strict=True)
        ]
        generator = None
        if group["keep"] < 1 and params:
            generator = torch.Generator(homes[0].device)
            generator.manual_seed((group["seed"] << 32) + group["step"])
        for weights, grads, *states in _blocks(rows):
            numerators, roots = self._fraction(grads, tuple(states), group)
            torch._foreach_add_(roots, EPSILON)
            if generator is not None:
                _drop(roots, group["keep"], generator)
            torch._foreach_addcdiv_(weights, numerators, roots, -lr)
        if group["on_cpu"]:
            for param, home in zip(params, homes, strict=True):
                param.copy_(home)
        group["step"] += 1

    def _state_of(self, param: Tensor, home: Tensor) -> Iterator[Tensor]:
        state = self.state[param]
        for name in self.state_names:
            if name not in state:
                state[name] = torch.zeros_like(home)
            state[name] = self._laid_out(home, state[name])
            yield state[name]

    @staticmethod
    def _laid_out(home: Tensor, other: Tensor) -> Tensor:
        """`other` on the device and with the memory order of `home`, which it may lack."""
        if other.stride() == home.stride() and other.device == home.device:
            return other
        return torch.empty_like(home).copy_(other)


class AdaBelief(_BlockOptimizer):
    """m <- b1 m + (1 - b1) g;  s <- b2 s + (1 - b2) (g - m)^2;  w <- w - lr m / (sqrt(s) + eps)."""

    state_names = ("mean", "variance")

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 5e-5,  # DeepFaceLab's SAEHD
        betas: tuple[float, float] = (0.9, 0.999),
        *,
        keep: float = 1.0,
        cosine: int = 0,
        seed: int = 0,
        on_cpu: bool = False,
    ):
        super().__init__(params, lr, keep, cosine, seed, on_cpu, beta1=betas[0], beta2=betas[1])

    def _fraction(
        self, grads: Views, states: tuple[Views, ...], group: dict[str, Any]
    ) -> tuple[Views, Views]:
        mean, variance = states
        torch._foreach_lerp_(mean, grads, 1 - group["beta1"])
        surprise = torch._foreach_sub(grads, mean)
        torch._foreach_mul_(variance, group["beta2"])
        torch._foreach_addcmul_(variance, surprise, surprise, 1 - group["beta2"])
        return mean, list(torch._foreach_sqrt(variance))


class Adam(_BlockOptimizer):
    """m <- b1 m + (1 - b1) g;  v <- b2 v + (1 - b2) g^2;  m', v' = m / (1 - b1^t), v / (1 - b2^t);
    w <- w - lr m' / (sqrt(v') + eps)."""

    state_names = ("mean", "square")

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,  # Kingma and Ba's, as the next
        betas: tuple[float, float] = (0.9, 0.999),
        *,
        keep: float = 1.0,
        cosine: int = 0,
        seed: int = 0,
        on_cpu: bool = False,
    ):
        super().__init__(params, lr, keep, cosine, seed, on_cpu, beta1=betas[0], beta2=betas[1])

    def _fraction(
        self, grads: Views, states: tuple[Views, ...], group: dict[str, Any]
    ) -> tuple[Views, Views]:
        mean, square = states
        step = group["step"] + 1
        torch._foreach_lerp_(mean, grads, 1 - group["beta1"])
        torch._foreach_mul_(square, group["beta2"])
        torch._foreach_addcmul_(square, grads, grads, 1 - group["beta2"])
        numerators = torch._foreach_div(mean, 1 - group["beta1"] ** step)
        whole = torch._foreach_div(square, 1 - group["beta2"] ** step)
        return list(numerators), list(torch._foreach_sqrt(whole))


class RMSprop(_BlockOptimizer):
    """a <- rho a + (1 - rho) g^2;  w <- w - lr g / (sqrt(a) + eps)."""

    state_names = ("square",)

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 5e-5,  # DeepFaceLab's SAEHD; its Quick96 takes 2e-4 with keep 0.3
        rho: float = 0.9,
        *,
        keep: float = 1.0,
        cosine: int = 0,
        seed: int = 0,
        on_cpu: bool = False,
    ):
        super().__init__(params, lr, keep, cosine, seed, on_cpu, rho=rho)

    def _fraction(
        self, grads: Views, states: tuple[Views, ...], group: dict[str, Any]
    ) -> tuple[Views, Views]:
        (square,) = states
        torch._foreach_mul_(square, group["rho"])
        torch._foreach_addcmul_(square, grads, grads, 1 - group["rho"])
        return grads, list(torch._foreach_sqrt(square))


def _drop(roots: Views, keep: float, generator: torch.Generator) -> None:
    """Make each denominator infinite with probability 1 - `keep`, which is rounded to 1/256.

    One random byte decides, and the division is by true or false: torch's `bernoulli_` and
    `masked_fill_` take five to ten times as long on a CPU.
    """
    limit = round(keep * 256) - 128
    for view in roots:
        words = torch.empty(-(-view.numel() // 8), dtype=torch.int64, device=view.device)
        words.random_(-(2**63), None, generator=generator)
        view.div_(words.view(torch.int8)[: view.numel()] < limit)


def _blocks(rows: list[tuple[Tensor, ...]]) -> Iterator[list[Views]]:
    """Equal parts of the tensors of each row, as flat views, one list per column.

    A block holds pieces of one or more rows up to the device's block size.
    """
    if not rows:
        return
    limit = CPU_BLOCK if rows[0][0].device.type == "cpu" else GPU_BLOCK
    block: list[tuple[Tensor, ...]] = []
    room = limit
    for row in rows:
        flat = [t.as_strided((t.numel(),), (1,), t.storage_offset()) for t in row]
        for pieces in zip(*(t.split(limit) for t in flat), strict=True):
            if pieces[0].numel() > room and block:
                yield [list(column) for column in zip(*block, strict=True)]
                block, room = [], limit
            block.append(pieces)
            room -= pieces[0].numel()
    yield [list(column) for column in zip(*block, strict=True)]
