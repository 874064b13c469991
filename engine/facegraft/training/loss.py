"""What training minimises on each side: structure, pixels and mask, under a soft mask.

DeepFaceLab's terms and weights (SAEHD, Quick96, AMP), each term a function of its own. SSIM is Wang
et al. 2004. Images are (N, 3, H, W) RGB 0..1, masks (N, 1, H, W) 0..1; every loss is float32 with
one value per sample, (N,), also inside autocast. Terms between the sides are in `style.py`, those
against a second network in `adversarial.py`. Pretraining minimises the same, without the extras.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from facegraft.training.gaussian import blur, window_means

DSSIM_SIGMA = 1.5  # px, the window of the SSIM paper
C1 = 0.01**2  # keeps dark windows finite, SSIM paper, for a range of 0..1
C2 = 0.03**2  # the same for flat windows
PARTS = 300.0  # eyes and mouth are about a hundredth of the square, and are looked at first
VARIATION = 1e-6  # total variation is a sum over pixels, not a mean; this only quiets flat areas


@dataclass(frozen=True, slots=True)
class LossWeights:
    """How the terms are mixed, by `saehd_weights` or `amp_weights`; Quick96's do not `dilate`."""

    dssim: tuple[tuple[int, float], ...]  # window in px and its weight
    pixel: float  # mean squared error of the masked image
    mask: float  # mean squared error of the predicted mask
    mask_sigma: float  # px, blur of the mask that weighs the image
    dilate: bool  # weigh the blurred mask's outside up, so that the face's edge counts in full
    masked: bool  # False: the whole square counts, for faces with little background
    parts: float = 0.0  # mean absolute error of eyes and mouth
    background: float = 0.0  # mean squared error of the image outside the mask
    background_variation: float = 0.0  # total variation of the image outside the mask


def saehd_weights(resolution: int, masked: bool = True, eyes_mouth: bool = False) -> LossWeights:
    """From 256 px on the structure term is split over two window sizes."""
    return LossWeights(
        dssim=((wide_window(resolution), 10.0),) if resolution < 256 else _two_windows(resolution),
        pixel=10.0,
        mask=10.0,
        mask_sigma=mask_sigma(resolution),
        dilate=True,
        masked=masked,
        parts=PARTS if eyes_mouth else 0.0,
    )


def amp_weights(resolution: int, side: str) -> LossWeights:
    """Eyes and mouth always count more; `side` "dst" keeps a little of its background."""
    return LossWeights(
        dssim=_two_windows(resolution),
        pixel=10.0,
        mask=10.0,
        mask_sigma=mask_sigma(resolution),
        dilate=True,
        masked=True,
        parts=PARTS,
        background=0.1 if side == "dst" else 0.0,  # the morphed head must meet its surroundings
        background_variation=VARIATION if side == "dst" else 0.0,
    )


def wide_window(resolution: int) -> int:
    """px: the larger window of the structure term at any resolution; 11 px at 128."""
    return int(resolution / 11.6)


def mask_sigma(resolution: int) -> float:
    """px: blur of the mask that weighs the image."""
    return max(1, resolution // 32)


def _two_windows(resolution: int) -> tuple[tuple[int, float], ...]:
    return (wide_window(resolution), 5.0), (int(resolution / 23.2), 5.0)


def reconstruction_loss(
    image: Tensor,
    mask: Tensor,
    target: Tensor,
    target_mask: Tensor,
    weights: LossWeights,
    parts: Tensor | None = None,
) -> Tensor:
    """Loss of one side, (N,) float32: `image` and `mask` are predicted, the targets are not.

    `parts` (N, 1, H, W) is the target's eyes and mouth, needed where `weights.parts` is set. The
    gradient reaches `image` and `mask` only.
    """
    with torch.autocast(image.device.type, enabled=False):
        image, mask, target, target_mask = (
            x.float() for x in (image, mask, target.detach(), target_mask.detach())
        )
        loss = weights.mask * squared_error(mask, target_mask)
        if weights.parts:
            if parts is None:
                raise ValueError("these weights count eyes and mouth; pass their mask as parts")
            loss = loss + weights.parts * parts_error(image, target, parts.detach())
        soft = soft_mask(target_mask, weights.mask_sigma, weights.dilate)
        if weights.background or weights.background_variation:
            outside, expected = image * (1 - soft), target * (1 - soft)
            loss = loss + weights.background * squared_error(outside, expected)
            loss = loss + weights.background_variation * total_variation(outside)
        if weights.masked:
            image, target = image * soft, target * soft
        loss = loss + weights.pixel * squared_error(image, target)
        for window, weight in weights.dssim:
            loss = loss + weight * dssim(image, target, window)
        return loss


def src_background_loss(
    image: Tensor, target: Tensor, target_mask: Tensor, weights: LossWeights
) -> Tensor:
    """(N,): keeps the background of `image`, the predicted src, tame while a GAN drives the face.

    Added to the src side where a patch discriminator and masked training work together: nothing
    else holds what lies outside the mask, and the discriminator's gradient leaks there.
    """
    with torch.autocast(image.device.type, enabled=False):
        image, target = image.float(), target.detach().float()
        soft = soft_mask(target_mask.detach().float(), weights.mask_sigma, weights.dilate)
        outside = squared_error(image * (1 - soft), target * (1 - soft))
        return VARIATION * total_variation(image) + 0.02 * outside  # DeepFaceLab's weights


def parts_error(image: Tensor, target: Tensor, parts: Tensor) -> Tensor:
    """Mean absolute error where `parts` is, over the whole square, (N,)."""
    return (image * parts - target * parts).abs().mean(dim=(1, 2, 3))


def total_variation(image: Tensor) -> Tensor:
    """Sum of squared differences between neighbours in rows and in columns, (N,)."""
    along_rows = image.diff(dim=3).square().sum(dim=(1, 2, 3))
    return along_rows + image.diff(dim=2).square().sum(dim=(1, 2, 3))


def squared_error(a: Tensor, b: Tensor) -> Tensor:
    """Mean over everything but the batch, (N,)."""
    return (a - b).square().mean(dim=(1, 2, 3))


def dssim(a: Tensor, b: Tensor, window: int) -> Tensor:
    """(1 - SSIM)/2, (N,): 0 for equal images. Windows that cross the border are left out."""
    n = len(a)
    moments = torch.cat([a, b, a * b, a * a + b * b])  # 4N 3 H W
    means = window_means(moments, window, DSSIM_SIGMA)  # 4N 3 H-window+1 W-window+1
    mean_a, mean_b, mean_ab, mean_squares = means.split(n)
    product = 2 * mean_a * mean_b
    squares = mean_a * mean_a + mean_b * mean_b
    luminance = (product + C1) / (squares + C1)
    structure = (2 * mean_ab - product + C2) / (mean_squares - squares + C2)
    return (1 - (luminance * structure).mean(dim=(1, 2, 3))) / 2


def soft_mask(mask: Tensor, sigma: float, dilate: bool) -> Tensor:
    """`mask` blurred over a black border; dilated, it is 1 up to the face's edge and falls outside.

    Twice the blur, cut at 1, is 1 wherever the blur is above one half, which is where a straight
    edge ran.
    """
    blurred = blur(mask, sigma)
    return 2 * blurred.clamp(0, 0.5) if dilate else blurred
