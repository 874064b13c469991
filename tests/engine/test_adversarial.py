"""Adversarial terms against binary cross-entropy written out, and by what they reward."""

import numpy as np
import torch

from facegraft.training.adversarial import (
    code_discriminator_loss,
    discriminator_loss,
    generator_loss,
    true_face_loss,
)


def cross_entropy(logits: torch.Tensor, truth: float) -> np.ndarray:
    p = 1 / (1 + np.exp(-logits.double().numpy()))
    return -(truth * np.log(p) + (1 - truth) * np.log(1 - p)).mean((1, 2, 3))


def maps(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    center = torch.randn(2, 1, 4, 4, generator=generator)
    return center, torch.randn(2, 1, 32, 32, generator=generator)


def test_the_generator_wants_both_maps_to_say_real():
    """Binary cross-entropy to 1, summed over the two maps."""
    center, full = maps(0)
    expected = cross_entropy(center, 1) + cross_entropy(full, 1)
    np.testing.assert_allclose(generator_loss(center, full).numpy(), expected, rtol=1e-5)


def test_the_discriminator_takes_half_of_real_and_half_of_fake_in_each_map():
    """The published mixture."""
    real, fake = maps(1), maps(2)
    expected = sum(
        (cross_entropy(r, 1) + cross_entropy(f, 0)) / 2 for r, f in zip(real, fake, strict=True)
    )
    np.testing.assert_allclose(discriminator_loss(real, fake).numpy(), expected, rtol=1e-5)


def test_the_code_discriminator_takes_dst_for_true_and_src_is_moved_towards_it():
    """True face: the encoder is paid for src codes that pass for dst."""
    src, dst = maps(3)[0], maps(4)[0]
    expected = (cross_entropy(dst, 1) + cross_entropy(src, 0)) / 2
    np.testing.assert_allclose(code_discriminator_loss(src, dst).numpy(), expected, rtol=1e-5)
    np.testing.assert_allclose(true_face_loss(src).numpy(), cross_entropy(src, 1), rtol=1e-5)


def test_extreme_logits_stay_finite_and_float32_inside_autocast():
    """A discriminator that is sure of itself must not end the run."""
    sure = torch.full((1, 1, 2, 2), -300.0, dtype=torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        loss = generator_loss(sure, sure)
    assert loss.dtype == torch.float32
    assert 590 < loss.item() < 610
