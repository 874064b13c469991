"""Work: what a kind of run brings to the session, the book and the saves that all runs share."""

from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from facegraft.training.checkpoint import Checkpoint
from facegraft.training.distributed import Group
from facegraft.training.run_params import P


class Work(Protocol[P]):
    """Networks, batches and what one iteration does with them."""

    device: torch.device
    group: Group

    @property
    def names(self) -> tuple[str, str]:
        """Of the two losses."""
        ...

    @property
    def waiting_seconds(self) -> float:
        """Until batches were on the device, all of them together."""
        ...

    def step(self, iteration: int) -> Tensor:
        """Make an iteration, counted from 0: (2,) float32, its losses."""
        ...

    def sheet(self, number: int) -> np.ndarray:
        """(H, W, 3) uint8 RGB, the preview; `number` 0 is the one of fixed faces."""
        ...

    def save_bytes(self) -> int:
        """About what a save takes on disk."""
        ...

    def checkpoint(
        self, iteration: int, seconds: float, last_loss: tuple[float, float]
    ) -> Checkpoint[P]:
        """The state after `iteration` finished iterations."""
        ...
