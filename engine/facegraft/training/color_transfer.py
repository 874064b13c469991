"""Colour transfer as augmentation: src faces in the colours of random dst faces, a batch at once.

Pictures are (N, 3, H, W) float32 RGB display-referred 0..1, masks (N, 1, H, W) 0..1: only pixels
under the face masks count in the statistics, and the map that they give is applied to the whole
picture. (DeepFaceLab takes the whole square, and for rct the black outside of a mask with it.)

rct: Reinhard et al. 2001. mkl: Pitie and Kokaram 2007. idt: Pitie et al. 2005. sot: sliced optimal
transport, Rabin et al. 2011. The last two move points of a distribution. Here they move a sample of
the face's pixels and, with them, a lattice of colours that the picture is then looked up in: the
cost is the same for any resolution, and equal colours stay equal, so that no grain appears. The
exact match of sot also stretches what small differences skin has into blotches: as in DeepFaceLab
its change is blurred over the picture.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from facegraft.training.gaussian import blur
from facegraft.training.kinds import ColorTransfer
from facegraft.training.lab import lab_to_rgb, rgb_to_lab

LEAST_WEIGHT = 16.0  # pixels; fewer say nothing about a face's colour
LAB_SPREAD_FLOOR = 0.1  # Lab units, too little to see: a flat channel is moved but not amplified
VARIANCE_FLOOR = 1e-5  # about one 8-bit level squared: the same for covariances
SAMPLES = 2048  # face pixels that stand for all, about what a face has at 64 px
LATTICE = 11  # colours on each axis of the face's range; odd, so that its middle is one
LATTICE_RIM = 1 / 255  # beyond that range on each side, so that a flat face has a lattice too
IDT_ROUNDS = 20  # DeepFaceLab's, as the next
IDT_STEP = 1 / 20  # share of the way in each round: in all two thirds of it, and no grain
IDT_BINS = 256
SOT_STEPS = 10  # DeepFaceLab's in training, as the next
SOT_DIRECTIONS = 5
SOT_BLUR = 1 / 16  # of the side: DeepFaceLab's 16 px at 256, whatever the colours


def draw_axes(method: ColorTransfer, generator: Generator) -> Tensor:
    """The random directions of one batch, on the CPU: (rounds, 3, 3) rotations for idt, (steps, 5,
    3) unit vectors for sot, nothing for the other methods.
    """
    if method is ColorTransfer.IDT:
        return torch.linalg.qr(torch.randn(IDT_ROUNDS, 3, 3, generator=generator))[0]
    if method is ColorTransfer.SOT:
        directions = torch.randn(SOT_STEPS, SOT_DIRECTIONS, 3, generator=generator)
        return directions / directions.norm(dim=2, keepdim=True)
    return torch.empty(0)


def transfer_color(
    method: ColorTransfer,
    pictures: Tensor,
    masks: Tensor,
    references: Tensor,
    reference_masks: Tensor,
    axes: Tensor,
) -> Tensor:
    """(N, 3, H, W): `pictures` in the colours of `references`, which may have another size.

    `axes` are those of `draw_axes`. A picture is left as it is where either mask is empty.
    """
    if method is ColorTransfer.NONE:
        return pictures
    made = _METHODS[method](pictures, masks, references, reference_masks, axes.to(pictures.device))
    weights = torch.minimum(masks.sum(dim=(1, 2, 3)), reference_masks.sum(dim=(1, 2, 3)))
    known = (weights >= LEAST_WEIGHT)[:, None, None, None]
    return torch.where(known, made, pictures).clamp(0, 1)


def reinhard(
    pictures: Tensor, masks: Tensor, references: Tensor, reference_masks: Tensor, _axes: Tensor
) -> Tensor:
    """Mean and spread of each channel of CIE Lab."""
    lab = rgb_to_lab(pictures)
    mean, covariance = statistics(lab, masks)
    to_mean, to_covariance = statistics(rgb_to_lab(references), reference_masks)
    spread, to_spread = (c.diagonal(dim1=1, dim2=2).sqrt() for c in (covariance, to_covariance))
    gain = to_spread / spread.clamp_min(LAB_SPREAD_FLOOR)
    fitted = (lab - mean[:, :, None, None]) * gain[:, :, None, None] + to_mean[:, :, None, None]
    light, tint = fitted[:, :1].clamp(0, 100), fitted[:, 1:].clamp(-127, 127)
    return lab_to_rgb(torch.cat([light, tint], dim=1))


def linear(
    pictures: Tensor, masks: Tensor, references: Tensor, reference_masks: Tensor, _axes: Tensor
) -> Tensor:
    """Whiten by the square root of one covariance, colour by that of the other."""
    mean, covariance = statistics(pictures, masks)
    to_mean, to_covariance = statistics(references, reference_masks)
    matrix = _power(to_covariance, 0.5) @ _power(covariance, -0.5)
    return _apply_linear(pictures, mean, matrix, to_mean)


def monge_kantorovich(
    pictures: Tensor, masks: Tensor, references: Tensor, reference_masks: Tensor, _axes: Tensor
) -> Tensor:
    """The linear map to the other covariance that moves colours least."""
    mean, covariance = statistics(pictures, masks)
    to_mean, to_covariance = statistics(references, reference_masks)
    root, inverse = _power(covariance, 0.5), _power(covariance, -0.5)
    matrix = inverse @ _power(root @ _floored(to_covariance) @ root, 0.5, floored=True) @ inverse
    return _apply_linear(pictures, mean, matrix, to_mean)


def iterative_distribution(
    pictures: Tensor, masks: Tensor, references: Tensor, reference_masks: Tensor, axes: Tensor
) -> Tensor:
    """Histogram to histogram along random axes."""
    return by_lattice(move_by_histograms, pictures, masks, references, reference_masks, axes)


def sliced_transport(
    pictures: Tensor, masks: Tensor, references: Tensor, reference_masks: Tensor, axes: Tensor
) -> Tensor:
    """Rank to rank along random directions."""
    made = by_lattice(move_by_sorting, pictures, masks, references, reference_masks, axes)
    return pictures + blur(made - pictures, pictures.shape[2] * SOT_BLUR, repeat_rim=True)


Method = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]
_METHODS: dict[ColorTransfer, Method] = {
    ColorTransfer.RCT: reinhard,
    ColorTransfer.LCT: linear,
    ColorTransfer.MKL: monge_kantorovich,
    ColorTransfer.IDT: iterative_distribution,
    ColorTransfer.SOT: sliced_transport,
}


def statistics(pictures: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
    """(N, 3) mean and (N, 3, 3) covariance of the colours, each pixel counted by its mask."""
    shares = masks.flatten(1)
    shares = (shares / shares.sum(dim=1, keepdim=True).clamp_min(1e-6))[:, None]  # N 1 P
    colors = pictures.flatten(2)  # N 3 P
    mean = (colors * shares).sum(dim=2)
    centered = colors - mean[:, :, None]
    return mean, (centered * shares) @ centered.transpose(1, 2)


def _floored(covariance: Tensor) -> Tensor:
    identity = torch.eye(3, dtype=torch.float64, device=covariance.device)
    return covariance.double() + VARIANCE_FLOOR * identity


def _power(covariance: Tensor, exponent: float, floored: bool = False) -> Tensor:
    """(N, 3, 3) float64: a power of symmetric positive matrices."""
    values, vectors = torch.linalg.eigh(covariance if floored else _floored(covariance))
    values = values.clamp_min(1e-12) ** exponent  # rounding may leave a zero slightly negative
    return (vectors * values[:, None]) @ vectors.transpose(1, 2)


def _apply_linear(pictures: Tensor, mean: Tensor, matrix: Tensor, to_mean: Tensor) -> Tensor:
    matrix = matrix.to(pictures.dtype)
    offset = to_mean - (matrix @ mean[:, :, None])[:, :, 0]
    moved = matrix @ pictures.flatten(2) + offset[:, :, None]
    return moved.view_as(pictures)


def sample_face(pictures: Tensor, masks: Tensor, count: int = SAMPLES) -> Tensor:
    """(N, count, 3): colours of pixels under each mask, evenly spread over it in reading order."""
    under = (masks.flatten(1) >= 0.5).cumsum(dim=1)  # N P
    places = torch.arange(count, device=pictures.device) + 0.5
    ranks = (places * under[:, -1:] / count).long() + 1
    index = torch.searchsorted(under, ranks).clamp_max(under.shape[1] - 1)
    return pictures.flatten(2).gather(2, index[:, None].expand(-1, 3, -1)).transpose(1, 2)


def move_by_histograms(source: Tensor, target: Tensor, points: Tensor, rotations: Tensor) -> Tensor:
    """`points` (N, M, 3) taken along while `source` (N, P, 3) moves towards the distribution of
    `target` (N, Q, 3): on each axis of each rotation histogram is matched to histogram.
    """
    count = source.shape[1]
    moving = torch.cat([source, points], dim=1)
    for rotation in rotations:
        at = (moving @ rotation).transpose(1, 2).contiguous()  # N 3 P+M
        own, other = at[..., :count], (target @ rotation).transpose(1, 2)
        least, most = own.amin(dim=2, keepdim=True), own.amax(dim=2, keepdim=True)
        low = torch.minimum(least, other.amin(dim=2, keepdim=True))
        span = (torch.maximum(most, other.amax(dim=2, keepdim=True)) - low).clamp_min(1e-6)
        shares, to_shares = (_cumulative((x - low) / span) for x in (own, other))
        matched = _inverse(to_shares, shares)  # N 3 BINS+1, where each edge goes, in spans
        known = at.clamp(least, most)  # what lies beyond the source's colours moves as its last
        shift = _lerp(matched, (known - low) / span * IDT_BINS) * span + low - known
        moving = moving + IDT_STEP * (shift.transpose(1, 2) @ rotation.T)
    return moving[:, count:]


def _cumulative(values: Tensor) -> Tensor:
    """(..., BINS + 1): share of `values` 0..1 below each edge of the histogram, 0 first."""
    bins = (values * IDT_BINS).long().clamp(0, IDT_BINS - 1)
    counts = torch.zeros(*values.shape[:-1], IDT_BINS, device=values.device)
    counts.scatter_add_(-1, bins, torch.ones_like(values))
    return F.pad(counts.cumsum(dim=-1) / values.shape[-1], (1, 0))


def _inverse(shares: Tensor, wanted: Tensor) -> Tensor:
    """Where, 0..1 over the histogram, the cumulative `shares` reach each `wanted` share."""
    empty = (shares <= 0).sum(dim=-1, keepdim=True)  # edges before the first value: at least one
    above = torch.searchsorted(shares, wanted.contiguous())
    above = torch.minimum(torch.maximum(above, empty), torch.full_like(above, IDT_BINS))
    high, low = shares.gather(-1, above), shares.gather(-1, above - 1)
    part = ((wanted - low) / (high - low).clamp_min(1e-9)).clamp(0, 1)
    return (above - 1 + part) / IDT_BINS


def _lerp(table: Tensor, at: Tensor) -> Tensor:
    """Values of `table` (..., T) between its entries, at `at` (..., M) counted in entries."""
    at = at.clamp(0, table.shape[-1] - 1)
    below = at.long().clamp_max(table.shape[-1] - 2)
    low, high = table.gather(-1, below), table.gather(-1, below + 1)
    return low + (high - low) * (at - below)


def move_by_sorting(source: Tensor, target: Tensor, points: Tensor, directions: Tensor) -> Tensor:
    """`points` (N, M, 3) taken along while `source` (N, P, 3) moves towards the distribution of
    `target` (N, P, 3): along each direction the k-th smallest goes to the k-th smallest.
    """
    count = source.shape[1]
    moving = torch.cat([source, points], dim=1)
    for bundle in directions:  # D 3
        at = (moving @ bundle.T).transpose(1, 2).contiguous()  # N D P+M
        own = at[..., :count].sort(dim=-1).values
        shift = (target @ bundle.T).transpose(1, 2).sort(dim=-1).values - own
        # equal colours share the middle of their ranks, colours between two samples both shifts
        rank = torch.searchsorted(own, at) + torch.searchsorted(own, at, right=True) - 1
        moving = moving + (_lerp(shift, rank / 2).transpose(1, 2) @ bundle) / len(bundle)
    return moving[:, count:]


def by_lattice(
    move: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor],
    pictures: Tensor,
    masks: Tensor,
    references: Tensor,
    reference_masks: Tensor,
    axes: Tensor,
) -> Tensor:
    """Every pixel moved as the nearest colours of a lattice over the face's range move, linear in
    between; a colour beyond the lattice moves as its rim.
    """
    count, _, height, width = pictures.shape
    source, target = sample_face(pictures, masks), sample_face(references, reference_masks)
    low = source.amin(dim=1) - LATTICE_RIM  # N 3
    span = source.amax(dim=1) + LATTICE_RIM - low
    steps = torch.linspace(0, 1, LATTICE, device=pictures.device)
    blue, green, red = torch.meshgrid(steps, steps, steps, indexing="ij")
    unit = torch.stack([red, green, blue], dim=-1).view(1, -1, 3)  # a volume whose last axis is red
    lattice = low[:, None] + unit * span[:, None]
    shifts = move(source, target, lattice, axes) - lattice
    volume = shifts.transpose(1, 2).view(count, 3, LATTICE, LATTICE, LATTICE)
    where = (pictures - low[:, :, None, None]) / span[:, :, None, None] * 2 - 1
    where = where.permute(0, 2, 3, 1).view(count, 1, height, width, 3)
    shift = F.grid_sample(volume, where, "bilinear", "border", align_corners=True)
    return pictures + shift[:, :, 0]
