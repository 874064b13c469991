"""Light match against pictures whose light is known, and against the plain ratio of local means."""

import cv2
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from facegraft.merge.color.light import match_light
from tests.engine.color_pictures import skin, soft_disc

SIZE = 160
DISC = soft_disc(SIZE)
INSIDE = DISC > 0.5
FACE = skin(1, (0.5, 0.42, 0.36), 0.03, SIZE)


def _lit() -> np.ndarray:
    """(SIZE, SIZE, 3) a light from the left, warm, that changes little over a light size of 30."""
    x = np.linspace(-1, 1, SIZE, dtype=np.float32)[None, :, None]
    return np.exp(x * np.array([-0.35, -0.3, -0.25], np.float32)) * np.ones(
        (SIZE, 1, 1), np.float32
    )


def _stripes(period: int) -> np.ndarray:
    wave = 1 + 0.2 * np.sign(np.sin(2 * np.pi * (np.arange(SIZE) + 0.25) / period))
    return np.broadcast_to(wave.astype(np.float32)[:, None, None], (SIZE, SIZE, 3))


def test_a_face_under_another_soft_light_is_brought_back():
    matched = match_light(FACE * _lit(), FACE, DISC, 1.0, 30)
    before = np.abs(FACE * _lit() - FACE)[INSIDE].mean()
    assert np.abs(matched - FACE)[INSIDE].mean() < 0.25 * before
    middle = cv2.erode(DISC, np.ones((41, 41), np.uint8)) > 0.5  # away from one-sided means
    assert np.abs(matched - FACE)[middle].mean() < 0.1 * before


def test_detail_finer_than_the_size_stays_the_faces_own():
    smooth = np.full((SIZE, SIZE, 3), 0.4, np.float32)
    face = smooth * _stripes(6)
    reference = smooth * _stripes(6).transpose(1, 0, 2) * _lit()
    matched = match_light(face, reference, DISC, 1.0, 40)
    middle = np.s_[60:96, 60:100]
    expected = (face * _lit())[middle]
    assert np.abs(matched[middle] - expected).max() < 0.03


def test_nothing_outside_of_the_mask_shines_in():
    painted = FACE.copy()
    painted[DISC == 0] = (0, 1, 0)
    plain = match_light(FACE * _lit(), FACE, DISC, 1.0, 30)
    np.testing.assert_array_equal(match_light(FACE * _lit(), painted, DISC, 1.0, 30), plain)


def test_a_feature_of_the_reference_alone_leaves_less_than_half_the_ghost_of_a_plain_ratio():
    reference = np.full((SIZE, SIZE, 3), 0.5, np.float32)
    face, brow = reference.copy(), np.zeros((SIZE, SIZE), np.uint8)
    cv2.rectangle(brow, (55, 60), (105, 68), (1,), -1)
    reference[brow > 0] = 0.1
    sigma = 0.375 * 30
    mean = gaussian_filter(reference[..., 0] * DISC, sigma) / gaussian_filter(DISC, sigma)
    plain = 0.5 - mean[64, 80]
    ghost = 0.5 - match_light(face, reference, DISC, 1.0, 30)[64, 80, 0]
    assert plain > 0.05
    assert ghost < 0.5 * plain


def test_amount_is_a_share_in_stops_and_0_changes_no_bit():
    face = FACE * _lit()
    np.testing.assert_array_equal(match_light(face, FACE, DISC, 0.0, 30), face)
    whole, half = (match_light(face, FACE, DISC, amount, 30) for amount in (1.0, 0.5))
    np.testing.assert_allclose(half**2, whole * face, rtol=1e-4)


def test_values_above_1_keep_their_ratio_to_their_surroundings():
    face = FACE.copy()
    face[80, 80] = 4.0
    plain, matched = (match_light(picture, FACE, DISC, 1.0, 30) for picture in (FACE, face))
    assert matched[80, 80].min() > 2
    assert np.isfinite(matched).all()
    np.testing.assert_allclose(plain, FACE, atol=1e-4)


@pytest.mark.parametrize("size_px", [1.0, 5.0, 80.0, 400.0])
def test_an_empty_mask_leaves_the_face_and_every_size_stays_finite(size_px):
    empty = np.zeros((SIZE, SIZE), np.float32)
    np.testing.assert_allclose(match_light(FACE, 1 - FACE, empty, 1.0, size_px), FACE, atol=1e-5)
    assert np.isfinite(match_light(FACE, 1 - FACE, DISC, 1.0, size_px)).all()


def test_black_pictures_give_no_invalid_values():
    black = np.zeros((SIZE, SIZE, 3), np.float32)
    np.testing.assert_array_equal(match_light(black, FACE, DISC, 1.0, 30), black)
    assert np.isfinite(match_light(FACE, black, DISC, 1.0, 30)).all()
