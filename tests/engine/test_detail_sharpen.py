"""Sharpening and softening against scipy's filters and closed forms."""

import numpy as np
import pytest
from scipy import ndimage

from facegraft.merge.detail.sharpen import median_rounds, sharpen
from facegraft.merge.params import Sharpen

SHARPENERS = [Sharpen.BOX, Sharpen.GAUSSIAN]


def picture(seed: int = 0, height: int = 23, width: int = 31) -> np.ndarray:
    """With values below 0 and above 1, as scene-linear sources and sharpening give."""
    return np.random.default_rng(seed).uniform(-0.5, 3, (height, width, 3)).astype(np.float32)


def median(image: np.ndarray) -> np.ndarray:
    return ndimage.median_filter(image, size=(5, 5, 1), mode="nearest")


@pytest.mark.parametrize("amount", [1, 12.5, 100])
def test_box_adds_what_a_mean_of_nine_takes_away(amount):
    """x + amount (x - mean), scipy's mean, with nothing clipped."""
    image = picture()
    mean = ndimage.uniform_filter(image.astype(np.float64), 3, mode="mirror", axes=(0, 1))
    expected = image + amount * (image - mean)
    np.testing.assert_allclose(
        sharpen(image, Sharpen.BOX, amount), expected, rtol=1e-4, atol=1e-5 * amount
    )


@pytest.mark.parametrize("amount", [1, 12.5, 100])
def test_gaussian_adds_half_of_what_a_binomial_blur_takes_away(amount):
    """x (1 + amount / 2) - amount / 2 blurred, the 3x3 Gaussian being 1 2 1 over 4 each way."""
    image = picture(1)
    blurred = image.astype(np.float64)
    for axis in (0, 1):
        blurred = ndimage.correlate1d(blurred, [0.25, 0.5, 0.25], axis, mode="mirror")
    expected = image * (1 + amount / 2) - blurred * amount / 2
    np.testing.assert_allclose(
        sharpen(image, Sharpen.GAUSSIAN, amount), expected, rtol=1e-4, atol=1e-5 * amount
    )


@pytest.mark.parametrize("mode", SHARPENERS)
@pytest.mark.parametrize(("amount", "whole", "part"), [(-20, 2, 0), (-4, 0, 0.4), (-17, 1, 0.7)])
def test_negative_amounts_are_a_median_for_every_ten(mode, amount, whole, part):
    """Whole rounds replace, the rest is blended; both modes alike."""
    expected = picture(2)
    for _ in range(whole):
        expected = median(expected)
    expected = expected * (1 - part) + median(expected) * part
    np.testing.assert_allclose(sharpen(picture(2), mode, amount), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("mode", "amount"), [(Sharpen.NONE, 50), (Sharpen.NONE, -50), (Sharpen.BOX, 0)]
)
def test_mode_none_and_amount_nought_change_nothing(mode, amount):
    """Bit for bit."""
    np.testing.assert_array_equal(sharpen(picture(), mode, amount), picture())


@pytest.mark.parametrize("mode", SHARPENERS)
def test_an_even_picture_stays_even(mode):
    """Also a highlight far above 1, whatever the amount."""
    image = np.full((9, 9, 3), 7.25, np.float32)
    for amount in (-33, 100):
        np.testing.assert_allclose(sharpen(image, mode, amount), image, rtol=1e-4)


def test_sharpening_reaches_one_pixel_of_the_square():
    """Three pixels wide at every size of the square, which knows nothing of the frame's."""
    for side in (12, 96):
        spot = np.zeros((side, side, 3), np.float32)
        spot[side // 2, side // 2] = 1
        reached = np.argwhere(sharpen(spot, Sharpen.BOX, 1)[..., 0] != 0) - side // 2
        assert [-1, -1] == reached.min(axis=0).tolist()
        assert [1, 1] == reached.max(axis=0).tolist()


def test_medians_leave_the_picture_that_came_alone():
    """The caller keeps the unfiltered square for the next setting."""
    image = picture()
    median_rounds(image, 2.5)
    sharpen(image, Sharpen.BOX, 5)
    np.testing.assert_array_equal(image, picture())
