"""Terms that pull the swapped face, dst with src's face, towards what is around it.

DeepFaceLab's face and background style. Both compare the swap with the dst side and are added to
the src side's loss. Images are (N, 3, R, R) RGB 0..1, masks (N, 1, R, R) 0..1; every loss is
float32 with one value per sample, (N,), also inside autocast. The swap must be decoded from a
detached code: the colours are the decoder's to fit, while the code keeps what dst does.
"""

import torch
from torch import Tensor

from facegraft.training.gaussian import blur
from facegraft.training.loss import LossWeights, dssim, squared_error, wide_window

FACE_WEIGHT = 10_000 / 100  # DeepFaceLab's, for a power in percent
BACKGROUND_WEIGHT = 10 / 100  # the same
VARIANCE_FLOOR = 1e-5  # keeps the root's slope finite on a flat channel


def face_style_loss(
    swap: Tensor, swap_mask: Tensor, dst: Tensor, dst_mask: Tensor, power: float
) -> Tensor:
    """(N,): distance between mean and spread of each channel of two faces, times `power` 0..100.

    `dst` is the predicted dst, the masks are the predicted ones of either face. Only `swap` gets a
    gradient. Details are blurred away first, so that it is light and skin tone that moves.
    """
    with torch.autocast(swap.device.type, enabled=False):
        face = swap.float() * swap_mask.detach().float()
        style = (dst.detach() * dst_mask.detach()).float()
        both = blur(torch.cat([face, style]), swap.shape[2] // 8)  # DeepFaceLab's radius
        variance, mean = torch.var_mean(both, dim=(2, 3), correction=0)  # 2N 3
        spread = (variance + VARIANCE_FLOOR).sqrt()
        face_mean, style_mean = mean.chunk(2)
        face_spread, style_spread = spread.chunk(2)
        apart = (face_mean - style_mean).square() + (face_spread - style_spread).square()
        return FACE_WEIGHT * power * apart.mean(dim=1)


def background_style_loss(
    swap: Tensor, dst: Tensor, face_mask: Tensor, power: float, weights: LossWeights
) -> Tensor:
    """(N,): structure and pixel distance of the swap from the target `dst` outside the face, times
    `power` 0..100.

    `face_mask` is the product of the swap's two predicted masks, as a merge uses it. (DeepFaceLab
    blurs that product too, and then takes the mask of the src picture by mistake.) Only `swap` gets
    a gradient.
    """
    with torch.autocast(swap.device.type, enabled=False):
        outside = 1 - blur(face_mask.detach().float(), weights.mask_sigma).clamp(0, 1)
        image, target = swap.float() * outside, dst.detach().float() * outside
        apart = dssim(image, target, wide_window(swap.shape[2])) + squared_error(image, target)
        return BACKGROUND_WEIGHT * power * apart
