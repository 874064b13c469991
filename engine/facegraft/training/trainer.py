"""Trainer: the networks of a run with their optimizers, and what one iteration does to them.

One forward pass serves everything: the autoencoder's own losses, the style terms, what the judges
(`models/discriminator.py`) think of it and then, detached, the judges' own lessons. The terms and
how they are combined are DeepFaceLab's (SAEHD, Quick96, AMP); the formulas are in `loss.py`,
`style.py` and `adversarial.py`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from facegraft.models.amp import AMP, draw_morph_mask
from facegraft.models.liae import LIAE
from facegraft.models.stages import Reconstruction
from facegraft.training.adversarial import (
    code_discriminator_loss,
    discriminator_loss,
    generator_loss,
    true_face_loss,
)
from facegraft.training.checkpoint import Checkpoint
from facegraft.training.compile import compiled
from facegraft.training.distributed import Group
from facegraft.training.loss import (
    LossWeights,
    reconstruction_loss,
    soft_mask,
    src_background_loss,
)
from facegraft.training.optim import AdaBelief, RMSprop
from facegraft.training.params import TrainParams
from facegraft.training.restore import optimizer_tensors, restore_group, restore_optimizer
from facegraft.training.sampling import part_rows, random_seed
from facegraft.training.setup import build_judges, build_network, build_optimizer, loss_weights
from facegraft.training.style import background_style_loss, face_style_loss
from facegraft.training.warp import Augmented

AMP_JUDGE = 0.25  # amp's judge sees both sides: eight terms of 1/8, where SAEHD's has four of 1/2


@dataclass(frozen=True, slots=True, eq=False)
class Member:
    """One network that is trained, with its optimizer, under the name that a save uses."""

    name: str  # "net", "gan" or "code"
    module: nn.Module
    optimizer: AdaBelief | RMSprop

    @property
    def optimizer_name(self) -> str:
        return "optimizer" if self.name == "net" else f"{self.name}_optimizer"


class Trainer:
    """The networks, drawn from the run's seed or `restore()`d from a save.

    Raises: ParameterError for options that need another architecture.
    """

    def __init__(
        self, params: TrainParams, device: torch.device, autocast: torch.dtype | None, group: Group
    ) -> None:
        self.params, self.device, self.autocast, self.group = params, device, autocast, group
        self.net = build_network(params, device, autocast)
        self.src_weights, self.dst_weights = (loss_weights(params, side) for side in ("src", "dst"))
        judges = build_judges(params, self.net, device)
        self.members = [
            Member(name, module, build_optimizer(params, module))
            for name, module in {"net": self.net, **judges}.items()
        ]
        self.gan = next((m for m in self.members if m.name == "gan"), None)
        self.code = next((m for m in self.members if m.name == "code"), None)
        for member in self.members:
            group.broadcast(member.module.parameters())
        self._forward = compiled(self.net, params.compile, device)

    def step(self, src: Augmented, dst: Augmented, iteration: int) -> Tensor:
        """One iteration on a batch of each side: (2,) float32, the mean src and dst loss."""
        made = self._reconstruct(src, dst, iteration)
        losses = torch.stack([self._src_loss(made, src, dst), self._dst_loss(made, dst)])
        self._update(self.members[0], losses.sum() + self._opinions(made, src, dst))
        if self.code is not None:
            with _learning(self.code.module) as judge:
                lesson = code_discriminator_loss(
                    judge(made.code_src.detach()), judge(made.code_dst.detach())
                )
                self._update(self.code, lesson.mean())
        if self.gan is not None:
            with _learning(self.gan.module) as judge:
                self._update(self.gan, self._gan_lesson(judge, made, src, dst))
        return self.group.mean(losses.detach())

    def set_warped(self, warped: bool) -> None:
        """Whether the phase with random warp is on.

        As in DeepFaceLab: without warp liae's shared inter would unlearn what src and dst share.
        """
        if isinstance(self.net, LIAE):
            self.net.inter_ab.requires_grad_(warped)

    def groups(self) -> dict[str, dict[str, Tensor]]:
        """Weights and optimizer states, by the names of `Checkpoint.groups`."""
        result: dict[str, dict[str, Tensor]] = {}
        for member in self.members:
            result[member.name] = dict(member.module.state_dict())
            result[member.optimizer_name] = optimizer_tensors(member.optimizer, member.module)
        return result

    def save_bytes(self) -> int:
        """What `groups` will hold after the first step."""
        return sum(
            parameter.numel() * parameter.element_size() * (1 + len(member.optimizer.state_names))
            for member in self.members
            for parameter in member.module.parameters()
        )

    def restore(self, checkpoint: Checkpoint) -> list[str]:
        """Take over a save; sentences about what starts anew. Raises: CheckpointError."""
        notes = []
        same_kind = checkpoint.params.optimizer is self.params.optimizer
        for member in self.members:
            if member.name != "net" and not self._saved_alike(member.name, checkpoint):
                notes.append(f"the {member.name} judge starts anew")
                continue
            restore_group(checkpoint, member.name, member.module)
            if same_kind:
                restore_optimizer(
                    checkpoint, member.optimizer_name, member.optimizer, member.module
                )
        if not same_kind:
            notes.append(f"the optimizer is now {self.params.optimizer}; it starts without memory")
        return notes

    def _saved_alike(self, judge: str, checkpoint: Checkpoint) -> bool:
        shape = ("gan_patch_size", "gan_dims") if judge == "gan" else ()
        same = all(getattr(checkpoint.params, n) == getattr(self.params, n) for n in shape)
        return same and judge in checkpoint.groups

    def _reconstruct(self, src: Augmented, dst: Augmented, iteration: int) -> Reconstruction:
        more: dict[str, Tensor] = {}
        if isinstance(self.net, AMP):
            seed = random_seed(self.params.seed, "morph", iteration)
            mask = draw_morph_mask(
                self.params.batch_size,
                self.params.spec.inter_dims,
                self.params.morph_factor,
                torch.Generator().manual_seed(seed),
            )
            more["morph"] = mask[part_rows(len(mask), self.group.part)].to(self.device)
        styled = self.params.face_style_power or self.params.background_style_power
        with torch.autocast(self.device.type, self.autocast, enabled=self.autocast is not None):
            return self._forward(src.warped, dst.warped, with_swap=bool(styled), **more)

    def _src_loss(self, made: Reconstruction, src: Augmented, dst: Augmented) -> Tensor:
        weights = self.src_weights
        loss = reconstruction_loss(
            made.src_src, made.src_src_mask, src.target, src.mask, weights, src.parts
        )
        if made.src_dst is not None and made.src_dst_mask is not None:
            if self.params.face_style_power:
                loss = loss + face_style_loss(
                    made.src_dst, made.src_dst_mask, made.dst_dst, made.dst_dst_mask,
                    self.params.face_style_power,
                )  # fmt: skip
            if self.params.background_style_power:
                face = made.src_dst_mask * made.dst_dst_mask
                loss = loss + background_style_loss(
                    made.src_dst, dst.target, face, self.params.background_style_power, weights
                )
        return loss.mean()

    def _dst_loss(self, made: Reconstruction, dst: Augmented) -> Tensor:
        loss = reconstruction_loss(
            made.dst_dst, made.dst_dst_mask, dst.target, dst.mask, self.dst_weights, dst.parts
        )
        return loss.mean()

    def _opinions(self, made: Reconstruction, src: Augmented, dst: Augmented) -> Tensor:
        """What the judges add to the autoencoder's loss; they themselves learn nothing here."""
        total = torch.zeros((), device=self.device)
        if self.code is not None:
            opinion = true_face_loss(self.code.module(made.code_src))
            total = total + self.params.true_face_power * opinion.mean()
        if self.gan is not None:
            for image, side, weights in self._judged_sides(made, src, dst):
                opinion = generator_loss(*self.gan.module(_seen(image, side, weights)))
                total = total + self.params.gan_power * opinion.mean()
            if self.src_weights.masked:
                rim = src_background_loss(made.src_src, src.target, src.mask, self.src_weights)
                total = total + rim.mean()
        return total

    def _gan_lesson(
        self, judge: nn.Module, made: Reconstruction, src: Augmented, dst: Augmented
    ) -> Tensor:
        sides = self._judged_sides(made, src, dst)
        lessons = [
            discriminator_loss(
                judge(_seen(side.target, side, weights)),
                judge(_seen(image.detach(), side, weights)),
            ).mean()
            for image, side, weights in sides
        ]
        return torch.stack(lessons).sum() * (AMP_JUDGE if len(sides) == 2 else 1.0)

    def _judged_sides(
        self, made: Reconstruction, src: Augmented, dst: Augmented
    ) -> list[tuple[Tensor, Augmented, LossWeights]]:
        """src alone, for amp dst too, whose decoder is the same."""
        sides = [(made.src_src, src, self.src_weights)]
        if isinstance(self.net, AMP):
            sides.append((made.dst_dst, dst, self.dst_weights))
        return sides

    def _update(self, member: Member, loss: Tensor) -> None:
        member.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        parameters = [p for p in member.module.parameters() if p.grad is not None]
        self.group.average_gradients(parameters)
        if self.params.clip_gradient:
            nn.utils.clip_grad_norm_(parameters, self.params.clip_gradient)
        member.optimizer.step()


def _seen(image: Tensor, side: Augmented, weights: LossWeights) -> Tensor:
    """What a judge sees of a picture: in masked training the face alone."""
    if not weights.masked:
        return image
    return image * soft_mask(side.mask, weights.mask_sigma, weights.dilate)


@contextmanager
def _learning(judge: nn.Module) -> Iterator[nn.Module]:
    """A judge's weights want gradients for the length of the block, and at no other time."""
    judge.requires_grad_(True)
    try:
        yield judge
    finally:
        judge.requires_grad_(False)
