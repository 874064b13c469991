"""3x3 convolutions with a quarter of the multiplications: Winograd's F(4x4, 3x3) on the CPU.

Lavin and Gray 2016. Square tiles of 6 px, 4 px apart, are taken to a domain where a 3x3
convolution is one product per value, so that a layer becomes 36 matrix products of a quarter of
the work; torch's own convolution does none of this on a CPU without AVX-512. All three passes use
it: the gradients are the exact adjoints of the forward pass, with the same transformed weights.

    y = A^T [(G w G^T) * (B^T x B)] A        dx = B [(G w G^T) * (A dy A^T)] B^T
                                             dw = G^T [(B^T x B) * (A dy A^T)] G

Rounding errors are about twice those of a direct convolution in float32 (3e-6 of the result).
The work is done in bands of tiles that stay in the processor's cache, and nothing is kept for the
backward pass but the input. Tensors are (N, C, H, W) float32, channels_last inside and in the
result; any layout is accepted. It is the same from run to run.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

TILE = 4  # outputs of a tile along each axis
SIDE = TILE + 2  # inputs of a tile along each axis
SCALE = 1 / 36  # left out of the transforms below, (-1/6) along each axis
BAND = 1 << 14  # tiles times channels at once, 2.4 MB transformed: what a shared 8 MB cache holds
WEIGHTS = 1 << 14  # output times input channels at once, the same
Views = list[Tensor] | Tensor


def transform_input(d: Views, v: Views) -> None:
    """B^T along one axis: `v` (6) = B^T `d` (6), rows of B^T as the comments say."""
    even, odd = torch.sub(d[4], d[2], alpha=4), torch.sub(d[3], d[1], alpha=4)
    torch.add(even, odd, out=v[1])  # 0 -4 -4 1 1 0
    torch.sub(even, odd, out=v[2])  # 0 4 -4 -1 1 0
    torch.sub(d[2], d[4], out=even)
    torch.sub(d[1], d[3], out=odd)
    torch.add(even, odd, alpha=2, out=v[3])  # 0 2 1 -2 -1 0
    torch.sub(even, odd, alpha=2, out=v[4])  # 0 -2 1 2 -1 0
    rest = torch.sub(d[0], d[2])
    torch.sub(even, rest, alpha=4, out=v[0])  # -4 0 5 0 -1 0
    torch.sub(d[5], d[3], out=rest)
    torch.add(rest, odd, alpha=4, out=v[5])  # 0 4 0 -5 0 1


def spread_input(v: Views, d: Views) -> None:
    """B along one axis, the adjoint of `transform_input`: `d` (6) += B `v` (6).

    The six views of `d` may overlap, as tiles do.
    """
    total, gap = v[1] + v[2], v[1] - v[2]
    total_far, gap_far = v[3] + v[4], torch.sub(v[3], v[4]).mul_(2)
    extra = torch.empty_like(gap)
    d[0].sub_(v[0], alpha=4)
    d[1].add_(torch.sub(v[5], gap, out=extra).mul_(4).add_(gap_far))
    d[2].add_(torch.sub(total_far, total, alpha=4, out=extra).add_(v[0], alpha=5))
    d[3].add_(gap.sub_(gap_far).sub_(v[5], alpha=5))
    d[4].add_(total.sub_(total_far).sub_(v[0]))
    d[5].add_(v[5])


def transform_output(m: Views, y: Views) -> None:
    """A^T along one axis: `y` (4) = A^T `m` (6)."""
    total, gap = m[1] + m[2], m[1] - m[2]
    total_far, gap_far = m[3] + m[4], m[3] - m[4]
    torch.add(total, total_far, out=y[2])  # 0 1 1 1 1 0
    torch.add(gap, gap_far, alpha=0.5, out=y[1])  # 0 1 -1 1/2 -1/2 0
    torch.add(total.add_(m[0], alpha=1.5), total_far, alpha=0.25, out=y[0])  # 3/2 1 1 1/4 1/4 0
    torch.add(gap.sub_(m[5], alpha=6), gap_far, alpha=2, out=y[3])  # 0 1 -1 2 -2 -6


def spread_output(y: Views, m: Views) -> None:
    """A along one axis, the adjoint of `transform_output`: `m` (6) = A `y` (4)."""
    even, odd = y[0] + y[2], y[1] + y[3]
    torch.add(even, odd, out=m[1])
    torch.sub(even, odd, out=m[2])
    torch.add(y[2], y[0], alpha=0.25, out=even)
    torch.add(y[1], y[3], alpha=4, out=odd)
    torch.add(even, odd, alpha=0.5, out=m[3])
    torch.sub(even, odd, alpha=0.5, out=m[4])
    torch.mul(y[0], 1.5, out=m[0])
    torch.mul(y[3], -6, out=m[5])


def transform_weights(g: Views, u: Views) -> None:
    """G along one axis: `u` (6) = G `g` (3)."""
    even = g[0] + g[2]
    torch.add(even, g[1], out=u[1])  # 1 1 1
    torch.sub(even, g[1], out=u[2])  # 1 -1 1
    torch.add(g[0], g[2], alpha=4, out=even)
    torch.add(even, g[1], alpha=2, out=u[3])  # 1 2 4
    torch.sub(even, g[1], alpha=2, out=u[4])  # 1 -2 4
    u[0].copy_(g[0])  # 1 0 0
    u[5].copy_(g[2])  # 0 0 1


def gather_weights(u: Views, g: Views) -> None:
    """G^T along one axis, the adjoint of `transform_weights`: `g` (3) = G^T `u` (6)."""
    total, far = u[1] + u[2], u[3] + u[4]
    torch.add(total, far, out=g[0]).add_(u[0])
    torch.add(total, far, alpha=4, out=g[2]).add_(u[5])
    torch.sub(u[1], u[2], out=total)
    torch.sub(u[3], u[4], out=far)
    torch.add(total, far, alpha=2, out=g[1])


class _Band(NamedTuple):
    """Tiles that are worked on together: rows of tiles of some images."""

    images: slice
    rows: slice

    def shape(self, columns: int) -> tuple[int, int, int]:
        return self.images.stop - self.images.start, self.rows.stop - self.rows.start, columns


@dataclass(frozen=True, slots=True)
class _Tiling:
    """An image's tiles; the last ones reach over its edge where 4 does not divide it."""

    count: int
    height: int
    width: int

    @property
    def rows(self) -> int:
        return -(-self.height // TILE)

    @property
    def columns(self) -> int:
        return -(-self.width // TILE)

    def bands(self, channels: int) -> list[_Band]:
        """Rows of one image or several whole images, about BAND values at a time."""
        room = max(1, BAND // channels)  # tiles
        step = min(self.rows, max(1, round(room / self.columns)))
        images = max(1, room // (self.rows * self.columns)) if step == self.rows else 1
        return [
            _Band(slice(n, min(n + images, self.count)), slice(r, min(r + step, self.rows)))
            for n in range(0, self.count, images)
            for r in range(0, self.rows, step)
        ]

    def padded(self, x: Tensor, border: int) -> Tensor:
        """(N, C, H, W) -> (N, 4 rows + 2 border, 4 columns + 2 border, C), zeros around it."""
        size = (TILE * self.rows + 2 * border, TILE * self.columns + 2 * border)
        out = x.new_zeros(self.count, *size, x.shape[1])
        self.inner(out, border).copy_(x)
        return out

    def inner(self, padded: Tensor, border: int) -> Tensor:
        """(N, C, H, W), a view of what `padded` made."""
        rows, columns = slice(border, border + self.height), slice(border, border + self.width)
        return padded[:, rows, columns].permute(0, 3, 1, 2)

    def tiles(self, whole: Tensor) -> Tensor:
        """(N, 4 rows, 4 columns, C) -> view (N, rows, 4, columns, 4, C)."""
        return whole.view(self.count, self.rows, TILE, self.columns, TILE, whole.shape[3])


def _squares(padded: Tensor, band: _Band) -> Views:
    """Row i of the squares of a band, each (n, rows, W+2, C): views into the padded images."""
    first, count = TILE * band.rows.start, band.rows.stop - band.rows.start
    stops = [first + i + TILE * (count - 1) + 1 for i in range(SIDE)]
    return [padded[band.images, first + i : stops[i] : TILE] for i in range(SIDE)]


def _columns(half: Tensor, columns: int) -> Views:
    """Column j of squares whose rows are done, each (6, n, rows, columns, C)."""
    return [half[:, :, :, j : j + TILE * (columns - 1) + 1 : TILE] for j in range(SIDE)]


def _input_domain(padded: Tensor, band: _Band, columns: int) -> Tensor:
    """B^T x B of a band: (36, tiles, C), first by column, then by row of the squares."""
    n, rows, _ = band.shape(columns)
    channels = padded.shape[3]
    half = padded.new_empty(SIDE, n, rows, padded.shape[2], channels)
    transform_input(_squares(padded, band), half)
    v = padded.new_empty(SIDE, SIDE, n, rows, columns, channels)
    transform_input(_columns(half, columns), v)
    return v.view(SIDE * SIDE, n * rows * columns, channels)


def _add_from_input_domain(dv: Tensor, padded: Tensor, band: _Band, columns: int) -> None:
    """B dv B^T of a band, added to the padded gradient."""
    n, rows, _ = band.shape(columns)
    channels = padded.shape[3]
    half = padded.new_zeros(SIDE, n, rows, padded.shape[2], channels)
    spread_input(dv.view(SIDE, SIDE, n, rows, columns, channels), _columns(half, columns))
    spread_input(half, _squares(padded, band))


def _from_output_domain(m: Tensor, tiles: Tensor) -> None:
    """A^T m A of a band: `m` (36, tiles, K) into `tiles` (n, rows, 4, columns, 4, K)."""
    n, rows, _, columns, _, channels = tiles.shape
    half = m.new_empty(TILE, SIDE, n, rows, columns, channels)
    transform_output(m.view(SIDE, SIDE, n, rows, columns, channels), half)
    transform_output(half.transpose(0, 1), tiles.permute(2, 4, 0, 1, 3, 5))


def _to_output_domain(tiles: Tensor) -> Tensor:
    """A dy A^T of a band: (n, rows, 4, columns, 4, K) -> (36, tiles, K)."""
    n, rows, _, columns, _, channels = tiles.shape
    half = tiles.new_empty(SIDE, TILE, n, rows, columns, channels)
    spread_output(tiles.permute(2, 4, 0, 1, 3, 5), half)
    m = tiles.new_empty(SIDE, SIDE, n, rows, columns, channels)
    spread_output(half.transpose(0, 1), m)
    return m.view(SIDE * SIDE, n * rows * columns, channels)


def _weight_domain(weight: Tensor) -> Tensor:
    """G w G^T: (K, C, 3, 3) -> (36, K, C), first by column, then by row."""
    k, c = weight.shape[:2]
    half = weight.new_empty(SIDE, 3, k, c)
    transform_weights(weight.permute(2, 3, 0, 1), half)
    u = weight.new_empty(SIDE, SIDE, k, c)
    transform_weights(half.transpose(0, 1), u)
    return u.view(SIDE * SIDE, k, c)


def _from_weight_domain(du: Tensor, gradient: Tensor) -> None:
    """G^T du G: (36, K, C) into `gradient` (K, C, 3, 3)."""
    k, c = du.shape[1:]
    half = du.new_empty(3, SIDE, k, c)
    gather_weights(du.view(SIDE, SIDE, k, c), half)
    gather_weights(half.transpose(0, 1), gradient.permute(2, 3, 0, 1))


def _weight_parts(weight: Tensor) -> Iterator[slice]:
    """Output channels that are worked on together, about WEIGHTS weights at a time."""
    k, c = weight.shape[:2]
    step = max(1, WEIGHTS // c)
    for start in range(0, k, step):
        yield slice(start, min(start + step, k))


class _Winograd(torch.autograd.Function):
    """Convolution without bias. Bands are the outer loop, parts of the weights the inner one."""

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        k, c = weight.shape[:2]
        tiling = _Tiling(x.shape[0], x.shape[2], x.shape[3])
        bands = tiling.bands(max(k, c))
        padded = tiling.padded(x, 1)
        out = x.new_empty(tiling.count, TILE * tiling.rows, TILE * tiling.columns, k)
        tiles = tiling.tiles(out)
        weight = weight.contiguous(memory_format=torch.channels_last)
        parts = list(_weight_parts(weight))
        kept = [_weight_domain(weight[part]) for part in parts] if len(bands) > 1 else None
        for band in bands:
            v = _input_domain(padded, band, tiling.columns)
            for number, part in enumerate(parts):
                u = kept[number] if kept else _weight_domain(weight[part])
                m = x.new_empty(len(v), v.shape[1], u.shape[1])
                torch.baddbmm(m, v, u.transpose(1, 2), beta=0, alpha=SCALE, out=m)
                _from_output_domain(m, tiles[band.images, band.rows, ..., part])
        return tiling.inner(out, 0).contiguous(memory_format=torch.channels_last)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        wants_dx, wants_dw = ctx.needs_input_grad
        k, c = weight.shape[:2]
        tiling = _Tiling(x.shape[0], x.shape[2], x.shape[3])
        bands = tiling.bands(max(k, c))
        padded = tiling.padded(x, 1)
        tiles = tiling.tiles(tiling.padded(gradient, 0))
        weight = weight.contiguous(memory_format=torch.channels_last)
        parts = list(_weight_parts(weight))
        kept = [_weight_domain(weight[part]) for part in parts] if len(bands) > 1 else None
        dw = torch.empty_like(weight) if wants_dw else None
        dpadded = torch.zeros_like(padded) if wants_dx else None
        sums: list[Tensor] = []
        for band in bands:
            v = _input_domain(padded, band, tiling.columns)
            dv = torch.empty_like(v)
            for number, part in enumerate(parts):
                dm = _to_output_domain(tiles[band.images, band.rows, ..., part])
                if dpadded is not None:
                    u = kept[number] if kept else _weight_domain(weight[part])
                    torch.baddbmm(dv, dm, u, beta=min(number, 1), alpha=SCALE, out=dv)
                if dw is not None:
                    if len(sums) <= number:
                        sums.append(x.new_empty(len(dm), dm.shape[2], c))
                    torch.baddbmm(sums[number], dm.transpose(1, 2), v, beta=int(band is not bands[0]), alpha=SCALE, out=sums[number])
                    if band is bands[-1]:
                        _from_weight_domain(sums[number], dw[part])
                        sums[number] = sums[number].new_empty(0)
            if dpadded is not None:
                _add_from_input_domain(dv, dpadded, band, tiling.columns)
        dx = tiling.inner(dpadded, 1) if dpadded is not None else None
        return dx, dw


def conv3x3(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    y = _Winograd.apply(x, weight)
    return y if bias is None else y + bias[:, None, None]
