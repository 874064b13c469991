"""The layers every autoencoder is made of: Down, Up, Res and their small parts.

DeepFaceLab's building blocks with its initialisation (Glorot-uniform weights, zero biases), its
symmetric padding and TensorFlow's depth-to-space order, so that its weights can be taken over
without rearranging. Tensors are (N, C, H, W) float; the axis letters below mean that. Any layout in
memory is fine: channels_last stays channels_last.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facegraft.models.winograd import Conv3x3

RMS_EPSILON = 1e-6  # keeps a black image's all-zero code finite


def activate(x: Tensor, slope: float, cosine: bool) -> Tensor:
    """Leaky ReLU, or x*cos(x) for the option c, which has no slope. May overwrite `x`."""
    return x * torch.cos(x) if cosine else F.leaky_relu(x, slope, inplace=True)


class _DepthToSpaceOp(torch.autograd.Function):
    """Stands in for `depth_to_space` while tracing, so that the file holds ONNX's own operator."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        return _interleave(x)

    @staticmethod
    def symbolic(g, x):
        return g.op("DepthToSpace", x, blocksize_i=2, mode_s="DCR")


def _interleave(x: Tensor) -> Tensor:
    n, c, h, w = x.shape
    if x.is_contiguous(memory_format=torch.channels_last):
        x = x.permute(0, 2, 3, 1).reshape(n, h, w, 2, 2, c // 4)  # N H W row column C
        x = x.permute(0, 1, 3, 2, 4, 5).reshape(n, 2 * h, 2 * w, c // 4)
        return x.permute(0, 3, 1, 2)
    x = x.reshape(n, 2, 2, c // 4, h, w)  # N row column C H W
    return x.permute(0, 3, 4, 1, 5, 2).reshape(n, c // 4, 2 * h, 2 * w)


def depth_to_space(x: Tensor) -> Tensor:
    """(N, 4C, H, W) -> (N, C, 2H, 2W). Channel (2*row + column)*C + c gives pixel (row, column).

    This is TensorFlow's order (ONNX mode DCR); `nn.PixelShuffle` counts c*4 + 2*row + column.
    """
    return _DepthToSpaceOp.apply(x) if torch.onnx.is_in_onnx_export() else _interleave(x)


def rms_normalize(x: Tensor) -> Tensor:
    """(N, D) -> (N, D) float32 with mean square 1 per sample."""
    x = x.float()  # the mean of squares loses its small terms in bf16
    return x * torch.rsqrt(x.square().mean(dim=1, keepdim=True) + RMS_EPSILON)


class Down(nn.Module):
    """Convolution 5x5, stride 2: (N, in, H, W) -> (N, out, H/2, W/2)."""

    def __init__(self, in_channels: int, out_channels: int, cosine: bool):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 5, stride=2, padding=2)
        self.cosine = cosine

    def forward(self, x: Tensor) -> Tensor:
        return activate(self.conv(x), 0.1, self.cosine)


class Up(nn.Module):
    """Convolution 3x3 and depth-to-space: (N, in, H, W) -> (N, out, 2H, 2W)."""

    def __init__(self, in_channels: int, out_channels: int, cosine: bool):
        super().__init__()
        self.conv = Conv3x3(in_channels, 4 * out_channels)
        self.cosine = cosine

    def forward(self, x: Tensor) -> Tensor:
        return depth_to_space(activate(self.conv(x), 0.1, self.cosine))


class Res(nn.Module):
    """Two 3x3 convolutions around a shortcut: (N, C, H, W) -> the same shape."""

    def __init__(self, channels: int, cosine: bool):
        super().__init__()
        self.conv1 = Conv3x3(channels, channels)
        self.conv2 = Conv3x3(channels, channels)
        self.cosine = cosine

    def forward(self, x: Tensor) -> Tensor:
        y = activate(self.conv1(x), 0.2, self.cosine)
        return activate(self.conv2(y) + x, 0.2, self.cosine)


def init_weights(net: nn.Module) -> None:
    """Glorot-uniform weights and zero biases in every convolution and dense layer, in place."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
