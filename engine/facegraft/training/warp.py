"""Augmentation of a whole batch on the training device: random warp, rotation, size, shift, flip.

DeepFaceLab's amounts (its `warp.py`, facts in numbers below) with one resampling instead of two:
warp and affine are composed as coordinates and the picture is read once, bicubic, from the cached
square. Coordinates are those of `grid_sample`: -1 to 1 from edge to edge, as our corner convention
counts. Random numbers come from a CPU generator, a few hundred per batch, so that every device
makes the same pictures.

DeepFaceLab adds each noise field to both axes by mistake, so its warp is symmetric and sqrt(2)
times as strong as written. Here the axes are independent, and the strength is the one that its
users know: sqrt(2) times the written one. Measured side by side (`benchmarks/warp.py`, a small
df-ud, two seeds) the swap comes out 0.15 and 0.06 dB nearer to the truth than with DeepFaceLab's
field after 500 iterations, 0.11 nearer and 0.10 farther after 150 more without warp, while the
seeds lie 0.25 dB apart: no reason to take the mistake over.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from facegraft.training.kinds import ColorTransfer
from facegraft.training.params import TrainParams

LEVELS = (2, 4, 8)  # cells across the square, equal odds; features, face parts, whole face
FINEST = LEVELS[-1]  # a coarser field is exact on the finest nodes, being linear in between
TRUNCATION = 2.5  # standard deviations; a node beyond would fold the picture
NODE_SHIFT = 0.24 * math.sqrt(2)  # cells, at the truncation; two neighbours can not meet (< 0.5)
FLIP_ODDS = 0.4  # DeepFaceLab's; the picture as it is stays the more common one


@dataclass(frozen=True, slots=True)
class Amounts:
    """How much one side is augmented, and with what; `augment.py` does it all."""

    warp: bool
    flip: bool
    rotation: float  # degrees, to either side
    scale: float  # 0.15: from 1/1.15 to 1.15
    shift: float  # share of the square's side, on each axis
    hsv_power: float = 0.0  # 0 to 0.3, of the input alone
    color_transfer: ColorTransfer = ColorTransfer.NONE  # to reference faces of the other side
    blur_out: bool = False  # what lies outside the target's mask

    @classmethod
    def of(cls, params: TrainParams, flip: bool, warp: bool, src: bool = False) -> "Amounts":
        """A side's share of the options: only src gets other colours."""
        return cls(
            warp,
            flip,
            params.rotation,
            params.scale / 100,
            params.shift / 100,
            hsv_power=params.hsv_power if src else 0.0,
            color_transfer=params.color_transfer if src else ColorTransfer.NONE,
            blur_out=params.blur_out_mask,
        )


class Augmentation(NamedTuple):
    """What was drawn for N faces.

    to_square: (N, 2, 3) float32, from a point of the result to the point it is read from.
    nodes:     (N, 2, 9, 9) float32, x and y offsets added to it for the warped picture, or None.
    """

    to_square: Tensor
    nodes: Tensor | None


class Augmented(NamedTuple):
    """(N, 3, R, R) float32 RGB 0..1 warped input and target; (N, 1, R, R) 0..1 the target's face
    mask, and its mask of eyes and mouth."""

    warped: Tensor
    target: Tensor
    mask: Tensor
    parts: Tensor


def draw_augmentation(count: int, amounts: Amounts, generator: Generator) -> Augmentation:
    """Random values for `count` faces, on the CPU; turning the warp off changes no other value."""
    angle, size, shift_x, shift_y, flip = torch.rand(5, count, generator=generator).unbind()
    reach = 1 + amounts.scale
    matrix = affine(
        angle=(2 * angle - 1) * math.radians(amounts.rotation),
        scale=1 / reach + size * (reach - 1 / reach),
        shift=2 * amounts.shift * (2 * torch.stack([shift_x, shift_y], dim=1) - 1),
        flip=(flip < FLIP_ODDS) & torch.tensor(amounts.flip),
    )
    return Augmentation(matrix, _draw_nodes(count, generator) if amounts.warp else None)


def affine(angle: Tensor, scale: Tensor, shift: Tensor, flip: Tensor) -> Tensor:
    """(N, 2, 3) result-to-square matrices of: turn counter-clockwise and scale about the centre,
    shift, then mirror. `angle` radians, `shift` (N, 2) in half squares, `flip` bool; others (N,).
    """
    cos, sin = torch.cos(angle) / scale, torch.sin(angle) / scale
    linear = torch.stack([torch.stack([cos, -sin], 1), torch.stack([sin, cos], 1)], 1)  # N 2 2
    offset = -(linear @ shift[:, :, None])  # N 2 1
    mirror = torch.where(flip, -1.0, 1.0)[:, None]
    return torch.cat([linear[:, :, :1] * mirror[:, :, None], linear[:, :, 1:], offset], dim=2)


def _draw_nodes(count: int, generator: Generator) -> Tensor:
    """(N, 2, 9, 9) offsets, each face at a random level; the rim stays where it is."""
    fields = []
    for cells in LEVELS:
        inner = torch.empty(count, 2, cells - 1, cells - 1)
        torch.nn.init.trunc_normal_(inner, 0, 1, -TRUNCATION, TRUNCATION, generator=generator)
        offsets = F.pad(inner, (1, 1, 1, 1)) * (NODE_SHIFT / TRUNCATION * 2 / cells)
        fields.append(F.interpolate(offsets, size=FINEST + 1, mode="bilinear", align_corners=True))
    level = torch.randint(len(LEVELS), (count,), generator=generator)
    return torch.stack(fields)[level, torch.arange(count)]


def to_pictures(faces: Tensor) -> Tensor:
    """(N, 5, S, S) float32 0..1 of (N, S, S, 5) uint8 squares, on their device."""
    planes = faces.permute(0, 3, 1, 2)
    return planes.to(torch.float32, memory_format=torch.contiguous_format) / 255


def apply_augmentation(pictures: Tensor, resolution: int, drawn: Augmentation) -> Augmented:
    """`pictures`: (N, 5, S, S) of `to_pictures`, S - `resolution` px of it margin around the
    square. Result on their device. Pixels beyond the picture repeat its rim, and have no mask.
    """
    count, side = pictures.shape[0], pictures.shape[2]
    rgb, masks = pictures[:, :3], pictures[:, 3:]
    matrix = drawn.to_square.to(pictures.device)
    grid = F.affine_grid(matrix, [count, 3, resolution, resolution], align_corners=False)  # N R R 2
    inside = resolution / side  # from the square's coordinates to those of the picture with margin
    target = _read(rgb, grid * inside)
    masks = F.grid_sample(masks, grid * inside, "bilinear", "zeros", align_corners=False)
    mask, parts = masks[:, :1], masks[:, 1:]
    if drawn.nodes is None:
        return Augmented(target, target, mask, parts)
    nodes = drawn.nodes.to(pictures.device)
    offsets = F.grid_sample(nodes, grid, "bilinear", "border", align_corners=True)  # N 2 R R
    warped = _read(rgb, (grid + offsets.permute(0, 2, 3, 1)) * inside)
    return Augmented(warped, target, mask, parts)


def _read(rgb: Tensor, grid: Tensor) -> Tensor:
    # bilinear would cost a third, and soften every target that is not on whole pixels
    return F.grid_sample(rgb, grid, "bicubic", "border", align_corners=False).clamp_(0, 1)
