"""MaskTrainer: a mask network with its optimizer, its labelled faces, and what one iteration does.

It is the work (`work.py`) of a mask run's session. Iteration i is a function of options, faces and
i, as in a swap model's run, so that stopping and resuming changes nothing.
"""

import os
import time
from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from facegraft.faces.face import AlignedFace
from facegraft.models.mask_build import build_mask_net
from facegraft.training.checkpoint import Checkpoint
from facegraft.training.distributed import Group
from facegraft.training.mask_augment import augment_labelled
from facegraft.training.mask_loss import mask_loss
from facegraft.training.mask_params import MaskOptimizer, MaskTrainParams
from facegraft.training.mask_preview import mask_sheet
from facegraft.training.mask_samples import labels_digest, load_labelled
from facegraft.training.optim import AdaBelief, Adam, RMSprop
from facegraft.training.preview import choose_faces
from facegraft.training.restore import optimizer_tensors, restore_group, restore_optimizer
from facegraft.training.samples import Samples
from facegraft.training.sampling import random_seed
from facegraft.training.setup import KEEP

NAMES = ("loss", "error")  # the error is what is missing of the overlap with the label, 0..1
PREVIEW_FACES = 8  # two rows of four


class MaskTrainer:
    """Close it, or use it as a context manager, to end the threads that decode faces."""

    names = NAMES

    def __init__(
        self,
        faces: Sequence[AlignedFace],  # labelled ones
        params: MaskTrainParams,
        device: torch.device,
        autocast: torch.dtype | None,
        resumed: Checkpoint[MaskTrainParams] | None,
    ) -> None:
        """Raises: CheckpointError where a save does not fit."""
        self.params, self.device, self.autocast = params, device, autocast
        self.group = Group()
        self.faces = faces
        self.net = _network(params, device)
        self.optimizer = _optimizer(params, self.net)
        state = resumed.samplers.get("labelled") if resumed else None
        threads = max(1, (params.threads or os.cpu_count() or 2) // 2)
        self.samples = Samples(
            faces, "labelled", params.face_type, params.resolution, params.batch_size, params.seed,
            threads,
            state=state,
            load=partial(load_labelled, labels=params.labels),
        )  # fmt: skip
        self._digest = labels_digest(faces, params.labels)
        self.waiting_seconds = 0.0
        self._crops: Tensor | None = None

    def restore(self, checkpoint: Checkpoint[MaskTrainParams]) -> list[str]:
        """Take over a save; sentences about what is different. Raises: CheckpointError."""
        notes = []
        restore_group(checkpoint, "net", self.net)
        if "optimizer" not in checkpoint.groups:  # imported weights
            return notes
        if checkpoint.params.optimizer is self.params.optimizer:
            restore_optimizer(checkpoint, "optimizer", self.optimizer, self.net)
        else:
            notes.append(f"the optimizer is now {self.params.optimizer}; it starts without memory")
        if checkpoint.src_digest != self._digest:
            notes.append("the labels are not those that this run was trained on so far")
        return notes

    def step(self, iteration: int) -> Tensor:
        """(2,) float32: loss and error."""
        asked = time.monotonic()
        faces = self.samples.batch(iteration).to(self.device, non_blocking=True)
        others = self.samples.references(iteration).to(self.device, non_blocking=True)
        self.waiting_seconds += time.monotonic() - asked
        left = cooling(self.params, iteration)
        with torch.no_grad():
            batch = augment_labelled(
                faces, others, self.params.resolution, self.params, iteration, strength=left
            )
        picture = batch.picture.contiguous(memory_format=torch.channels_last)
        with torch.autocast(self.device.type, self.autocast, enabled=self.autocast is not None):
            logits = self.net(picture)
        loss, error = mask_loss(logits, batch)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if self.params.clip_gradient:
            nn.utils.clip_grad_norm_(self.net.parameters(), self.params.clip_gradient)
        self.optimizer.param_groups[0]["lr"] = self.params.learning_rate * left
        self.optimizer.step()
        return torch.stack([loss.detach(), error.detach()])

    def sheet(self, number: int) -> np.ndarray:
        chosen = choose_faces(self.samples.faces, PREVIEW_FACES, number)
        squares = self.samples.squares(chosen).to(self.device)
        return mask_sheet(self.net, squares, self.autocast)

    def save_bytes(self) -> int:
        each = 1 + len(self.optimizer.state_names)
        return each * sum(p.numel() * p.element_size() for p in self.net.parameters())

    def checkpoint(
        self, iteration: int, seconds: float, last_loss: tuple[float, float]
    ) -> Checkpoint[MaskTrainParams]:
        if self._crops is None:
            self._crops = self.samples.squares(choose_faces(self.faces))[..., :3]
        return Checkpoint(
            params=self.params,
            iteration=iteration,
            seconds=seconds,
            src_digest=self._digest,
            dst_digest="",
            last_loss=last_loss,
            groups={
                "net": self.net.state_dict(),
                "optimizer": optimizer_tensors(self.optimizer, self.net),
            },
            crops=self._crops,
            samplers={"labelled": self.samples.state()},
            faces=(len(self.faces), 0),
        )

    def close(self) -> None:
        self.samples.close()

    def __enter__(self) -> "MaskTrainer":
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()


def cooling(params: MaskTrainParams, iteration: int) -> float:
    """Share of learning rate and augmentation that is left, for an iteration counted from 0."""
    span = params.target_iterations * params.cool_down / 100
    return min(1.0, max(0.0, (params.target_iterations - iteration) / span)) if span else 1.0


def _network(params: MaskTrainParams, device: torch.device) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(random_seed(params.seed, "weights"))
        net = build_mask_net(params.network, params.resolution)
    nn.utils.convert_conv2d_weight_memory_format(net, torch.channels_last)
    return net.to(device)


def _optimizer(params: MaskTrainParams, net: nn.Module) -> Adam | AdaBelief | RMSprop:
    kind = {
        MaskOptimizer.ADAM: Adam,
        MaskOptimizer.ADABELIEF: AdaBelief,
        MaskOptimizer.RMSPROP: RMSprop,
    }[params.optimizer]
    keep = KEEP if params.lr_dropout else 1.0
    return kind(net.parameters(), params.learning_rate, keep=keep, seed=params.seed)
