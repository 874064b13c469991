"""Style terms against their formulas, written out with numpy."""

import numpy as np
import pytest
import torch

from facegraft.training.loss import saehd_weights
from facegraft.training.style import background_style_loss, face_style_loss
from tests.engine.test_loss import dssim_by_formula, pair, soft_mask_by_formula, tensors

R = 64


def blurred(images: np.ndarray, sigma: float) -> np.ndarray:
    """(N, C, H, W), each channel over a black border."""
    channels = [soft_mask_by_formula(images[:, [c]], sigma, False) for c in range(images.shape[1])]
    return np.concatenate(channels, axis=1)


def test_face_style_is_the_distance_of_blurred_means_and_spreads():
    """10,000 percent times the mean over channels of both squared differences."""
    swap, mask, dst, dst_mask = pair(R)
    a, b = blurred(swap * mask, R // 8), blurred(dst * dst_mask, R // 8)
    means = (a.mean((2, 3)) - b.mean((2, 3))) ** 2
    spreads = (np.sqrt(a.var((2, 3)) + 1e-5) - np.sqrt(b.var((2, 3)) + 1e-5)) ** 2
    expected = 10_000 * (2 / 100) * (means + spreads).mean(1)
    made = face_style_loss(*tensors(swap, mask, dst, dst_mask), power=2)
    np.testing.assert_allclose(made.numpy(), expected, rtol=1e-3)


def test_face_style_sees_colour_and_not_detail():
    """A checkerboard costs little beside a tint of the same size."""
    dst = torch.full((1, 3, R, R), 0.5)
    mask = torch.ones(1, 1, R, R)
    checks = 0.1 * (torch.arange(R)[:, None] + torch.arange(R)).remainder(2).mul(2).sub(1)
    detail = face_style_loss(dst + checks, mask, dst, mask, 1).item()
    tint = face_style_loss(dst + 0.1, mask, dst, mask, 1).item()
    assert tint > 100 * detail


def test_background_style_compares_outside_of_the_swap_mask():
    """Structure and pixels, each 10 percent of the power; what the mask covers is free."""
    swap, _, dst, mask = pair(R)
    outside = 1 - np.clip(soft_mask_by_formula(mask, 2, False), 0, 1)
    a, b = swap * outside, dst * outside
    expected = 10 * 0.5 * (dssim_by_formula(a, b, 5) + ((a - b) ** 2).mean((1, 2, 3)))
    made = background_style_loss(*tensors(swap, dst, mask), power=50, weights=saehd_weights(R))
    np.testing.assert_allclose(made.numpy(), expected, rtol=1e-3)
    covered = torch.zeros(2, 1, R, R)
    covered[..., 16:48, 16:48] = 1
    same_around = tensors(dst)[0]
    same_around[..., 20:44, 20:44] = tensors(swap)[0][..., 20:44, 20:44]
    loss = background_style_loss(same_around, tensors(dst)[0], covered, 50, saehd_weights(R))
    assert loss.max() < 1e-3 * made.min()


@pytest.mark.parametrize("term", ["face", "background"])
def test_only_the_swap_learns(term):
    """Masks and the dst side are what it is measured by, not what moves."""
    swap, mask, dst, dst_mask = (x.requires_grad_() for x in tensors(*pair(R)))
    if term == "face":
        loss = face_style_loss(swap, mask, dst, dst_mask, 1)
    else:
        loss = background_style_loss(swap, dst, mask, 1, saehd_weights(R))
    loss.sum().backward()
    assert swap.grad is not None and swap.grad.isfinite().all() and swap.grad.abs().max() > 0
    assert mask.grad is None and dst.grad is None and dst_mask.grad is None


def test_a_flat_black_swap_has_a_finite_gradient():
    """As an untrained mask of zeros makes it."""
    swap = torch.zeros(1, 3, R, R, requires_grad=True)
    ones = torch.ones(1, 1, R, R)
    face_style_loss(swap, ones, torch.rand(1, 3, R, R), ones, 1).sum().backward()
    assert swap.grad is not None and swap.grad.isfinite().all()
