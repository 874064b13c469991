"""Losses against their formulas, written out with numpy and scipy."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.ndimage import correlate
from scipy.signal import correlate2d

from facegraft.training.gaussian import blur
from facegraft.training.loss import (
    amp_weights,
    dssim,
    reconstruction_loss,
    saehd_weights,
    soft_mask,
    src_background_loss,
    total_variation,
)

QUICK96 = replace(saehd_weights(96), dilate=False)  # as its preset makes it


def kernel_2d(size: int, sigma: float) -> np.ndarray:
    offset = np.arange(size) - (size - 1) / 2
    kernel = np.exp(-(offset[:, None] ** 2 + offset**2) / (2 * sigma**2))
    return kernel / kernel.sum()


def dssim_by_formula(a: np.ndarray, b: np.ndarray, window: int) -> np.ndarray:
    """(N,) from (N, C, H, W) float64: windowed SSIM, valid positions, mean over channels."""
    kernel = kernel_2d(window, 1.5)
    losses = []
    for x, y in zip(a, b, strict=True):
        channels = []
        for p, q in zip(x, y, strict=True):
            mean_p, mean_q, pq, squares = (
                correlate2d(m, kernel, "valid") for m in (p, q, p * q, p * p + q * q)
            )
            luminance = (2 * mean_p * mean_q + 1e-4) / (mean_p**2 + mean_q**2 + 1e-4)
            covariance, variances = pq - mean_p * mean_q, squares - mean_p**2 - mean_q**2
            ssim = luminance * (2 * covariance + 9e-4) / (variances + 9e-4)
            channels.append((1 - ssim.mean()) / 2)
        losses.append(np.mean(channels))
    return np.array(losses)


def soft_mask_by_formula(mask: np.ndarray, sigma: float, dilate: bool) -> np.ndarray:
    size = max(3, int(4 * sigma)) | 1
    blurred = np.stack(
        [correlate(m[0], kernel_2d(size, sigma), mode="constant")[None] for m in mask]
    )
    return 2 * np.clip(blurred, 0, 0.5) if dilate else blurred


def pair(resolution: int, seed: int = 0):
    """A smooth target, a noisy prediction and an oval mask with a noisy prediction, float64."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:resolution, :resolution] / resolution
    target = np.stack([np.stack([0.5 + 0.4 * np.sin(9 * x + k + i) * y for k in range(3)])
                       for i in range(2)])  # fmt: skip
    image = np.clip(target + 0.1 * rng.standard_normal(target.shape), 0, 1)
    oval = (((x - 0.5) / 0.35) ** 2 + ((y - 0.4) / 0.5) ** 2 < 1).astype(float)  # meets the top
    target_mask = np.stack([oval[None]] * 2)
    mask = np.clip(target_mask + 0.1 * rng.standard_normal(target_mask.shape), 0, 1)
    return image, mask, target, target_mask


def tensors(*arrays):
    return [torch.from_numpy(a).float() for a in arrays]


@pytest.mark.parametrize(("resolution", "window"), [(64, 5), (96, 8), (128, 11)])
def test_dssim_is_the_formula(resolution, window):
    """Even and odd windows, valid positions only."""
    image, _, target, _ = pair(resolution)
    expected = dssim_by_formula(image, target, window)
    a, b = tensors(image, target)
    np.testing.assert_allclose(dssim(a, b, window).numpy(), expected, rtol=1e-4)


def test_dssim_is_zero_for_equal_images_and_one_for_opposite_ones():
    """The two ends of the scale."""
    noise = torch.rand(1, 3, 64, 64)
    assert abs(dssim(noise, noise, 8).item()) < 1e-6
    stripes = (torch.arange(64) % 2).float().expand(1, 3, 64, 64)
    assert dssim(stripes, 1 - stripes, 8).item() > 0.95


@pytest.mark.parametrize("dilate", [True, False])
@pytest.mark.parametrize("sigma", [1, 3, 8])
def test_soft_mask_is_a_gaussian_over_a_black_border(sigma, dilate):
    """Against scipy's correlation with the full two-dimensional kernel."""
    _, _, _, mask = pair(96)
    expected = soft_mask_by_formula(mask, sigma, dilate)
    (m,) = tensors(mask)
    np.testing.assert_allclose(soft_mask(m, sigma, dilate).numpy(), expected, atol=1e-5)


def test_a_dilated_mask_is_one_inside_a_straight_edge():
    """The face's own edge counts in full and the ramp lies outside."""
    mask = torch.zeros(1, 1, 64, 64)
    mask[..., 32:] = 1
    row = soft_mask(mask, 2, dilate=True)[0, 0, 32]
    torch.testing.assert_close(row[32:56], torch.ones(24))
    assert 0 < row[30] < 1 and row[20] == 0


@pytest.mark.parametrize(
    ("weights", "resolution", "dssim_terms", "dilate", "masked"),
    [
        (saehd_weights(128), 128, [(11, 10)], True, True),
        (saehd_weights(128, masked=False), 128, [(11, 10)], True, False),
        (saehd_weights(256), 256, [(22, 5), (11, 5)], True, True),
        (QUICK96, 96, [(8, 10)], False, True),
    ],
)
def test_reconstruction_loss_adds_the_published_terms(
    weights, resolution, dssim_terms, dilate, masked
):
    """10 MSE + 10 mask MSE + the DSSIM terms of the preset, on images under the soft mask."""
    image, mask, target, target_mask = pair(resolution)
    soft = soft_mask_by_formula(target_mask, max(1, resolution // 32), dilate) if masked else 1.0
    a, b = image * soft, target * soft
    expected = 10 * ((a - b) ** 2).mean((1, 2, 3)) + 10 * ((mask - target_mask) ** 2).mean(
        (1, 2, 3)
    )
    for window, weight in dssim_terms:
        expected = expected + weight * dssim_by_formula(a, b, window)
    p, m, t, n = tensors(image, mask, target, target_mask)
    np.testing.assert_allclose(
        reconstruction_loss(p, m, t, n, weights).numpy(), expected, rtol=2e-4
    )


def test_loss_inside_autocast_is_the_float32_loss():
    """bf16 predictions are taken up to float32 before any variance is subtracted."""
    image, mask, target, target_mask = tensors(*pair(96))
    image, mask = image.bfloat16(), mask.bfloat16()
    plain = reconstruction_loss(image.float(), mask.float(), target, target_mask, QUICK96)
    with torch.autocast("cpu", torch.bfloat16):
        cast = reconstruction_loss(image, mask, target, target_mask, QUICK96)
    assert cast.dtype == torch.float32
    assert torch.equal(plain, cast)


def test_gradients_reach_the_predictions_only():
    """Targets are data; the predicted mask learns from its own term and weighs nothing."""
    image, mask, target, target_mask = (x.requires_grad_() for x in tensors(*pair(64)))
    reconstruction_loss(image, mask, target, target_mask, saehd_weights(64)).sum().backward()
    assert image.grad is not None and image.grad.isfinite().all()
    assert target.grad is None and target_mask.grad is None
    expected = 10 * 2 * (mask - target_mask).detach() / mask[0].numel()
    torch.testing.assert_close(mask.grad, expected)


def eyes(resolution: int) -> np.ndarray:
    """(2, 1, R, R) float64: two soft bars where eyes would be."""
    y, x = np.mgrid[:resolution, :resolution] / resolution
    bars = np.clip(3 - 40 * np.abs(y - 0.4), 0, 1) * (np.abs(np.abs(x - 0.5) - 0.2) < 0.1)
    return np.stack([bars[None]] * 2)


def test_eyes_and_mouth_priority_adds_300_times_their_absolute_error():
    """On the whole image, mask or not."""
    image, mask, target, target_mask = pair(64)
    parts = eyes(64)
    arrays = tensors(image, mask, target, target_mask)
    plain = reconstruction_loss(*arrays, weights=saehd_weights(64))
    more = reconstruction_loss(
        *arrays, weights=saehd_weights(64, eyes_mouth=True), parts=tensors(parts)[0]
    )
    expected = 300 * np.abs((image - target) * parts).mean((1, 2, 3))
    np.testing.assert_allclose((more - plain).numpy(), expected, rtol=1e-3)


def test_weights_with_parts_ask_for_their_mask():
    """A forgotten mask is an error, not a silent loss without the term."""
    with pytest.raises(ValueError, match="parts"):
        reconstruction_loss(*tensors(*pair(64)), weights=saehd_weights(64, eyes_mouth=True))


def test_total_variation_counts_rows_and_columns_and_not_channels():
    """A step between channels costs nothing, a step in the picture its square per pixel."""
    flat = torch.tensor([0.0, 0.5, 1.0])[None, :, None, None].expand(1, 3, 6, 8)
    assert total_variation(flat).item() == 0
    step = torch.zeros(2, 3, 6, 8)
    step[0, 0, :, 4:] = 0.5  # 6 rows
    step[1, 1, 2:] = 0.1  # 8 columns
    torch.testing.assert_close(total_variation(step), torch.tensor([6 * 0.25, 8 * 0.01]))


@pytest.mark.parametrize("side", ["src", "dst"])
def test_amp_weighs_two_windows_and_parts_and_for_dst_a_little_background(side):
    """Its published terms; two windows at every resolution."""
    resolution = 128
    image, mask, target, target_mask = pair(resolution)
    parts = eyes(resolution)
    soft = soft_mask_by_formula(target_mask, 4, True)
    a, b = image * soft, target * soft
    expected = 10 * ((a - b) ** 2).mean((1, 2, 3)) + 10 * ((mask - target_mask) ** 2).mean(
        (1, 2, 3)
    )
    expected += 5 * dssim_by_formula(a, b, 11) + 5 * dssim_by_formula(a, b, 5)
    expected += 300 * np.abs((image - target) * parts).mean((1, 2, 3))
    if side == "dst":
        outside = image * (1 - soft)
        expected += 0.1 * ((outside - target * (1 - soft)) ** 2).mean((1, 2, 3))
        expected += 1e-6 * sum((np.diff(outside, axis=k) ** 2).sum((1, 2, 3)) for k in (2, 3))
    arrays = tensors(image, mask, target, target_mask)
    made = reconstruction_loss(
        *arrays, weights=amp_weights(resolution, side), parts=tensors(parts)[0]
    )
    np.testing.assert_allclose(made.numpy(), expected, rtol=2e-4)


def test_src_background_is_held_outside_the_soft_mask_only():
    """With a GAN: the formula, and no pixel term for what the mask covers."""
    image, _, target, target_mask = pair(64)
    soft = soft_mask_by_formula(target_mask, 2, True)
    expected = 0.02 * (((image - target) * (1 - soft)) ** 2).mean((1, 2, 3))
    expected += 1e-6 * sum((np.diff(image, axis=k) ** 2).sum((1, 2, 3)) for k in (2, 3))
    p, t, n = tensors(image, target, target_mask)
    made = src_background_loss(p, t, n, saehd_weights(64))
    np.testing.assert_allclose(made.numpy(), expected, rtol=1e-3)


def test_a_blur_that_repeats_the_rim_leaves_a_flat_picture_flat():
    """And a black border darkens it; scipy's nearest mode is the reference."""
    flat = torch.ones(1, 1, 16, 20)
    torch.testing.assert_close(blur(flat, 1.5, repeat_rim=True), flat)
    assert blur(flat, 1.5)[0, 0, 0, 0] < 0.5
    noise = np.random.default_rng(1).random((1, 1, 16, 20))
    expected = correlate(noise[0, 0], kernel_2d(7, 1.5), mode="nearest")
    made = blur(tensors(noise)[0], 1.5, repeat_rim=True)
    np.testing.assert_allclose(made[0, 0].numpy(), expected, atol=1e-6)
