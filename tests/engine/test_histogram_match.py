"""Histogram match against scikit-image and quantiles."""

import numpy as np
import pytest
from skimage.exposure import match_histograms

from facegraft.merge.color.histogram import match_histogram
from tests.engine.color_pictures import soft_disc, textured

ONES = np.ones((96, 96), np.float32)
FACE, REFERENCE = textured(1, 0.1, 0.6), textured(2, 0.3, 0.95)


def test_hist_match_equals_scikit_images_over_the_whole_picture():
    expected = match_histograms(FACE, REFERENCE, channel_axis=-1)
    matched = match_histogram(FACE, REFERENCE, ONES)
    assert np.abs(matched - expected).max() < 2 / 1024  # a bin and its neighbour


def test_masked_hist_match_is_the_match_of_the_masked_pixels_alone():
    inside = soft_disc() > 0.5
    expected = match_histograms(FACE[inside], REFERENCE[inside], channel_axis=-1)
    matched = match_histogram(FACE, REFERENCE, inside.astype(np.float32))[inside]
    assert np.abs(matched - expected).max() < 4 / 1024


def test_hist_match_threshold_cuts_the_quantiles_at_its_share():
    matched = match_histogram(FACE, REFERENCE, ONES, threshold=128)
    for channel in range(3):
        expected = np.quantile(REFERENCE[..., channel], 128 / 255)
        assert matched[..., channel].max() == pytest.approx(expected, abs=2 / 1024)


def test_a_picture_matched_to_itself_stays_as_it_is():
    assert np.abs(match_histogram(FACE, FACE, ONES) - FACE).max() < 1e-3


def test_a_flat_face_takes_one_value_of_the_references():
    flat = np.full((96, 96, 3), 0.3, np.float32)
    matched = match_histogram(flat, REFERENCE, ONES)
    assert np.ptp(matched.reshape(-1, 3), axis=0).max() < 1e-6
    assert (matched[0, 0] >= REFERENCE.min()).all() and (matched[0, 0] <= REFERENCE.max()).all()


def test_what_exceeds_1_counts_as_1_and_is_kept_on_top():
    bright = FACE.copy()
    bright[:10] += 2
    clipped = np.clip(bright, 0, 1)
    expected = match_histogram(clipped, REFERENCE, ONES) + bright - clipped
    np.testing.assert_allclose(match_histogram(bright, REFERENCE, ONES), expected, atol=1e-6)


def test_empty_weights_leave_the_face_as_it_is():
    np.testing.assert_array_equal(match_histogram(FACE, REFERENCE, 0 * ONES), FACE)
