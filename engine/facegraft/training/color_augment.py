"""What augmentation does to colours and to what is around the face, a batch at once.

HSV jitter of the input and blurring of the target's surroundings, with DeepFaceLab's amounts.
Pictures are (N, 3, R, R) float32 RGB 0..1, masks (N, 1, R, R) 0..1. Random numbers come from a CPU
generator, so that every device makes the same pictures.
"""

import torch
from torch import Generator, Tensor

from facegraft.training.gaussian import blur


def draw_hsv(count: int, power: float, generator: Generator) -> Tensor:
    """(N, 3) float32: shifts of hue in whole degrees, saturation and value; on the CPU.

    `power` 0 to 0.3: hue by up to 180 times that to either side, the others by half of it.
    """
    reach = max(1, int(180 * power))
    hue = torch.randint(-reach, reach + 1, (count, 1), generator=generator)
    others = (torch.rand(count, 2, generator=generator) - 0.5) * power
    return torch.cat([hue.float(), others], dim=1)


def shift_hsv(pictures: Tensor, shifts: Tensor) -> Tensor:
    """The pictures with `shifts` (N, 3) added to their HSV; hue goes round, the others are cut."""
    hue, saturation, value = shifts.to(pictures)[:, :, None, None].unbind(dim=1)  # N 1 1
    high, low = pictures.amax(dim=1), pictures.amin(dim=1)  # N H W
    chroma = high - low
    red, green, blue = pictures.unbind(dim=1)
    scale = chroma.clamp_min(1e-9)
    sixth = torch.where(  # 0 to 6 around the circle; anything where there is no colour
        high == red,
        (green - blue) / scale,
        torch.where(high == green, 2 + (blue - red) / scale, 4 + (red - green) / scale),
    )
    sixth = sixth + hue / 60
    strength = (chroma / high.clamp_min(1e-9) + saturation).clamp(0, 1)
    high = (high + value).clamp(0, 1)
    channels = []
    for offset in (5, 3, 1):  # red, green, blue: how far each lies from the hue
        distance = (sixth + offset) % 6
        channels.append(high * (1 - strength * torch.minimum(distance, 4 - distance).clamp(0, 1)))
    return torch.stack(channels, dim=1)


def blur_out(pictures: Tensor, masks: Tensor) -> Tensor:
    """The pictures with what lies outside the masks blurred, and no colour of the face in the blur.

    A normalised convolution: blur of the masked surroundings over blur of their mask. The rim is
    repeated; DeepFaceLab's blur darkens there.
    """
    around = 1 - masks
    sigma = pictures.shape[2] / 128  # DeepFaceLab's
    both = blur(torch.cat([pictures * around, around], dim=1), sigma, repeat_rim=True)
    weight = both[:, 3:]
    blurred = both[:, :3] / torch.where(weight < 1e-6, 1.0, weight)
    return pictures * masks + blurred * around
