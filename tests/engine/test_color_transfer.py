"""Colour transfer, histogram match and seamless clone against their formulas and OpenCV."""

import cv2
import numpy as np
import pytest
from skimage.color import rgb2lab
from skimage.exposure import match_histograms

from facegraft.merge.color.histogram import match_histogram
from facegraft.merge.color.seamless import seamless_clone
from facegraft.merge.color.transfer import transfer_color
from facegraft.merge.params import ColorTransfer


def _textured(seed: int, low: float, high: float, size: int = 96) -> np.ndarray:
    """(size, size, 3) float32 smooth noise, every channel spread evenly over low..high."""
    noise = np.random.default_rng(seed).normal(size=(size, size, 3)).astype(np.float32)
    noise = cv2.GaussianBlur(noise, (0, 0), 5).reshape(-1, 3)
    ranks = noise.argsort(axis=0).argsort(axis=0).astype(np.float32) / len(noise)
    return low + (high - low) * ranks.reshape(size, size, 3)


@pytest.fixture
def disc() -> np.ndarray:
    mask = np.zeros((96, 96), np.float32)
    cv2.circle(mask, (48, 44), 30, (1.0,), -1)
    return cv2.GaussianBlur(mask, (0, 0), 2)


def test_rct_gives_the_face_the_references_mean_and_spread_inside_the_mask(disc):
    face, reference = (
        _textured(1, 0.35, 0.55),
        _textured(2, 0.3, 0.6) * np.array([1, 0.9, 0.8], np.float32),
    )
    fitted = rgb2lab(transfer_color(ColorTransfer.RCT, face, reference, disc))
    expected = rgb2lab(reference)
    for channel in range(3):
        means, spreads = [], []
        for image in (fitted[..., channel], expected[..., channel]):
            means.append(np.average(image, weights=disc))
            spreads.append(np.average((image - means[-1]) ** 2, weights=disc) ** 0.5)
        assert means[0] == pytest.approx(means[1], abs=0.05)
        assert spreads[0] == pytest.approx(spreads[1], rel=0.02)


def test_rct_ignores_what_lies_outside_the_mask(disc):
    face, reference = _textured(1, 0.3, 0.6), _textured(2, 0.3, 0.6)
    painted = reference.copy()
    painted[disc == 0] = (1, 0, 1)
    np.testing.assert_array_equal(
        transfer_color(ColorTransfer.RCT, face, reference, disc),
        transfer_color(ColorTransfer.RCT, face, painted, disc),
    )


def test_rct_moves_a_flat_face_to_the_mean_and_never_divides_by_its_zero_spread(disc):
    reference = _textured(2, 0.4, 0.5)
    fitted = transfer_color(
        ColorTransfer.RCT, np.full((96, 96, 3), 0.7, np.float32), reference, disc
    )
    assert np.isfinite(fitted).all()
    assert np.ptp(fitted.reshape(-1, 3), axis=0).max() < 1e-4
    lab = rgb2lab(reference).reshape(-1, 3)
    expected = np.average(lab, axis=0, weights=disc.ravel())
    np.testing.assert_allclose(rgb2lab(fitted)[0, 0], expected, atol=0.05)


def test_an_empty_mask_leaves_the_face_as_it_is():
    face, empty = _textured(1, 0.3, 0.6), np.zeros((96, 96), np.float32)
    for method in ColorTransfer:
        np.testing.assert_array_equal(transfer_color(method, face, 1 - face, empty), face)
    np.testing.assert_array_equal(match_histogram(face, 1 - face, empty), face)


def test_hist_match_equals_scikit_images_over_the_whole_picture():
    face, reference = _textured(1, 0.1, 0.6), _textured(2, 0.3, 0.95)
    matched = match_histogram(face, reference, np.ones((96, 96), np.float32))
    expected = match_histograms(face, reference, channel_axis=-1)
    assert np.abs(matched - expected).max() < 2 / 1024  # a bin and its neighbour


def test_masked_hist_match_is_the_match_of_the_masked_pixels_alone(disc):
    face, reference, inside = _textured(1, 0.1, 0.6), _textured(2, 0.3, 0.95), disc > 0.5
    matched = match_histogram(face, reference, inside.astype(np.float32))[inside]
    expected = match_histograms(face[inside], reference[inside], channel_axis=-1)
    assert np.abs(matched - expected).max() < 4 / 1024


def test_hist_match_threshold_cuts_the_quantiles_at_its_share():
    face, reference = _textured(1, 0.1, 0.6), _textured(2, 0.3, 0.95)
    matched = match_histogram(face, reference, np.ones((96, 96), np.float32), threshold=128)
    for channel in range(3):
        expected = np.quantile(reference[..., channel], 128 / 255)
        assert matched[..., channel].max() == pytest.approx(expected, abs=2 / 1024)


def test_matching_a_picture_to_itself_changes_nothing():
    face, ones = _textured(1, 0.1, 0.9), np.ones((96, 96), np.float32)
    assert np.abs(match_histogram(face, face, ones) - face).max() < 1e-3
    assert np.abs(transfer_color(ColorTransfer.RCT, face, face, ones) - face).max() < 1e-3
    np.testing.assert_allclose(seamless_clone(face, face, ones > 0), face, atol=1e-5)


def _clone_scene() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    frame = (_textured(4, 0.25, 0.5, 160) * 255).astype(np.uint8)
    face = (_textured(5, 0.4, 0.7, 160) * 255).astype(np.uint8)
    mask = np.zeros((160, 160), np.uint8)
    cv2.ellipse(mask, (80, 76), (45, 36), 20, 0, 360, (255,), -1)
    mask[25, 25] = mask[128, 135] = 255  # erosion takes them; they keep the rectangle off the mask
    return frame, face, mask


def test_seamless_clone_equals_opencvs_within_8_bit_rounding():
    frame, face, mask = _clone_scene()
    x, y, width, height = cv2.boundingRect(mask)
    center = (x + width // 2, y + height // 2)
    # OpenCV writes into the mask that it is given
    expected = cv2.seamlessClone(face, frame, mask.copy(), center, cv2.NORMAL_CLONE)
    area = np.s_[y - 1 : y + height + 1, x - 1 : x + width + 1]  # its border has OpenCV's values
    clone = seamless_clone(
        face[area].astype(np.float32) / 255, frame[area].astype(np.float32) / 255, mask[area] > 0
    )
    difference = clone * 255 - expected[area]
    assert abs(difference.mean() - 0.5) < 0.3  # OpenCV cuts fractions off
    assert np.abs(difference).max() < 2
    moved = np.abs(expected[area].astype(float) - frame[area]).mean()
    assert moved > 3  # the comparison is of something that changed


def test_seamless_clone_keeps_the_frames_border_and_the_faces_gradients():
    frame, face, mask = _clone_scene()
    frame_f, face_f = frame.astype(np.float32) / 255, face.astype(np.float32) / 255
    clone = seamless_clone(face_f, frame_f, mask > 0)
    for edge in (np.s_[0], np.s_[-1], np.s_[:, 0], np.s_[:, -1]):
        np.testing.assert_array_equal(clone[edge], frame_f[edge])
    laplacian = cv2.Laplacian(clone - face_f, cv2.CV_32F)
    inner = cv2.erode(mask, np.ones((3, 3), np.uint8), iterations=6) > 0
    assert np.abs(laplacian[inner]).max() < 1e-4


def test_seamless_clone_keeps_values_above_one():
    frame, face, mask = _clone_scene()
    bright = frame.astype(np.float32) / 255 + 3
    clone = seamless_clone(face.astype(np.float32) / 255, bright, mask > 0)
    assert clone[mask > 0].min() > 2  # the face stands in the frame's light
