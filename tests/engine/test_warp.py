"""Augmentation against OpenCV and against its own statistics."""

import math

import cv2
import numpy as np
import pytest
import torch

from facegraft.faces.align import warp_image_once
from facegraft.training.warp import (
    FLIP_ODDS,
    LEVELS,
    NODE_SHIFT,
    TRUNCATION,
    Amounts,
    Augmentation,
    affine,
    apply_augmentation,
    draw_augmentation,
    to_pictures,
)

R = 64
OFF = Amounts(warp=False, flip=False, rotation=0.0, scale=0.0, shift=0.0)
FULL = Amounts(warp=True, flip=True, rotation=10.0, scale=0.15, shift=0.05)


def generator(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def picture() -> np.ndarray:
    """(64, 64, 5) uint8: smooth colours, a soft disc as mask, its upper half as parts."""
    y, x = np.mgrid[0:R, 0:R].astype(np.float32)
    disc = np.clip(20 - np.hypot(x - 30, y - 34), 0, 1)
    waves = [128 + 100 * np.sin(x / 7), 128 + 100 * np.cos(y / 9), 255 * disc]
    return np.stack([*waves, 255 * disc, 255 * disc * (y < 34)], axis=2).round().astype(np.uint8)


def batch(picture: np.ndarray) -> torch.Tensor:
    return to_pictures(torch.from_numpy(picture[None]))


def pixels(images: torch.Tensor) -> np.ndarray:
    return images[0].permute(1, 2, 0).numpy() * 255


def drawn(angle: float = 0, scale: float = 1, shift: tuple = (0, 0), flip: bool = False):
    return Augmentation(
        affine(
            torch.tensor([math.radians(angle)]),
            torch.tensor([scale]),
            torch.tensor([shift], dtype=torch.float32),
            torch.tensor([flip]),
        ),
        None,
    )


def test_everything_off_gives_the_picture_back(picture):
    made = apply_augmentation(batch(picture), R, draw_augmentation(1, OFF, generator()))
    assert np.abs(picture[..., :3] - pixels(made.target)).max() < 0.01
    assert np.abs(picture[..., 3:4] - pixels(made.mask)).max() < 0.01
    assert np.abs(picture[..., 4:] - pixels(made.parts)).max() < 0.01
    assert made.warped is made.target


def test_a_flip_mirrors_exactly(picture):
    made = apply_augmentation(batch(picture), R, drawn(flip=True))
    assert np.abs(picture[:, ::-1, :3] - pixels(made.target)).max() < 0.01
    assert np.abs(picture[:, ::-1, 3:4] - pixels(made.mask)).max() < 0.01
    assert np.abs(picture[:, ::-1, 4:] - pixels(made.parts)).max() < 0.01


def test_a_shift_by_whole_pixels_moves_the_picture_right_and_down(picture):
    right, down = 3, 5
    made = apply_augmentation(batch(picture), R, drawn(shift=(2 * right / R, 2 * down / R)))
    moved = pixels(made.target)[down:, right:]
    assert np.abs(picture[:-down, :-right, :3] - moved).max() < 0.01
    assert pixels(made.mask)[:down].max() == 0  # nothing is known there
    assert np.abs(picture[0, :-right, :3] - pixels(made.target)[0, right:]).max() < 0.01  # repeats


def test_rotation_and_scale_match_opencv(picture):
    made = apply_augmentation(batch(picture), R, drawn(angle=7, scale=1.1, shift=(0.05, -0.08)))
    matrix = cv2.getRotationMatrix2D((R / 2, R / 2), 7, 1.1)
    matrix[:, 2] += 0.05 * R / 2, -0.08 * R / 2
    rgb = picture[..., :3].astype(np.float32)
    expected = warp_image_once(rgb, matrix, R, R, cv2.INTER_CUBIC, cv2.BORDER_REPLICATE)
    # OpenCV rounds positions to 1/32 px; the steepest edge here is 255 levels a pixel
    gap = np.abs(expected.clip(0, 255) - pixels(made.target))
    assert gap.mean() < 1.0
    assert gap.max() < 16


def test_the_warp_matches_opencv_remap(picture):
    plain = draw_augmentation(1, Amounts(True, False, 0, 0, 0), generator(4))
    made = apply_augmentation(batch(picture), R, plain)
    assert plain.nodes is not None
    nodes = plain.nodes[0].numpy() * R / 2  # to pixels
    at = (np.arange(R, dtype=np.float32) + 0.5) * 8 / R  # node units at pixel centres
    where_x, where_y = np.meshgrid(at, at)
    offsets = [cv2.remap(n, where_x, where_y, cv2.INTER_LINEAR) for n in nodes]
    y, x = np.mgrid[0:R, 0:R].astype(np.float32)
    expected = cv2.remap(
        picture[..., :3].astype(np.float32), x + offsets[0], y + offsets[1],
        cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE,
    )  # fmt: skip
    gap = np.abs(expected.clip(0, 255) - pixels(made.warped))
    assert gap.mean() < 1.5
    assert np.abs(picture[..., :3] - pixels(made.target)).max() < 0.01  # only the input is warped
    assert np.abs(pixels(made.warped) - pixels(made.target)).mean() > 5


def test_target_and_mask_stay_registered(picture):
    """The third channel holds the mask's disc: the two must still agree after any augmentation."""
    faces = batch(picture).expand(16, -1, -1, -1)
    made = apply_augmentation(faces, R, draw_augmentation(16, FULL, generator()))
    gap = (made.target[:, 2:] - made.mask).abs()
    assert gap.mean() < 0.005
    assert ((made.target[:, 2:] > 0.5) != (made.mask > 0.5)).float().mean() < 0.002


def test_a_margin_gives_real_pixels_beyond_the_square(picture):
    margin = 8
    inner = R - 2 * margin
    made = apply_augmentation(batch(picture), inner, drawn())
    cut = picture[margin:-margin, margin:-margin, :3]
    assert np.abs(cut - pixels(made.target)).max() < 0.01
    moved = apply_augmentation(batch(picture), inner, drawn(shift=(2 * margin / inner, 0)))
    assert np.abs(picture[margin:-margin, :inner, :3] - pixels(moved.target)).max() < 0.01


def test_equal_seeds_draw_equally_and_the_warp_changes_nothing_else():
    first, second = (draw_augmentation(5, FULL, generator()) for _ in range(2))
    assert torch.equal(first.to_square, second.to_square)
    assert first.nodes is not None and second.nodes is not None
    assert torch.equal(first.nodes, second.nodes)
    unwarped = Amounts(False, True, 10.0, 0.15, 0.05)
    assert torch.equal(first.to_square, draw_augmentation(5, unwarped, generator()).to_square)


def test_amounts_are_those_of_deepfacelab():
    matrices = draw_augmentation(4000, FULL, generator()).to_square
    determinant = torch.linalg.det(matrices[:, :, :2])
    scale = determinant.abs().rsqrt()
    angle = torch.rad2deg(torch.atan2(matrices[:, 0, 1], matrices[:, 1, 1]))
    assert scale.min() >= 1 / 1.15 - 1e-4 and scale.max() <= 1.15 + 1e-4
    assert angle.abs().max() <= 10.01
    assert angle.abs().mean() == pytest.approx(5, abs=0.2)  # uniform
    assert (determinant < 0).float().mean() == pytest.approx(FLIP_ODDS, abs=0.03)


def test_axes_of_the_warp_are_independent():
    """DeepFaceLab's field is its own transpose; ours is not, and as strong per axis as its."""
    nodes = draw_augmentation(3000, FULL, generator()).nodes
    assert nodes is not None
    bend = nodes[:, :, 1:-1, 1:-1].diff(n=2, dim=3).abs()  # zero between a coarser field's nodes
    finest = nodes[(bend > 1e-6).flatten(1).all(dim=1)]
    x, y = finest[:, 0, 1:-1, 1:-1], finest[:, 1, 1:-1, 1:-1]
    assert len(finest) == pytest.approx(1000, abs=100)
    assert abs(np.corrcoef(x.flatten(), y.transpose(1, 2).flatten())[0, 1]) < 0.02
    truncated_std = 0.9546  # of a normal distribution cut at 2.5: sqrt(1 - 5 phi(2.5) / P)
    cell = 2 / LEVELS[-1]
    assert x.std() == pytest.approx(truncated_std / TRUNCATION * NODE_SHIFT * cell, rel=0.02)
    assert x.std() == pytest.approx(float(y.std()), rel=0.05)


def test_the_warp_never_folds_the_picture_and_keeps_its_rim():
    nodes = draw_augmentation(2000, FULL, generator()).nodes
    assert nodes is not None
    along_x, along_y = nodes[:, 0].diff(dim=2), nodes[:, 1].diff(dim=1)
    assert min(along_x.min(), along_y.min()) > -2 / 8  # neighbours keep their order
    rim = torch.cat([nodes[:, :, 0], nodes[:, :, -1], nodes[..., 0], nodes[..., -1]], dim=2)
    assert rim.abs().max() == 0
