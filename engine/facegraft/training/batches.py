"""Batches: what iteration i trains on, of both sides, augmented on the training device.

A batch is a function of the options, the facesets and i: see `samples.py` for which faces, and
`warp.py` for what happens to them.
"""

import os
import time
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from facegraft.faces.faceset import Faceset
from facegraft.progress import Progress
from facegraft.training.augment import augment_batch
from facegraft.training.distributed import Group
from facegraft.training.kinds import ColorTransfer
from facegraft.training.params import TrainParams
from facegraft.training.samples import Samples
from facegraft.training.warp import Amounts, Augmented


class Batches:
    """Both sides' faces. Close it, or use it as a context manager, to end its threads."""

    def __init__(
        self,
        src: Faceset,
        dst: Faceset,
        params: TrainParams,
        device: torch.device,
        group: Group,
        samplers: dict[str, Any],  # as `state` gave them; empty for a new run
    ) -> None:
        self.params, self.device, self.group = params, device, group
        threads = max(1, (params.threads or os.cpu_count() or 2) // 2)
        sides: list[Samples] = []
        for faces, side in ((src, "src"), (dst, "dst")):
            same = bool(sides) and src.folder == dst.folder  # pretraining: one set in memory
            sides.append(
                Samples(
                    faces, side, params.face_type, params.resolution, params.batch_size,
                    params.seed, threads,
                    uniform_yaw=params.uniform_yaw,
                    state=samplers.get(side),
                    share=sides[0] if same else None,
                    watch=group.size == 1,  # the ranks' lists must never differ
                )
            )  # fmt: skip
        self.src, self.dst = sides
        warp = params.random_warp
        self.src_amounts = Amounts.of(params, params.random_src_flip, warp, src=True)
        self.dst_amounts = Amounts.of(params, params.random_dst_flip, warp)
        self.waiting_seconds = 0.0  # until faces were on the device, all batches together

    def load(self, progress: Progress) -> None:
        """Decode what fits into memory. Raises: BadAlignedImage, Cancelled."""
        for side in (self.src, self.dst):
            side.load(progress)

    def at(self, iteration: int, warped: bool) -> tuple[Augmented, Augmented]:
        """The src and the dst batch of an iteration, counted from 0; this rank's part of them."""
        draw, warp_now = batch_plan(iteration, self.params.unwarped_every)
        part = self.group.part
        asked = time.monotonic()
        src, dst = (self._moved(side.batch(draw, part)) for side in (self.src, self.dst))
        references = None
        if self.src_amounts.color_transfer is not ColorTransfer.NONE:
            references = self._moved(self.dst.references(draw, part))
        self.waiting_seconds += time.monotonic() - asked
        more = {"batch_size": self.params.batch_size, "part": part}
        size, seed, warp = self.params.resolution, self.params.seed, warped and warp_now
        return (
            augment_batch(
                src, size, _warping(self.src_amounts, warp), seed, "src", draw, references, **more
            ),
            augment_batch(dst, size, _warping(self.dst_amounts, warp), seed, "dst", draw, **more),
        )

    def _moved(self, faces: Tensor) -> Tensor:
        return faces.to(self.device, non_blocking=True)

    def state(self) -> dict[str, Any]:
        """JSON values from which another session's batches go on."""
        return {"src": self.src.state(), "dst": self.dst.state()}

    def close(self) -> None:
        self.src.close()
        self.dst.close()

    def __enter__(self) -> "Batches":
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()


def _warping(amounts: Amounts, warp: bool) -> Amounts:
    return replace(amounts, warp=amounts.warp and warp)


def batch_plan(iteration: int, unwarped_every: int) -> tuple[int, bool]:
    """(number of the batch, warped or not) for an iteration, both counted from 0.

    Every `unwarped_every`-th iteration repeats the batch before it as it is; 0 never does.
    """
    if not unwarped_every:
        return iteration, True
    repeats = iteration // unwarped_every
    return iteration - repeats, iteration == 0 or iteration % unwarped_every != 0
