"""3x3 convolutions with a quarter of the multiplications: Winograd's F(4x4, 3x3) on the CPU.

Lavin and Gray 2016. Square tiles of 6 px, 4 px apart, are taken to a domain where a 3x3
convolution is one product per value, so that a layer becomes 36 matrix products of a quarter of
the work; torch's own convolution does none of this on a CPU without AVX-512. All three passes use
it: the gradients are the exact adjoints of the forward pass, with the same transformed weights.

    y = A^T [(G w G^T) * (B^T x B)] A        dx = B [(G w G^T) * (A dy A^T)] B^T
                                             dw = G^T [(B^T x B) * (A dy A^T)] G

Rounding errors are about twice those of a direct convolution in float32 (3e-6 of the result).
The work is done in bands of tiles that nearly fit the processor's cache, and nothing is kept for
the backward pass but the input. Tensors are (N, C, H, W) float32, channels_last inside and in the
result; any layout is accepted. It is the same from run to run.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from facegraft.models.winograd_transforms import (
    SCALE,
    TILE,
    Band,
    from_input_domain,
    from_output_domain,
    from_weight_domain,
    input_domain,
    output_domain,
    steps,
    weight_domain,
)

BAND = 1 << 16  # tiles times channels at once: 9 MB transformed, near the cache that cores share
WEIGHTS = 1 << 16  # output times input channels at once; smaller matrices multiply more slowly
LEAST_CHANNELS = 64  # with fewer, transforms cost as much as the products save
LEAST_TILES = 32  # with fewer, transforming the weights does
MOST_WASTE = 1.3  # pixels of the tiles to pixels of the image; 6 px would need 1.8


class _Plan:
    """How one layer's work is cut: bands of tiles, and parts of the output channels."""

    def __init__(self, x: Tensor, weight: Tensor):
        count, height, width, _ = x.shape
        k, c = weight.shape[:2]
        self.rows, self.columns = -(-height // TILE), -(-width // TILE)
        whole = Band(slice(0, count), slice(0, self.rows))
        self.bands = whole.cut(self.columns, max(1, BAND // max(k, c)))
        self.parts = steps(slice(0, k), max(1, WEIGHTS // c))
        self.weight = weight.contiguous(memory_format=torch.channels_last)
        self.kept: list[Tensor] = []  # transformed once where several bands need them
        if len(self.bands) > 1:
            self.kept = [weight_domain(self.weight[part]) for part in self.parts]

    def weights(self, number: int) -> Tensor:
        return self.kept[number] if self.kept else weight_domain(self.weight[self.parts[number]])

    def tiles(self, whole: Tensor, band: Band, part: slice) -> Tensor:
        """(N, 4 rows, 4 columns, K) -> its view (n, rows, 4, columns, 4, k) of a band and part."""
        tiles = whole.view(-1, self.rows, TILE, self.columns, TILE, whole.shape[3])
        return tiles[band.images, band.rows, ..., part]


def _product(a: Tensor, b: Tensor, into: Tensor, add: bool) -> None:
    """`into` = SCALE a b for each of the 36 matrices, or += with `add`."""
    torch.baddbmm(into, a, b, beta=1 if add else 0, alpha=SCALE, out=into)


def _channels_last(x: Tensor) -> Tensor:
    """(N, C, H, W) of any layout -> (N, H, W, C), dense."""
    return x.permute(0, 2, 3, 1).contiguous()


class _Winograd(torch.autograd.Function):
    """(x, weight, bias) -> y. Bands are the outer loop, parts of the weights the inner one."""

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        x = _channels_last(x)
        plan = _Plan(x, weight)
        size = (len(x), len(weight), TILE * plan.rows, TILE * plan.columns)
        out = torch.empty(size, memory_format=torch.channels_last)
        y = out.permute(0, 2, 3, 1)
        for band in plan.bands:
            v = input_domain(x, band)
            for number, part in enumerate(plan.parts):
                u = plan.weights(number)
                m = x.new_empty(len(v), v.shape[1], u.shape[1])
                _product(v, u.transpose(1, 2), into=m, add=False)
                from_output_domain(
                    m, plan.tiles(y, band, part), None if bias is None else bias[part]
                )
        if out.shape[2:] == x.shape[1:3]:
            return out  # itself and no view of it, which autograd lets nobody overwrite
        cut = out[:, :, : x.shape[1], : x.shape[2]]
        return cut.clone(memory_format=torch.channels_last)

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]  # the decorator is untyped
        ctx: Any, *grad_outputs: Tensor
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        wants_dx, wants_dw, wants_db = ctx.needs_input_grad
        x, dy = _channels_last(x), _channels_last(grad_outputs[0])
        plan = _Plan(x, weight)
        db = dy.sum(dim=(0, 1, 2)) if wants_db else None
        dy = F.pad(dy, (0, 0, 0, -dy.shape[2] % TILE, 0, -dy.shape[1] % TILE))
        dx = torch.empty_like(x) if wants_dx else None
        dw = torch.empty_like(plan.weight) if wants_dw else None
        sums: list[Tensor] = []  # of the weights' gradient in their domain, over bands
        for band in plan.bands:
            first, last = band is plan.bands[0], band is plan.bands[-1]
            v = input_domain(x, band)
            dv = torch.empty_like(v)
            for number, part in enumerate(plan.parts):
                dm = output_domain(plan.tiles(dy, band, part))
                if dx is not None:
                    _product(dm, plan.weights(number), into=dv, add=number > 0)
                if dw is not None:
                    if first:
                        sums.append(x.new_empty(len(v), dm.shape[2], v.shape[2]))
                    _product(dm.transpose(1, 2), v, into=sums[number], add=not first)
                    if last:
                        from_weight_domain(sums[number], dw[part])
                        sums[number] = sums[number].new_empty(0)
            if dx is not None:
                from_input_domain(dv, dx, band)
        return None if dx is None else dx.permute(0, 3, 1, 2), dw, db


def pays(x: Tensor, weight: Tensor) -> bool:
    """Whether the transforms cost less than they save; limits measured on two AVX2 cores."""
    count, _, height, width = x.shape
    tiles = count * -(-height // TILE) * -(-width // TILE)
    return (
        min(weight.shape[:2]) >= LEAST_CHANNELS
        and tiles >= LEAST_TILES
        and tiles * TILE * TILE <= MOST_WASTE * count * height * width
    )


class Conv3x3(nn.Conv2d):
    """nn.Conv2d of 3x3, stride 1, padding 1, that takes the fast way after `set_winograd`.

    Float32 on a CPU only; on a GPU, in autocast, while exporting, tracing or compiling, and for
    shapes where nothing is won, it is torch's convolution as before.
    """

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__(in_channels, out_channels, 3, padding=1)
        self.winograd = False

    def forward(self, input: Tensor) -> Tensor:
        if self.winograd and _is_plain(input) and pays(input, self.weight):
            return _Winograd.apply(input, self.weight, self.bias)
        return super().forward(input)


def _is_plain(x: Tensor) -> bool:
    """Eager float32 on the CPU."""
    return (
        x.device.type == "cpu"
        and x.dtype is torch.float32
        and not torch.is_autocast_enabled("cpu")
        and not torch.onnx.is_in_onnx_export()
        and not torch.jit.is_tracing()  # pyright: ignore[reportPrivateImportUsage]
        and not torch.compiler.is_compiling()
    )


def set_winograd(net: nn.Module, on: bool) -> int:
    """Switch every Conv3x3 of `net`; how many there are.

    Lays their weights out as the transforms read them, so call it before the optimizer is made.
    """
    layers = [module for module in net.modules() if isinstance(module, Conv3x3)]
    for layer in layers:
        layer.winograd = on
        form = torch.channels_last if on else torch.contiguous_format
        layer.weight.data = layer.weight.data.contiguous(memory_format=form)
    return len(layers)
