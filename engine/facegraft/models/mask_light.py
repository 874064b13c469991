"""Light: a mask network for two cores and few labels; ours.

A U-Net that works at half the resolution and less, where XSeg spends half of its time at the full
one: 2x2 pixels come in as 12 channels and leave as 4. Blocks are residual with group normalisation
(Wu and He 2018), and the deepest level adds the picture's gist, its mean over all pixels through a
dense layer, to itself. Tensors are (N, C, H, W); (N, 3, R, R) RGB 0..1 gives (N, 1, R, R) logits, R
a multiple of 32.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CHANNELS = (32, 64, 96, 128, 160)  # at 1/2, 1/4, ... 1/32 of the resolution
BLOCKS = (1, 1, 2, 2, 2)  # at each on the way down; one each on the way up
GROUP = 16  # channels normalised together
FIRST_SHARE = 0.1  # of what a block adds, in the beginning; learning sets in sooner than with 1


class Block(nn.Module):
    """x + two normalised 3x3 convolutions: (N, C, H, W) -> the same shape."""

    def __init__(self, channels: int):
        super().__init__()
        self.norm1 = nn.GroupNorm(channels // GROUP, channels)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm2 = nn.GroupNorm(channels // GROUP, channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(F.relu(self.norm1(x), inplace=True))
        return x + self.conv2(F.relu(self.norm2(y), inplace=True))


class MaskLight(nn.Module):
    """The network, for any R."""

    def __init__(self) -> None:
        super().__init__()
        first, last = CHANNELS[0], CHANNELS[-1]
        self.stem = nn.Conv2d(12, first, 3, padding=1)
        self.down = nn.ModuleList(
            nn.Sequential(*(Block(width) for _ in range(count)))
            for width, count in zip(CHANNELS, BLOCKS, strict=True)
        )
        pairs = list(zip(CHANNELS, CHANNELS[1:], strict=False))
        self.halve = nn.ModuleList(nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in pairs)
        self.gist = nn.Linear(last, last)
        self.widen = nn.ModuleList(nn.Conv2d(b, a, 1) for a, b in reversed(pairs))
        # normalised apart: the deep features would drown the fine ones otherwise, for long
        self.weigh = nn.ModuleList(nn.GroupNorm(2 * a // GROUP, 2 * a) for a, _ in reversed(pairs))
        self.join = nn.ModuleList(nn.Conv2d(2 * a, a, 1) for a, _ in reversed(pairs))
        self.up = nn.ModuleList(Block(a) for a, _ in reversed(pairs))
        self.norm = nn.GroupNorm(first // GROUP, first)
        self.head = nn.Conv2d(first, 4, 3, padding=1)

    @torch.no_grad()
    def begin_simply(self) -> None:
        """Every block begins close to passing on what it gets (as Goyal et al. 2017, 5.1)."""
        for module in self.modules():
            if isinstance(module, Block):
                module.conv2.weight.mul_(FIRST_SHARE)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, R, R) RGB 0..1 -> (N, 1, R, R) logits of being face."""
        x = self.stem(F.pixel_unshuffle(x - 0.5, 2))
        skips = []
        for level, halve in zip(self.down[:-1], self.halve, strict=True):
            skips.append(level(x))
            x = halve(skips[-1])
        x = self.down[-1](x)
        x = x + self.gist(x.mean(dim=(2, 3)))[:, :, None, None]
        steps = zip(self.widen, self.weigh, self.join, self.up, strict=True)
        for widen, weigh, join, level in steps:
            x = F.interpolate(widen(x), scale_factor=2.0, mode="bilinear")
            x = level(join(weigh(torch.cat([x, skips.pop()], dim=1))))
        return F.pixel_shuffle(self.head(F.relu(self.norm(x))), 2)
