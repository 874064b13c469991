"""Highlights of the plate in the new face: by the stated rule, and nowhere else."""

import numpy as np

from facegraft.media.color import srgb_decode, srgb_encode
from facegraft.media.hdr import carry_highlights

LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32)


def plate_with_light(peak: float) -> np.ndarray:
    """(40, 40, 3) display: skin with a round highlight of `peak` times white in linear light."""
    y, x = np.mgrid[:40, :40]
    spot = np.exp(-(((x - 20) / 5) ** 2 + ((y - 15) / 4) ** 2)).astype(np.float32)
    return srgb_encode(
        np.array([0.4, 0.25, 0.2], np.float32) * (1 - spot[..., None]) + peak * spot[..., None]
    )


def test_without_highlights_the_face_is_the_same_array():
    face = np.random.default_rng(0).random((8, 8, 3)).astype(np.float32)
    assert carry_highlights(face, np.ones((8, 8, 3), np.float32)) is face


def test_pixels_whose_plate_is_at_most_1_keep_their_bits():
    plate = plate_with_light(6)
    face = np.random.default_rng(0).random(plate.shape).astype(np.float32)
    result = carry_highlights(face, plate)
    cool = plate.max(axis=2) <= 1
    assert 0 < cool.sum() < cool.size
    np.testing.assert_array_equal(result[cool], face[cool])
    assert (result[~cool] >= face[~cool] - 1e-6).all()


def test_a_face_that_shows_the_clipped_plate_gets_its_luminance_back():
    plate = plate_with_light(6)
    result = carry_highlights(np.clip(plate, 0, 1), plate)
    white = (np.clip(plate, 0, 1) == 1).any(axis=2)
    wanted, given = srgb_decode(plate) @ LUMA, srgb_decode(result) @ LUMA
    assert white.any() and wanted.max() > 5
    np.testing.assert_allclose(given[white], wanted[white], rtol=1e-4)


def test_a_dark_face_gets_no_highlight():
    plate = plate_with_light(6)
    face = np.full(plate.shape, 0.55, np.float32)
    np.testing.assert_allclose(carry_highlights(face, plate), face, atol=1e-6)


def test_the_gain_is_clippings_loss_in_linear_light_times_a_smoothstep():
    plate = np.full((1, 1, 3), srgb_encode(np.array([4.0], np.float32))[0], np.float32)
    face = np.full((1, 1, 3), 0.9, np.float32)
    part = (0.9 - 0.6) / 0.4
    factor = 1 + (4 - 1) * part**2 * (3 - 2 * part)
    expected = srgb_encode(srgb_decode(face) * np.float32(factor))
    np.testing.assert_allclose(carry_highlights(face, plate), expected, rtol=1e-5)
