"""Denoising and degrading against closed forms, scipy and OpenCV's k-means."""

import cv2
import numpy as np
import pytest
from scipy import ndimage

from facegraft.merge.detail.degrade import bicubic_degrade, color_degrade, denoise


def picture(seed: int = 0, height: int = 48, width: int = 48) -> np.ndarray:
    return np.random.default_rng(seed).random((height, width, 3), dtype=np.float32)


def colors(image: np.ndarray) -> int:
    return len(np.unique(image.reshape(-1, 3), axis=0))


@pytest.mark.parametrize(("amount", "whole", "part"), [(100, 1, 0), (30, 0, 0.3), (250, 2, 0.5)])
def test_denoise_is_a_median_for_every_hundred(amount, whole, part):
    """Against scipy's median; what is left of a hundred is blended."""
    expected = picture()
    for _ in range(whole):
        expected = ndimage.median_filter(expected, size=(5, 5, 1), mode="nearest")
    more = ndimage.median_filter(expected, size=(5, 5, 1), mode="nearest")
    expected = expected * (1 - part) + more * part
    np.testing.assert_allclose(denoise(picture(), amount), expected, rtol=1e-5, atol=1e-6)


def test_denoise_removes_a_hot_pixel_and_keeps_a_highlight():
    """A single pixel of 50 goes, a lamp of 5x5 and more stays at its own value."""
    image = np.full((20, 20, 3), 0.5, np.float32)
    image[3, 3] = 50
    image[8:16, 8:16] = 6
    result = denoise(image, 100)
    assert 0.5 == result[3, 3].max()
    np.testing.assert_array_equal(result[10:14, 10:14], image[10:14, 10:14])


@pytest.mark.parametrize("filter_face", [denoise, bicubic_degrade, color_degrade])
def test_nought_changes_nothing(filter_face):
    """Bit for bit."""
    np.testing.assert_array_equal(filter_face(picture(), 0), picture())


def test_bicubic_degrade_averages_cells_and_enlarges_them_by_cubic():
    """50.5 % leaves half the side: means of 2x2, then OpenCV's cubic."""
    image = picture()
    means = image.reshape(24, 2, 24, 2, 3).mean(axis=(1, 3))
    expected = cv2.resize(means, (48, 48), interpolation=cv2.INTER_CUBIC)
    np.testing.assert_allclose(bicubic_degrade(image, 50.5), expected, atol=1e-5)


def test_bicubic_degrade_keeps_the_place_of_things_and_the_mean():
    """Centre of mass of a soft spot, at every strength."""
    y, x = np.mgrid[:64, :64]
    spot = np.exp(-((x - 30) ** 2 + (y - 36) ** 2) / (2 * 8**2)).astype(np.float32)
    image = np.repeat(spot[..., None], 3, axis=2)
    for percent in (10, 50, 80, 90):
        result = bicubic_degrade(image, percent)[..., 0]
        place = np.array([(result * x).sum(), (result * y).sum()]) / result.sum()
        np.testing.assert_allclose(place, (30, 36), atol=0.3)
        assert result.mean() == pytest.approx(image.mean(), rel=0.03)


def test_bicubic_degrade_takes_more_detail_the_more_is_asked():
    """The spread of noise falls with every step, and 100 leaves next to none."""
    image = picture(1, 202, 202)
    spreads = [float(bicubic_degrade(image, p).std()) for p in (0, 20, 40, 60, 80, 100)]
    assert sorted(spreads, reverse=True) == spreads
    assert spreads[-1] < 0.01
    assert (202, 202, 3) == bicubic_degrade(image, 100).shape


def test_color_degrade_leaves_256_colours():
    """Of a picture with thousands; the mean of the picture stays."""
    image = picture(2, 128, 128)
    result = color_degrade(image, 100)
    assert 10000 < colors(image)
    assert 256 == colors(result)
    np.testing.assert_allclose(result.mean(axis=(0, 1)), image.mean(axis=(0, 1)), atol=1e-4)


def test_few_colours_stay_themselves():
    """A palette of 256 holds 200 colours exactly, wherever they lie apart in the cube."""
    rng = np.random.default_rng(3)
    cells = rng.choice(16**3, 200, replace=False)
    palette = np.stack(np.unravel_index(cells, (16, 16, 16)), axis=1).astype(np.float32) / 16 + 0.03
    image = palette[rng.integers(0, 200, (50, 50))]
    result = color_degrade(image, 100)
    # boxes are cut until none holds two colours, or eight times
    assert 0.9 * 200 <= colors(result) <= 256
    assert np.abs(result - image).mean() < 0.002


def test_the_palette_suits_the_picture():
    """Its error on a picture of skin tones is a small part of an even grid's of as many colours,
    and near that of OpenCV's k-means."""
    rng = np.random.default_rng(4)
    image = (rng.normal(0, 0.04, (64, 64, 3)) + (0.7, 0.5, 0.4)).clip(0, 1).astype(np.float32)
    error = float(np.square(color_degrade(image, 100) - image).mean())
    levels = np.array([8, 8, 4], np.float32)  # 256 colours
    grid = (np.floor(image * levels) + 0.5) / levels
    assert error < 0.1 * float(np.square(grid - image).mean())
    cv2.setRNGSeed(1)
    criteria = (cv2.TERM_CRITERIA_MAX_ITER, 20, 0)
    pixels = image.reshape(-1, 3)
    compactness, _, _ = cv2.kmeans(pixels, 256, np.empty(0), criteria, 1, cv2.KMEANS_PP_CENTERS)
    assert error < 3 * compactness / pixels.size


def test_color_degrade_is_the_same_every_time_and_blends():
    """Half is half way."""
    image = picture(5)
    whole = color_degrade(image, 100)
    np.testing.assert_array_equal(whole, color_degrade(image.copy(), 100))
    np.testing.assert_allclose(color_degrade(image, 50), (image + whole) / 2, atol=1e-6)


def test_what_lies_outside_the_unit_range_stays_on_top():
    """A highlight keeps its own shading; the palette is of what is inside."""
    image = picture(6)
    image[:8] += 5
    image[-8:] -= 2
    inside = image.clip(0, 1)
    expected = color_degrade(inside, 100) + (image - inside)
    np.testing.assert_allclose(color_degrade(image, 100), expected, atol=1e-5)


def test_a_picture_of_one_colour_survives_every_degradation():
    """Also one pixel large."""
    for side in (1, 7):
        image = np.full((side, side, 3), 0.37, np.float32)
        for result in (denoise(image, 500), bicubic_degrade(image, 99), color_degrade(image, 100)):
            np.testing.assert_allclose(result, image, atol=1e-6)
