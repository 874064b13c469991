"""The two critics of a run: one looks at pictures, one at codes. Both are used in training only.

`PatchDiscriminator` is DeepFaceLab's patch discriminator in U-Net form (after Schönfeld et al.
2020, which judges the picture as a whole and every pixel): sharpness from patches of a chosen size.
`CodeDiscriminator` is its "true face" critic of the family df: it learns to tell src's codes from
dst's, so that src's can be drawn towards them. Tensors (N, C, H, W); logits are float32, positive
for "real", and as large in numbers outside 0..1 as the critic is sure.
"""

from functools import cache
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facegraft.models.blocks import init_weights

MAX_LAYERS = 9  # their widest field is 1023 px, beyond any resolution
MAX_DIMS = 512  # channels; the deeper layers stay at it


def stride_chain(patch_size: int) -> tuple[int, ...]:
    """Strides of the 3x3 convolutions whose receptive field is nearest to `patch_size` px.

    Of chains with the same field, the one with fewest layers, then with the largest strides.
    """
    chains = _chains_by_field()
    return chains[min(chains, key=lambda field: (abs(field - patch_size), field))]


def receptive_field(strides: tuple[int, ...]) -> int:
    """Side in px of what one value at the end of the chain has seen."""
    field, step = 1, 1  # px, and px between two neighbouring values
    for stride in strides:
        field += 2 * step
        step *= stride
    return field


@cache
def _chains_by_field() -> dict[int, tuple[int, ...]]:
    """Every field that up to MAX_LAYERS strides of 1 and 2, the first a 2, can have."""
    chains: dict[int, tuple[int, ...]] = {}
    for layers in range(1, MAX_LAYERS + 1):
        tails = sorted(product((1, 2), repeat=layers - 1), key=sum, reverse=True)
        for tail in tails:
            chain = (2, *tail)
            chains.setdefault(receptive_field(chain), chain)
    return chains


class PatchDiscriminator(nn.Module):
    """Image (N, 3, R, R) -> logits of patches (N, 1, h, w) and of every pixel (N, 1, R, R)."""

    def __init__(self, patch_size: int, dims: int):
        """`patch_size` in px; `dims` channels at full resolution, doubled with every layer."""
        super().__init__()
        strides = stride_chain(patch_size)
        widths = [min(dims * 2**i, MAX_DIMS) for i in range(len(strides) + 1)]
        deepest = widths[-1]
        self.in_conv = nn.Conv2d(3, widths[0], 1)
        self.convs = nn.ModuleList()
        self.upconvs = nn.ModuleList()  # from the deepest to full resolution
        for i, stride in enumerate(strides):
            before, after = widths[i], widths[i + 1]
            self.convs.append(nn.Conv2d(before, after, 3, stride, padding=1))
            joined = after if i == len(strides) - 1 else 2 * after  # with the features beside it
            padding = 0 if stride == 2 else 1  # at stride 2 the two ends are cut off in forward
            self.upconvs.insert(0, nn.ConvTranspose2d(joined, before, 3, stride, padding))
        self.center_out = nn.Conv2d(deepest, 1, 1)
        self.center_conv = nn.Conv2d(deepest, deepest, 1)
        self.out_conv = nn.Conv2d(2 * widths[0], 1, 1)
        init_weights(self)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        x = F.leaky_relu(self.in_conv(image), 0.2)
        passed = []
        for conv in self.convs:
            passed.append(x)
            x = F.leaky_relu(conv(x), 0.2)
        center = self.center_out(x)
        x = F.leaky_relu(self.center_conv(x), 0.2)
        for upconv in self.upconvs:
            beside = passed.pop()
            x = F.leaky_relu(upconv(x)[:, :, : beside.shape[2], : beside.shape[3]], 0.2)
            x = torch.cat([beside, x], dim=1)
        return center.float(), self.out_conv(x).float()


class CodeDiscriminator(nn.Module):
    """Code (N, `code_dims`, side, side), side `code_resolution` -> logits (N, 1, h, w)."""

    def __init__(self, code_dims: int, code_resolution: int):
        super().__init__()
        before = code_dims
        self.convs = nn.ModuleList()
        for i in range(1 + code_resolution // 8):  # down to a few values
            after = 256 * min(2**i, 8)
            kernel = 4 if i == 0 else 3
            self.convs.append(nn.Conv2d(before, after, kernel, 2, padding=kernel // 2))
            before = after
        self.out_conv = nn.Conv2d(before, 1, 1)
        init_weights(self)

    def forward(self, code: Tensor) -> Tensor:
        for conv in self.convs:
            code = F.leaky_relu(conv(code), 0.1)
        return self.out_conv(code).float()
