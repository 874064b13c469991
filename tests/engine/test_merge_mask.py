"""Masks: their modes, and that erosion and blur are what they say and act smoothly."""

import cv2
import numpy as np
import pytest

from facegraft.faces.landmarks import MEAN_FACE, hull_mask
from facegraft.inference import Prediction
from facegraft.merge.mask.face_mask import MASK_SIZE, base_mask, face_mask, resize_by, soften
from facegraft.merge.params import MaskMode


def _landmarks() -> np.ndarray:
    """A mean face in the middle of the working square."""
    points = np.zeros((68, 2), np.float32)
    points[17:] = MEAN_FACE
    angle = np.linspace(np.pi, 0, 17)
    points[:17] = np.stack([0.5 + 0.6 * np.cos(angle), 0.3 + 0.75 * np.sin(angle)], axis=-1)
    return points * (MASK_SIZE * 0.4) + MASK_SIZE * 0.3


def _prediction(size: int = 64) -> Prediction:
    masks = np.zeros((2, size, size), np.float32)
    masks[0, :, : size // 2] = 1
    masks[1, : size // 2] = 1
    return Prediction(np.zeros((size, size, 3), np.float32), masks[0], masks[1])


def _disc(radius: float) -> np.ndarray:
    y, x = np.mgrid[0:MASK_SIZE, 0:MASK_SIZE] + 0.5 - MASK_SIZE / 2
    return np.clip(radius - np.hypot(x, y) + 0.5, 0, 1).astype(np.float32)


def test_each_mode_shows_its_own_mask():
    quarter = MASK_SIZE // 4
    shown = {  # top left, top right, bottom left, bottom right
        MaskMode.FULL: (1, 1, 1, 1),
        MaskMode.LEARNED_PRD: (1, 0, 1, 0),
        MaskMode.LEARNED_DST: (1, 1, 0, 0),
        MaskMode.LEARNED_PRODUCT: (1, 0, 0, 0),
    }
    for mode, expected in shown.items():
        mask = base_mask(mode, _prediction(), _landmarks())
        corners = mask[quarter :: 2 * quarter, quarter :: 2 * quarter].ravel()
        np.testing.assert_allclose(corners, expected, atol=1e-6, err_msg=mode)
    np.testing.assert_array_equal(
        base_mask(MaskMode.HULL, _prediction(), _landmarks()),
        hull_mask(_landmarks(), MASK_SIZE, MASK_SIZE),
    )


@pytest.mark.parametrize("size", [64, 224, 640])
def test_the_mask_has_one_size_at_every_model_resolution(size):
    masks = [
        face_mask(MaskMode.LEARNED_PRODUCT, _prediction(s), _landmarks(), 40, 60)
        for s in (size, 256)
    ]
    assert masks[0].shape == (MASK_SIZE, MASK_SIZE)
    assert np.abs(masks[0] - masks[1]).mean() < 0.005


def test_erosion_moves_the_edge_by_half_its_amount():
    """The amount is the disc's diameter: 80 permille take 40 permille of the side from a radius."""
    for amount in (80.0, -80.0):
        eroded = resize_by(_disc(150), amount)
        radius = 150 - amount / 2000 * MASK_SIZE
        assert eroded[MASK_SIZE // 2].sum() / 2 == pytest.approx(radius, abs=0.6)
        # an octagon stands in for the disc: 8 % of the step at most
        assert np.sqrt(eroded.sum() / np.pi) == pytest.approx(radius, abs=0.08 * 20.5)


def test_more_erosion_never_shows_more_and_small_changes_act_smoothly():
    mask = cv2.GaussianBlur(_disc(120), (0, 0), 4)
    amounts = np.arange(-30, 30.01, 0.75)
    areas = []
    for smaller, larger in zip(amounts[:-1], amounts[1:], strict=True):
        before, after = resize_by(mask, smaller), resize_by(mask, larger)
        assert (after <= before + 1e-6).all()
        areas.append(float(before.sum() - after.sum()))
    assert min(areas) > 0
    assert max(areas) < 2 * min(areas)  # no steps: the edge of a disc is longer where it is grown


def test_no_erosion_and_no_blur_leave_the_mask():
    mask = _disc(100)
    np.testing.assert_array_equal(resize_by(mask, 0), mask)
    np.testing.assert_array_equal(soften(mask, 0), mask)


def test_blur_is_the_gaussian_that_opencv_makes_of_that_kernel():
    mask, blur = _disc(100), 59 / MASK_SIZE * 1000  # a kernel of 59 px
    expected = cv2.GaussianBlur(mask, (59, 59), 0)
    assert np.abs(soften(mask, blur) - expected).max() < 0.02


@pytest.mark.parametrize("blur", [20.0, 100.0, 400.0])
def test_a_blurred_full_mask_fades_out_inside_the_square(blur):
    mask = face_mask(MaskMode.FULL, _prediction(), _landmarks(), 0, blur)
    border = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
    assert border.max() == 0
    assert mask[MASK_SIZE // 2, MASK_SIZE // 2] > 0.9
    assert np.abs(np.diff(mask[MASK_SIZE // 2])).max() < 1.5 / (blur / 1000 * MASK_SIZE * 0.376)


def test_blur_acts_smoothly():
    steps = [soften(_disc(100), blur).astype(np.float64) for blur in np.arange(30, 40, 0.5)]
    changes = [np.abs(b - a).sum() for a, b in zip(steps[:-1], steps[1:], strict=True)]
    assert max(changes) < 1.2 * min(changes)


def test_what_an_8_bit_matte_could_not_show_is_zero():
    faint = Prediction(
        np.zeros((64, 64, 3), np.float32),
        np.full((64, 64), 0.003, np.float32),
        np.ones((64, 64), np.float32),
    )
    assert face_mask(MaskMode.LEARNED_PRD, faint, _landmarks(), -100, 50).max() == 0
