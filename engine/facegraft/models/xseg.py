"""XSeg: DeepFaceLab's mask network, whose trained weights can be taken over.

A U-Net of six levels around a dense code. Every convolution is followed by filter response
normalisation and a thresholded linear unit (Singh and Krishnan 2020), every level of the encoder
by a low-pass filter before it is halved (Zhang 2019, "Making convolutional networks shift-invariant
again"). Tensors are (N, C, H, W); (N, 3, 256, 256) RGB 0..1 gives (N, 1, 256, 256) logits.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

BASE = 32  # channels of the first level
CODE = 512  # features of the dense code
EPSILON = 1e-6  # where the learned one begins
RESOLUTION = 256  # px; the dense code fixes it
FILTERS = {1: (1.0,), 2: (1.0, 1.0), 3: (1.0, 2.0, 1.0), 4: (1.0, 3.0, 3.0, 1.0)}  # binomial
# convolutions of each level, multiples of BASE, taps of the filter after it
LEVELS = ((2, 1, 4), (2, 2, 3), (2, 4, 2), (3, 8, 2), (3, 8, 2), (3, 8, 2))


class Norm(nn.Module):
    """x / sqrt(mean of x^2 over the picture + |eps|) * weight + bias, cut from below at tau."""

    def __init__(self, channels: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.eps = nn.Parameter(torch.full((1,), EPSILON))
        self.tau = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        power = x.float().square().mean(dim=(2, 3), keepdim=True)  # bf16 loses the small terms
        scale = self.weight[:, None, None] * torch.rsqrt(power + self.eps.abs())  # N C 1 1
        y = x * scale.to(x.dtype) + self.bias[:, None, None].to(x.dtype)
        return torch.maximum(y, self.tau[:, None, None].to(x.dtype))


class Conv(nn.Module):
    """Convolution 3x3, or with `up` a transposed one that doubles the sides, and its Norm."""

    def __init__(self, in_channels: int, out_channels: int, up: bool = False):
        super().__init__()
        self.up = up
        self.conv = (
            nn.ConvTranspose2d(in_channels, out_channels, 3, stride=2)
            if up
            else nn.Conv2d(in_channels, out_channels, 3, padding=1)
        )
        self.norm = Norm(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        # TensorFlow's SAME: of the 2H + 1 rows and columns the last are left out
        return self.norm(y[:, :, :-1, :-1] if self.up else y)


class BlurPool(nn.Module):
    """Binomial filter of `taps` and every second pixel: (N, C, H, W) -> (N, C, H/2, W/2)."""

    def __init__(self, taps: int):
        super().__init__()
        row = torch.tensor(FILTERS[taps])
        kernel = row[:, None] * row[None, :]
        self.register_buffer("kernel", (kernel / kernel.sum())[None, None], persistent=False)
        self.pad = ((taps - 1) // 2, taps // 2) * 2  # left, right, top, bottom: zeros

    def forward(self, x: Tensor) -> Tensor:
        channels = x.shape[1]
        kernel = self.get_buffer("kernel").to(x.dtype).expand(channels, 1, -1, -1)
        return F.conv2d(F.pad(x, self.pad), kernel, stride=2, groups=channels)


class XSeg(nn.Module):
    """Of `resolution` px, a multiple of 64; DeepFaceLab's weights need 256."""

    def __init__(self, resolution: int = RESOLUTION, base: int = BASE):
        super().__init__()
        self.corner = resolution >> len(LEVELS)  # px, side of the code's picture
        self.down, self.pools = nn.ModuleList(), nn.ModuleList()
        channels = 3
        for count, multiple, taps in LEVELS:
            level = nn.Sequential()
            for _ in range(count):
                level.append(Conv(channels, multiple * base))
                channels = multiple * base
            self.down.append(level)
            self.pools.append(BlurPool(taps))
        self.squeeze = nn.Linear(channels * self.corner**2, CODE)
        self.spread = nn.Linear(CODE, channels * self.corner**2)
        self.rise, self.up = nn.ModuleList(), nn.ModuleList()
        for count, multiple, _ in reversed(LEVELS):
            skip = multiple * base
            raised = min(4 * base, channels // 2)
            self.rise.append(Conv(channels, raised, up=True))
            level, channels = nn.Sequential(), raised + skip
            for _ in range(count):
                level.append(Conv(channels, skip))
                channels = skip
            self.up.append(level)
        self.head = nn.Conv2d(channels, 1, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, R, R) RGB 0..1 -> (N, 1, R, R) logits of being face."""
        skips = []
        for level, pool in zip(self.down, self.pools, strict=True):
            skips.append(level(x))
            x = pool(skips[-1])
        code = self.spread(self.squeeze(x.flatten(1)))  # N C*h*w
        x = code.reshape(len(x), -1, self.corner, self.corner)
        for rise, level in zip(self.rise, self.up, strict=True):
            x = level(torch.cat([rise(x), skips.pop()], dim=1))
        return self.head(x)
