"""What training minimises: structural dissimilarity, pixel and mask error under a soft mask.

DeepFaceLab's terms and weights (SAEHD and Quick96), each term a function of its own. SSIM is Wang
et al. 2004. Images are (N, 3, H, W) RGB 0..1, masks (N, 1, H, W) 0..1; every loss is float32 with
one value per sample, (N,), also inside autocast.

Gaussian windows are applied as two matrix products with a banded matrix: on two CPU cores that is
two to five times faster than torch's one-channel convolutions, and it is one call on a GPU. The
products must run in full float32: leave TF32 off, or the variances drown in rounding.
"""

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

DSSIM_SIGMA = 1.5  # px, the window of the SSIM paper
C1 = 0.01**2  # keeps dark windows finite, SSIM paper, for a range of 0..1
C2 = 0.03**2  # the same for flat windows


@dataclass(frozen=True, slots=True)
class LossWeights:
    """How the terms are mixed; `saehd_weights` and `quick96_weights` make it."""

    dssim: tuple[tuple[int, float], ...]  # window in px and its weight
    pixel: float  # mean squared error of the masked image
    mask: float  # mean squared error of the predicted mask
    mask_sigma: float  # px, blur of the mask that weighs the image
    dilate: bool  # weigh the blurred mask's outside up, so that the face's edge counts in full
    masked: bool  # False: the whole square counts, for faces with little background


def saehd_weights(resolution: int, masked: bool = True) -> LossWeights:
    """From 256 px on the structure term is split over two window sizes."""
    wide = int(resolution / 11.6)  # DeepFaceLab's window at any resolution; 11 px at 128
    if resolution < 256:
        dssim = ((wide, 10.0),)
    else:
        dssim = ((wide, 5.0), (int(resolution / 23.2), 5.0))
    return LossWeights(dssim, 10.0, 10.0, _mask_sigma(resolution), dilate=True, masked=masked)


def quick96_weights(resolution: int = 96) -> LossWeights:
    """As `saehd_weights` at 96 px but with the blurred mask as it is, so that edges count half."""
    window = int(resolution / 11.6)
    return LossWeights(
        ((window, 10.0),), 10.0, 10.0, _mask_sigma(resolution), dilate=False, masked=True
    )


def _mask_sigma(resolution: int) -> float:
    return max(1, resolution // 32)


def reconstruction_loss(
    image: Tensor, mask: Tensor, target: Tensor, target_mask: Tensor, weights: LossWeights
) -> Tensor:
    """Loss of one side, (N,) float32: `image` and `mask` are predicted, the targets are not.

    The gradient reaches `image` and `mask` only.
    """
    with torch.autocast(image.device.type, enabled=False):
        image, mask, target, target_mask = (
            x.float() for x in (image, mask, target.detach(), target_mask.detach())
        )
        loss = weights.mask * squared_error(mask, target_mask)
        if weights.masked:
            soft = soft_mask(target_mask, weights.mask_sigma, weights.dilate)
            image, target = image * soft, target * soft
        loss = loss + weights.pixel * squared_error(image, target)
        for window, weight in weights.dssim:
            loss = loss + weight * dssim(image, target, window)
        return loss


def squared_error(a: Tensor, b: Tensor) -> Tensor:
    """Mean over everything but the batch, (N,)."""
    return (a - b).square().mean(dim=(1, 2, 3))


def dssim(a: Tensor, b: Tensor, window: int) -> Tensor:
    """(1 - SSIM)/2, (N,): 0 for equal images. Windows that cross the border are left out."""
    n = len(a)
    moments = torch.cat([a, b, a * b, a * a + b * b])  # 4N 3 H W
    rows = _window_matrix(a.shape[2], window, a.device)
    columns = _window_matrix(a.shape[3], window, a.device)
    moments = rows @ moments @ columns.T  # 4N 3 H-window+1 W-window+1
    mean_a, mean_b, mean_ab, mean_squares = moments.split(n)
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
    rows = _blur_matrix(mask.shape[2], sigma, mask.device)
    columns = _blur_matrix(mask.shape[3], sigma, mask.device)
    blurred = rows @ mask @ columns.T
    return 2 * blurred.clamp(0, 0.5) if dilate else blurred


def _gaussian(size: int, sigma: float) -> Tensor:
    offset = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
    weight = torch.exp(-(offset**2) / (2 * sigma**2))
    return weight / weight.sum()


@lru_cache(maxsize=16)  # two windows and a blur for each resolution and device in use
def _window_matrix(length: int, window: int, device: torch.device) -> Tensor:
    """(length - window + 1, length) float32: row i weighs samples i to i + window."""
    gaussian = _gaussian(window, DSSIM_SIGMA)
    matrix = torch.zeros(length - window + 1, length, dtype=torch.float64)
    for i in range(len(matrix)):
        matrix[i, i : i + window] = gaussian
    return matrix.float().to(device)


@lru_cache(maxsize=16)
def _blur_matrix(length: int, sigma: float, device: torch.device) -> Tensor:
    """(length, length) float32: Gaussian of 4 sigma, an odd kernel, zeros beyond the border."""
    reach = max(3, int(4 * sigma)) // 2
    gaussian = _gaussian(2 * reach + 1, sigma)
    matrix = torch.zeros(length + 2 * reach, length, dtype=torch.float64)
    for i in range(length):
        matrix[i : i + 2 * reach + 1, i] = gaussian
    return matrix[reach : reach + length].float().to(device)
