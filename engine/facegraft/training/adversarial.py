"""Losses of the networks that play against each other, from the discriminators' logits.

Two discriminators may judge what is trained: one the rebuilt picture, patch by patch, as a map at
its narrowest layer ("center") and a map of every pixel ("full"), after Schoenfeld et al. 2020, "A
U-Net based discriminator"; and one the code of df, true for src's ("true face"). Weights are
DeepFaceLab's. Logits are (N, 1, H, W) of any size; losses float32, one value per sample, (N,).
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def generator_loss(center: Tensor, full: Tensor) -> Tensor:
    """(N,): what it costs the generator that its picture does not pass as real, in both maps."""
    return _cross_entropy(center, real=True) + _cross_entropy(full, real=True)


def discriminator_loss(real: tuple[Tensor, Tensor], fake: tuple[Tensor, Tensor]) -> Tensor:
    """(N,) from (center, full) of real and of generated pictures, the latter detached.

    One side's; amp judges both, and takes a quarter of their sum.
    """
    terms = [
        _cross_entropy(a, True) + _cross_entropy(b, False) for a, b in zip(real, fake, strict=True)
    ]
    return (terms[0] + terms[1]) / 2


def true_face_loss(src_logits: Tensor) -> Tensor:
    """(N,): what it costs the encoder that the discriminator tells src codes from dst codes."""
    return _cross_entropy(src_logits, real=True)


def code_discriminator_loss(src_logits: Tensor, dst_logits: Tensor) -> Tensor:
    """(N,): dst codes are the true ones, src codes, which the encoder moves, the false ones."""
    return (_cross_entropy(dst_logits, real=True) + _cross_entropy(src_logits, real=False)) / 2


def _cross_entropy(logits: Tensor, real: bool) -> Tensor:
    with torch.autocast(logits.device.type, enabled=False):
        return F.softplus(-logits.float() if real else logits.float()).flatten(1).mean(dim=1)
