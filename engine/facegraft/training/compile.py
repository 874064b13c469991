"""compiled(): a network whose forward pass torch has compiled, where that pays.

On a GPU a step is hundreds of small launches, which torch.compile fuses. On two CPU cores it
measured no gain and took minutes, so `auto` leaves it out there. A machine that can not compile (no
compiler, no Triton) goes on eagerly, and the log says why.
"""

import logging
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from facegraft.training.params import Compile

_log = logging.getLogger(__name__)


def compiled(net: nn.Module, choice: Compile, device: torch.device) -> Callable[..., Any]:
    """What to call instead of `net`: the same results, weights and gradients.

    Compiling happens at the first call, under that call's autocast. Batches keep their size, so
    shapes are taken as constants.
    """
    if choice is Compile.OFF or (choice is Compile.AUTO and device.type != "cuda"):
        return net
    return _Compiled(net)


class _Compiled:
    """Compiles at the first call; if that fails, it is the network itself from then on."""

    def __init__(self, net: nn.Module) -> None:
        self.net = net
        self._call: Callable[..., Any] | None = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._call is None:
            return self._first(*args, **kwargs)
        return self._call(*args, **kwargs)

    def _first(self, *args: Any, **kwargs: Any) -> Any:
        fast = torch.compile(self.net, dynamic=False)
        try:
            result = fast(*args, **kwargs)
        except Exception as error:  # the compilers raise whatever they like
            result = self.net(*args, **kwargs)  # an error of ours comes up again, as itself
            reason = str(error).strip().splitlines()[0] if str(error).strip() else ""
            _log.warning(
                "the networks are not compiled, training goes on without (%s: %s)",
                type(error).__name__, reason,
            )  # fmt: skip
            self._call = self.net
        else:
            _log.info("the networks are compiled")
            self._call = fast
        return result
