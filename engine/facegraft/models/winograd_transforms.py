"""The transforms of Winograd's F(4x4, 3x3), for `winograd.py`: between images and their domain.

Lavin and Gray 2016, interpolation points 0, 1, -1, 2, -2 and infinity, with the fractions of the
published matrices moved into one factor SCALE. Each matrix is a few additions of large arrays along
one axis, applied to both axes; each function has its exact adjoint beside it. Images are (N, H, W,
C) dense float32, the domain (36, tiles or outputs, channels), by column, then by row of a square.
"""

from typing import NamedTuple

import torch
from torch import Tensor

TILE = 4  # outputs of a tile along each axis
SIDE = TILE + 2  # inputs of a tile along each axis
SCALE = 1 / 36  # left out of the transforms below, (-1/6) along each axis
Views = list[Tensor] | Tensor


def _transform_input(d: Views, v: Views) -> None:
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


def _spread_input(v: Views, d: Views) -> None:
    """B along one axis, the adjoint of `_transform_input`: `d` (6) = B `v` (6).

    The last two views of `d` are those of the first two one tile on, and are added to.
    """
    total, gap = v[1] + v[2], v[1] - v[2]
    total_far, gap_far = v[3] + v[4], v[3] - v[4]
    torch.mul(v[0], -4, out=d[0])
    last = torch.sub(gap, gap_far, alpha=2)
    torch.sub(last, v[5], alpha=5, out=d[3])
    torch.sub(v[5], gap, out=last)
    torch.add(gap_far, last, alpha=2, out=gap)
    torch.mul(gap, 2, out=d[1])
    torch.sub(total_far, total, alpha=4, out=last)
    torch.add(last, v[0], alpha=5, out=d[2])
    d[4].add_(total.sub_(total_far).sub_(v[0]))
    d[5].add_(v[5])


def _transform_output(m: Views, y: Views) -> None:
    """A^T along one axis: `y` (4) = A^T `m` (6)."""
    total, gap = m[1] + m[2], m[1] - m[2]
    total_far, gap_far = m[3] + m[4], m[3] - m[4]
    torch.add(total, total_far, out=y[2])  # 0 1 1 1 1 0
    torch.add(gap, gap_far, alpha=0.5, out=y[1])  # 0 1 -1 1/2 -1/2 0
    torch.add(total.add_(m[0], alpha=1.5), total_far, alpha=0.25, out=y[0])  # 3/2 1 1 1/4 1/4 0
    torch.add(gap.sub_(m[5], alpha=6), gap_far, alpha=2, out=y[3])  # 0 1 -1 2 -2 -6


def _spread_output(y: Views, m: Views) -> None:
    """A along one axis, the adjoint of `_transform_output`: `m` (6) = A `y` (4)."""
    even, odd = y[0] + y[2], y[1] + y[3]
    torch.add(even, odd, out=m[1])
    torch.sub(even, odd, out=m[2])
    torch.add(y[2], y[0], alpha=0.25, out=even)
    torch.add(y[1], y[3], alpha=4, out=odd)
    torch.add(even, odd, alpha=0.5, out=m[3])
    torch.sub(even, odd, alpha=0.5, out=m[4])
    torch.mul(y[0], 1.5, out=m[0])
    torch.mul(y[3], -6, out=m[5])


def _transform_weights(g: Views, u: Views) -> None:
    """G along one axis: `u` (6) = G `g` (3)."""
    even = g[0] + g[2]
    torch.add(even, g[1], out=u[1])  # 1 1 1
    torch.sub(even, g[1], out=u[2])  # 1 -1 1
    torch.add(g[0], g[2], alpha=4, out=even)
    torch.add(even, g[1], alpha=2, out=u[3])  # 1 2 4
    torch.sub(even, g[1], alpha=2, out=u[4])  # 1 -2 4
    u[0].copy_(g[0])  # 1 0 0
    u[5].copy_(g[2])  # 0 0 1


def _gather_weights(u: Views, g: Views) -> None:
    """G^T along one axis, the adjoint of `_transform_weights`: `g` (3) = G^T `u` (6)."""
    total, far = u[1] + u[2], u[3] + u[4]
    torch.add(total, far, out=g[0]).add_(u[0])
    torch.add(total, far, alpha=4, out=g[2]).add_(u[5])
    torch.sub(u[1], u[2], out=total)
    torch.sub(u[3], u[4], out=far)
    torch.add(total, far, alpha=2, out=g[1])


class Band(NamedTuple):
    """Tiles that are worked on together: some rows of tiles of some images."""

    images: slice
    rows: slice

    @property
    def shape(self) -> tuple[int, int]:
        return self.images.stop - self.images.start, self.rows.stop - self.rows.start

    def cut(self, columns: int, room: int) -> "list[Band]":
        """Rows of one image or several whole images, about `room` tiles at a time."""
        _, rows = self.shape
        step = min(rows, max(1, round(room / columns)))
        images = max(1, room // (rows * columns)) if step == rows else 1
        return [Band(n, r) for n in steps(self.images, images) for r in steps(self.rows, step)]


def steps(whole: slice, step: int) -> list[slice]:
    return [
        slice(start, min(start + step, whole.stop))
        for start in range(whole.start, whole.stop, step)
    ]


def _every_tile(padded: Tensor, axis: int) -> Views:
    """Position i of all tiles along an axis of 4T+2, for i = 0 to 5: views that overlap."""
    length = padded.shape[axis] - SIDE + 1
    every = (*[slice(None)] * axis, slice(None, None, TILE))
    return [padded.narrow(axis, i, length)[every] for i in range(SIDE)]


def input_domain(x: Tensor, band: Band) -> Tensor:
    """B^T x B of a band of (N, H, W, C): (36, tiles, C)."""
    height, width, channels = x.shape[1:]
    columns = -(-width // TILE)
    n, rows = band.shape
    square = x.new_zeros(n, TILE * rows + 2, TILE * columns + 2, channels)
    first, last = TILE * band.rows.start - 1, min(TILE * band.rows.stop + 1, height)
    start = max(first, 0)
    square[:, start - first : last - first, 1 : width + 1] = x[band.images, start:last]
    half = x.new_empty(SIDE, n, rows, square.shape[2], channels)
    _transform_input(_every_tile(square, 1), half)
    v = x.new_empty(SIDE, SIDE, n, rows, columns, channels)
    _transform_input(_every_tile(half, 3), v)
    return v.view(SIDE * SIDE, -1, channels)


def from_input_domain(dv: Tensor, dx: Tensor, band: Band) -> None:
    """B dv B^T of a band into `dx` (N, H, W, C); bands of one image come from top to bottom."""
    height, width, channels = dx.shape[1:]
    columns = -(-width // TILE)
    n, rows = band.shape
    half = dv.new_empty(SIDE, n, rows, TILE * columns + 2, channels)
    half[:, :, :, -2:] = 0
    _spread_input(dv.view(SIDE, SIDE, n, rows, columns, channels), _every_tile(half, 3))
    square = dv.new_empty(n, TILE * rows + 2, half.shape[3], channels)
    square[:, -2:] = 0
    _spread_input(half, _every_tile(square, 1))
    square = square[:, :, 1 : width + 1]
    first, last = TILE * band.rows.start - 1, min(TILE * band.rows.stop + 1, height)
    if first > 0:  # two rows that the tiles above have written to
        dx[band.images, first : first + 2] += square[:, :2]
        dx[band.images, first + 2 : last] = square[:, 2 : last - first]
    else:
        dx[band.images, :last] = square[:, 1 : last + 1]


def from_output_domain(m: Tensor, tiles: Tensor, bias: Tensor | None) -> None:
    """A^T m A of a band, plus bias: (36, tiles, K) into `tiles` (n, rows, 4, columns, 4, K)."""
    n, rows, _, columns, _, channels = tiles.shape
    half = m.new_empty(TILE, SIDE, n, rows, columns, channels)
    _transform_output(m.view(SIDE, SIDE, n, rows, columns, channels), half)
    _transform_output(half.transpose(0, 1), tiles.permute(2, 4, 0, 1, 3, 5))
    if bias is not None:
        tiles.add_(bias)


def output_domain(tiles: Tensor) -> Tensor:
    """A dy A^T of a band: (n, rows, 4, columns, 4, K) -> (36, tiles, K)."""
    n, rows, _, columns, _, channels = tiles.shape
    half = tiles.new_empty(SIDE, TILE, n, rows, columns, channels)
    _spread_output(tiles.permute(2, 4, 0, 1, 3, 5), half)
    m = tiles.new_empty(SIDE, SIDE, n, rows, columns, channels)
    _spread_output(half.transpose(0, 1), m)
    return m.view(SIDE * SIDE, -1, channels)


def weight_domain(weight: Tensor) -> Tensor:
    """G w G^T: (K, C, 3, 3) -> (36, K, C)."""
    k, c = weight.shape[:2]
    half = weight.new_empty(SIDE, 3, k, c)
    _transform_weights(weight.permute(2, 3, 0, 1), half)
    u = weight.new_empty(SIDE, SIDE, k, c)
    _transform_weights(half.transpose(0, 1), u)
    return u.view(SIDE * SIDE, k, c)


def from_weight_domain(du: Tensor, gradient: Tensor) -> None:
    """G^T du G: (36, K, C) into `gradient` (K, C, 3, 3)."""
    k, c = du.shape[1:]
    half = du.new_empty(3, SIDE, k, c)
    _gather_weights(du.view(SIDE, SIDE, k, c), half)
    _gather_weights(half.transpose(0, 1), gradient.permute(2, 3, 0, 1))
