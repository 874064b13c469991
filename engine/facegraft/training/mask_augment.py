"""Labelled faces augmented as a batch: other surroundings, things in front, shape, light, damage.

The kinds and amounts are DeepFaceLab's (its XSeg sample generator) where nothing else is said;
occluders are ours. Each kind draws from its own stream of (seed, kind, draw), so that switching one
on leaves the others as they were. Pictures are (N, 3, R, R) float32 RGB 0..1, masks (N, 1, R, R).
"""

from typing import NamedTuple

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from facegraft.training.color_augment import shift_hsv
from facegraft.training.gaussian import blur
from facegraft.training.mask_params import MaskTrainParams
from facegraft.training.occluders import draw_occluder
from facegraft.training.sampling import random_seed
from facegraft.training.warp import Amounts, Augmentation, affine, draw_augmentation, to_pictures

SHADOW = 0.6  # strongest; what a thing close before the face takes of its light
JPEG_QUALITY = (10, 100)


class LabelledBatch(NamedTuple):
    """(N, 3, R, R) RGB 0..1; (N, 1, R, R) face 0..1; (N, 1, R, R) where that is known, 0..1."""

    picture: Tensor
    face: Tensor
    known: Tensor


class _Streams:
    """Random values by kind, all of them a function of seed, draw and the batch's size."""

    def __init__(self, seed: int, draw: int, count: int) -> None:
        self._key, self.count = (seed, "labelled", draw), count

    def torch(self, kind: str) -> Generator:
        return Generator().manual_seed(random_seed(*self._key, kind))

    def numpy(self, kind: str) -> np.random.Generator:
        return np.random.default_rng(random_seed(*self._key, kind))

    def chosen(self, kind: str, percent: float) -> Tensor:
        """(N,) bool."""
        return torch.rand(self.count, generator=self.torch(f"{kind} odds")) * 100 < percent

    def uniform(self, kind: str, low: float, high: float, *shape: int) -> Tensor:
        values = torch.rand(self.count, *shape, generator=self.torch(kind))
        return low + values * (high - low)


def augment_labelled(
    faces: Tensor,
    others: Tensor,
    resolution: int,
    params: MaskTrainParams,
    draw: int,
    strength: float = 1.0,
) -> LabelledBatch:
    """`faces` (N, S, S, 5) uint8 on the device, see `mask_samples`, with their margin; `others`
    (N, R, R, 5) random faces of the same set, for surroundings and textures. `strength` 0 to 1: of
    all odds but those of occluders, without which a network forgets what they look like.
    """
    streams = _Streams(params.seed, draw, len(faces))
    batch = _reshape(to_pictures(faces), resolution, params, streams)
    stranger = _read(to_pictures(others), _stranger_matrix(streams), resolution)
    batch = _surround(batch, stranger, streams, params.backgrounds * strength)
    batch = _cover(batch, stranger, streams, params.occluders)
    picture = _flare(batch.picture, batch.face, streams, params.lights * strength)
    picture = _recolor(picture, streams, params.colors * strength)
    picture = _damage(picture.clamp(0, 1), streams, params.damage * strength)
    return batch._replace(picture=picture)


def plain_labelled(squares: Tensor) -> LabelledBatch:
    """(N, R, R, 5) uint8 squares as they are."""
    planes = to_pictures(squares)
    return LabelledBatch(planes[:, :3], planes[:, 3:4], planes[:, 4:])


def _reshape(
    pictures: Tensor, resolution: int, params: MaskTrainParams, streams: _Streams
) -> LabelledBatch:
    """Rotation, size, shift, flip and warp, of picture and label alike, in one reading."""
    amounts = Amounts(
        params.random_warp, params.random_flip, params.rotation, params.scale / 100,
        params.shift / 100,
    )  # fmt: skip
    drawn: Augmentation = draw_augmentation(len(pictures), amounts, streams.torch("augment"))
    return LabelledBatch(*_read(pictures, drawn, resolution).split([3, 1, 1], dim=1))


def _read(pictures: Tensor, drawn: Augmentation, resolution: int) -> Tensor:
    """(N, 5, R, R) of (N, 5, S, S): the rim's colours go on beyond it, labels are unknown there."""
    count, side = pictures.shape[0], pictures.shape[2]
    matrix = drawn.to_square.to(pictures.device)
    grid = F.affine_grid(matrix, [count, 1, resolution, resolution], align_corners=False)  # N R R 2
    if drawn.nodes is not None:
        nodes = drawn.nodes.to(pictures.device)
        offsets = F.grid_sample(nodes, grid, "bilinear", "border", align_corners=True)  # N 2 R R
        grid = grid + offsets.permute(0, 2, 3, 1)
    grid = grid * (resolution / side)
    rgb = F.grid_sample(pictures[:, :3], grid, "bicubic", "border", align_corners=False)
    masks = F.grid_sample(pictures[:, 3:], grid, "bilinear", "zeros", align_corners=False)
    return torch.cat([rgb.clamp_(0, 1), masks], dim=1)


def _stranger_matrix(streams: _Streams) -> Augmentation:
    """Anywhere: turned by any angle, mirrored or not, a tenth larger, smaller and to the side."""
    turn = streams.uniform("stranger turn", -np.pi, np.pi)
    size = streams.uniform("stranger size", 0.9, 1.1)
    shift = streams.uniform("stranger shift", -0.2, 0.2, 2)
    flip = streams.uniform("stranger flip", 0, 1) < 0.5
    return Augmentation(affine(turn, size, shift, flip), None)


def _surround(
    batch: LabelledBatch, stranger: Tensor, streams: _Streams, percent: float
) -> LabelledBatch:
    """Another picture, its face blacked out and its colours shifted, around the face."""
    share = streams.uniform("surround share", 0.0, 0.85) * streams.chosen("surround", percent)
    if not bool(share.any()):
        return batch
    rgb, face = stranger[:, :3], stranger[:, 3:4]
    there = _shift_colors(rgb, streams, "surround color") * (1 - face)
    # what nobody labelled keeps its own pixels: a face may be in it
    weight = share.to(rgb)[:, None, None, None] * (1 - batch.face) * batch.known
    return batch._replace(picture=batch.picture + (there - batch.picture) * weight)


def _cover(
    batch: LabelledBatch, stranger: Tensor, streams: _Streams, percent: float
) -> LabelledBatch:
    """Something in front of the face, that shades it: no face any more, and known to be none."""
    chosen = streams.chosen("cover", percent)
    if not bool(chosen.any()):
        return batch
    device, size = batch.picture.device, batch.picture.shape[2]
    random = streams.numpy("cover shapes")
    shapes = np.stack(
        [draw_occluder(size, random) if on else np.zeros((size, size), np.float32) for on in chosen]
    )
    shape = torch.from_numpy(shapes)[:, None].to(device)
    shadow = blur(shape, size / 24) * streams.uniform("cover shadow", 0, SHADOW).to(device).view(
        -1, 1, 1, 1
    )
    inside = _fill_of(batch, stranger, streams)
    picture = batch.picture * (1 - shadow)
    return LabelledBatch(
        picture + (inside - picture) * shape,
        batch.face * (1 - shape),
        torch.maximum(batch.known, shape),
    )


def _fill_of(batch: LabelledBatch, stranger: Tensor, streams: _Streams) -> Tensor:
    """(N, 3, R, R): the face's own skin colour with a shade over it, as a hand has, or a part of
    another picture in other colours; each for half of them.
    """
    weight = batch.face + 1e-4
    skin = (batch.picture * weight).sum((2, 3), True) / weight.sum((2, 3), True)  # N 3 1 1
    size = batch.picture.shape[2]
    coarse = streams.uniform("fill shade", 0.55, 1.35, 1, 4, 4).to(skin)
    shade = F.interpolate(coarse, size=(size, size), mode="bicubic", align_corners=True)
    tint = streams.uniform("fill tint", 0.9, 1.1, 3, 1, 1).to(skin)
    grain = torch.randn(streams.count, 1, size, size, generator=streams.torch("fill grain")).to(
        skin
    ) * streams.uniform("fill grain amount", 0, 0.04, 1, 1, 1).to(skin)
    hand = skin * tint * shade + grain
    thing = _shift_colors(stranger[:, :3], streams, "fill color")
    is_hand = streams.chosen("fill", 50).to(skin)[:, None, None, None]
    return (hand * is_hand + thing * (1 - is_hand)).clamp(0, 1)


def _flare(picture: Tensor, face: Tensor, streams: _Streams, percent: float) -> Tensor:
    """Light of the face, and of what is around it, spills over: a wide blur added."""
    size = picture.shape[2]
    for kind, mask in (("face flare", face), ("background flare", 1 - face)):
        chosen = streams.chosen(kind, percent)
        if bool(chosen.any()):
            # kernels of R/4 to R, whose Gaussian has a sixth of the side as its spread
            part = 24 / (1 + int(streams.numpy(f"{kind} width").integers(4)))
            light = blur(picture * mask, size / part)
            picture = (picture + light * chosen.to(picture)[:, None, None, None]).clamp(0, 1)
    return picture


def _recolor(picture: Tensor, streams: _Streams, percent: float) -> Tensor:
    chosen = streams.chosen("recolor", percent)
    if not bool(chosen.any()):
        return picture
    share = chosen.to(picture)[:, None, None, None]
    return _shift_colors(picture, streams, "color") * share + picture * (1 - share)


def _shift_colors(picture: Tensor, streams: _Streams, kind: str) -> Tensor:
    """HSV or levels, drawn for each picture: any hue, saturation and value by up to a half, or
    black and white points by up to a quarter and gamma 0.5 to 1.5 of each channel.
    """
    shifts = streams.uniform(f"{kind} hsv", -0.5, 0.5, 3)
    shifts[:, 0] *= 360  # degrees
    shifted = shift_hsv(picture, shifts)
    low = streams.uniform(f"{kind} black", 0, 0.25, 2, 3, 1, 1).to(picture)
    high = streams.uniform(f"{kind} white", 0.75, 1, 2, 3, 1, 1).to(picture)
    gamma = streams.uniform(f"{kind} gamma", 0.5, 1.5, 3, 1, 1).to(picture)
    inside = ((picture - low[:, 0]) / (high[:, 0] - low[:, 0])).clamp(0, 1) ** gamma
    levelled = low[:, 1] + inside * (high[:, 1] - low[:, 1])
    is_hsv = streams.chosen(kind, 50).to(picture)[:, None, None, None]
    return shifted * is_hsv + levelled * (1 - is_hsv)


def _damage(picture: Tensor, streams: _Streams, percent: float) -> Tensor:
    """Sharpening or motion blur, blur, coarse pixels, JPEG: each for some, in a soft disc."""
    if not percent:
        return picture
    rows = picture.permute(0, 2, 3, 1).cpu().numpy()
    random = streams.numpy("damage")
    damaged = np.stack([_damage_one(np.ascontiguousarray(r), random, percent / 100) for r in rows])
    return torch.from_numpy(damaged).permute(0, 3, 1, 2).to(picture).contiguous()


def _damage_one(picture: np.ndarray, random: np.random.Generator, odds: float) -> np.ndarray:
    size = len(picture)
    unit = size / 256  # the amounts are those of 256 px
    for kind in (_sharpen_or_smear, _soften, _coarsen, _compress):
        if random.random() < odds:
            done = kind(picture, unit, random)
            disc = _soft_disc(size, random)
            picture = picture + (done - picture) * disc
    return np.clip(picture, 0, 1).astype(np.float32)


def _sharpen_or_smear(picture: np.ndarray, unit: float, random: np.random.Generator) -> np.ndarray:
    reach = max(3, round(random.uniform(1, 5) * unit) | 1)  # px, odd
    if random.random() < 0.5:
        return picture + random.uniform(0.5, 2) * (picture - cv2.blur(picture, (reach, reach)))
    kernel = np.zeros((reach, reach), np.float32)
    angle, centre = random.uniform(0, np.pi), reach // 2
    along = np.array([np.cos(angle), np.sin(angle)]) * centre
    first, last = (np.rint(centre + s * along).astype(int).tolist() for s in (-1, 1))
    cv2.line(kernel, first, last, 1.0)
    return cv2.filter2D(picture, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REPLICATE)


def _soften(picture: np.ndarray, unit: float, random: np.random.Generator) -> np.ndarray:
    return cv2.GaussianBlur(picture, (0, 0), random.uniform(0.4, 1.8) * unit)


def _coarsen(picture: np.ndarray, unit: float, random: np.random.Generator) -> np.ndarray:
    size = len(picture)
    small = max(8, round(size * random.uniform(0.25, 1)))
    how = cv2.INTER_NEAREST if random.random() < 0.5 else cv2.INTER_LINEAR
    return cv2.resize(cv2.resize(picture, (small, small), interpolation=how), (size, size),
                      interpolation=how)  # fmt: skip


def _compress(picture: np.ndarray, unit: float, random: np.random.Generator) -> np.ndarray:
    quality = int(random.integers(*JPEG_QUALITY, endpoint=True))
    pixels = np.rint(picture[..., ::-1] * 255).clip(0, 255).astype(np.uint8)
    encoded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    decoded = cv2.imdecode(encoded, cv2.IMREAD_COLOR)
    assert decoded is not None  # encoded a line above
    return decoded[..., ::-1].astype(np.float32) / 255


def _soft_disc(size: int, random: np.random.Generator) -> np.ndarray:
    """(size, size, 1) float32: 1 within a random disc, falling to 0 over its soft edge."""
    y, x = np.mgrid[:size, :size].astype(np.float32) / size
    centre = random.uniform(0, 1, 2)
    inner = random.uniform(0, 0.5)
    outer = inner + random.uniform(0.1, 0.7)
    distance = np.hypot(x - centre[0], y - centre[1])
    return np.clip((outer - distance) / (outer - inner), 0, 1)[..., None].astype(np.float32)
