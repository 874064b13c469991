"""Colour transfers against closed forms, scikit-image's Lab and transport by hand."""

import numpy as np
import pytest
from scipy.linalg import sqrtm
from skimage.color import rgb2lab

from facegraft.merge.color.linear import VARIANCE_FLOOR
from facegraft.merge.color.maps import IDENTITY, AffineMap
from facegraft.merge.color.transfer import counted, fit_transfer
from facegraft.merge.params import ColorTransfer
from tests.engine.color_pictures import apart, skin, soft_disc, textured

DISC, ONES = soft_disc(), np.ones((96, 96), np.float32)
FACE, REFERENCE = skin(1, (0.55, 0.42, 0.36), 0.05), skin(2, (0.45, 0.4, 0.42), 0.07)
KINDS = [kind for kind in ColorTransfer if kind is not ColorTransfer.NONE]
MASKED = ["rct", "mkl_m", "idt_m", "sot_m", "mix_m"]
WHOLE = ["lct", "mkl", "idt"]


def _moments(image: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    colors = image.reshape(-1, 3).astype(np.float64)
    mean = np.average(colors, axis=0, weights=weights.ravel())
    return mean, np.cov(colors.T, aweights=weights.ravel(), ddof=0)


def test_rct_gives_the_face_the_references_mean_and_spread_inside_the_mask():
    fitted = fit_transfer(ColorTransfer.RCT, FACE, REFERENCE, DISC).apply(FACE)
    mean, covariance = _moments(rgb2lab(fitted), DISC)
    expected_mean, expected = _moments(rgb2lab(REFERENCE), DISC)
    np.testing.assert_allclose(mean, expected_mean, atol=0.05)
    np.testing.assert_allclose(np.diag(covariance), np.diag(expected), rtol=0.02)


@pytest.mark.parametrize("kind", [ColorTransfer.LCT, ColorTransfer.MKL, ColorTransfer.MKL_M])
def test_lct_and_mkl_give_the_face_the_references_mean_and_covariance(kind):
    weights = counted(kind, DISC, ONES)
    fitted = fit_transfer(kind, FACE, REFERENCE, weights).apply(FACE)
    mean, covariance = _moments(fitted, weights)
    expected_mean, expected = _moments(REFERENCE, weights)
    np.testing.assert_allclose(mean, expected_mean, atol=1e-4)
    np.testing.assert_allclose(covariance, expected, atol=3 * VARIANCE_FLOOR)


def test_lct_is_the_product_of_the_covariances_roots():
    color_map = fit_transfer(ColorTransfer.LCT, FACE, REFERENCE, ONES)
    floor = VARIANCE_FLOOR * np.eye(3)
    own, other = (sqrtm(_moments(image, ONES)[1] + floor) for image in (FACE, REFERENCE))
    assert isinstance(color_map, AffineMap)
    np.testing.assert_allclose(color_map.matrix[:, :3], other @ np.linalg.inv(own), rtol=1e-4)


def test_mkl_is_symmetric_and_so_moves_colours_less_than_lct():
    mkl, lct = (
        fit_transfer(kind, FACE, REFERENCE, ONES) for kind in (ColorTransfer.MKL, ColorTransfer.LCT)
    )
    assert isinstance(mkl, AffineMap)
    np.testing.assert_allclose(mkl.matrix[:, :3], mkl.matrix[:, :3].T, atol=1e-8)
    assert np.linalg.eigvalsh(mkl.matrix[:, :3]).min() > 0
    moved = [np.mean((m.apply(FACE) - FACE) ** 2) for m in (mkl, lct)]
    assert moved[0] < moved[1]


@pytest.mark.parametrize("kind", [ColorTransfer.IDT, ColorTransfer.IDT_M])
def test_idt_brings_the_whole_distribution_to_the_references(kind):
    weights = counted(kind, DISC, ONES)
    inside = weights > 0.5
    face, reference = textured(1, 0.3, 0.6), textured(2, 0.2, 0.8) ** 1.4
    fitted = fit_transfer(kind, face, reference, weights).apply(face)
    before = apart(face[inside], reference[inside])
    assert apart(fitted[inside], reference[inside]) < 0.2 * before


def test_sot_brings_the_distribution_nearer_and_the_mean_there():
    inside = DISC > 0.5
    fitted = fit_transfer(ColorTransfer.SOT_M, FACE, REFERENCE, DISC).apply(FACE)
    before = apart(FACE[inside], REFERENCE[inside])
    assert apart(fitted[inside], REFERENCE[inside]) < 0.4 * before
    expected, _ = _moments(REFERENCE, DISC)
    np.testing.assert_allclose(_moments(fitted, DISC)[0], expected, atol=0.015)


def test_sot_leaves_grain_as_it_is_since_its_change_is_soft():
    grain = np.random.default_rng(0).normal(0, 0.02, FACE.shape).astype(np.float32)
    face = FACE + grain
    wide = skin(2, (0.45, 0.4, 0.42), 0.15)  # three times the face's contrast
    change = fit_transfer(ColorTransfer.SOT_M, face, wide, DISC).apply(face) - face
    steps = np.diff(change, axis=1)
    assert np.abs(steps).max() < 0.02
    assert np.ptp(change) > 0.05  # it is no constant


def test_mix_matches_lightness_by_mean_and_spread_and_tint_as_a_distribution():
    inside = DISC > 0.5
    fitted = rgb2lab(fit_transfer(ColorTransfer.MIX_M, FACE, REFERENCE, DISC).apply(FACE))
    own, other = rgb2lab(FACE)[inside], rgb2lab(REFERENCE)[inside]
    assert fitted[inside, 0].mean() == pytest.approx(other[:, 0].mean(), abs=0.3)
    assert fitted[inside, 0].std() == pytest.approx(other[:, 0].std(), rel=0.06)
    before = apart(own[:, 1:], other[:, 1:])
    assert apart(fitted[inside][:, 1:], other[:, 1:]) < 0.25 * before


@pytest.mark.parametrize("kind", MASKED)
def test_masked_transfers_ignore_what_lies_outside_the_mask(kind):
    method = ColorTransfer(kind)
    weights = counted(method, DISC, ONES)
    painted = REFERENCE.copy()
    painted[DISC == 0] = (1, 0, 1)
    plain = fit_transfer(method, FACE, REFERENCE, weights).apply(FACE)
    fitted = fit_transfer(method, FACE, painted, weights).apply(FACE)
    np.testing.assert_allclose(fitted, plain, atol=2e-4)


@pytest.mark.parametrize("kind", WHOLE)
def test_the_others_count_the_whole_square_but_for_what_lies_past_the_frame(kind):
    seen = ONES.copy()
    seen[:, 70:] = 0
    np.testing.assert_array_equal(counted(ColorTransfer(kind), DISC, seen), seen)
    np.testing.assert_array_equal(counted(ColorTransfer.RCT, DISC, seen), DISC * seen)


@pytest.mark.parametrize("kind", KINDS)
def test_a_flat_face_moves_to_the_references_mean_and_stays_flat(kind):
    reference = skin(2, (0.5, 0.45, 0.4), 0.02)
    flat = np.full((96, 96, 3), 0.7, np.float32)
    fitted = fit_transfer(kind, flat, reference, DISC).apply(flat)
    assert np.isfinite(fitted).all()
    assert np.ptp(fitted.reshape(-1, 3), axis=0).max() < 1e-4
    expected, _ = _moments(reference, DISC)
    np.testing.assert_allclose(fitted[0, 0], expected, atol=0.01)


@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_fitted_to_itself_stays_as_it_is(kind):
    fitted = fit_transfer(kind, FACE, FACE, DISC).apply(FACE)
    np.testing.assert_allclose(fitted, FACE, atol=2e-3)


@pytest.mark.parametrize("kind", ColorTransfer)
def test_an_empty_mask_leaves_every_bit_of_the_face(kind):
    color_map = fit_transfer(kind, FACE, 1 - FACE, np.zeros((96, 96), np.float32))
    assert color_map is IDENTITY
    np.testing.assert_array_equal(color_map.apply(FACE), FACE)


@pytest.mark.parametrize("kind", ColorTransfer)
def test_a_mask_of_a_few_pixels_of_a_large_square_fits_nothing(kind):
    face, mask = np.full((1024, 1024, 3), 0.5, np.float32), np.zeros((1024, 1024), np.float32)
    mask[3:8, 3:8] = 1
    assert fit_transfer(kind, face, face / 2, mask) is IDENTITY


@pytest.mark.parametrize("kind", KINDS)
def test_what_exceeds_1_is_kept_on_top_of_the_mapped_colour(kind):
    color_map = fit_transfer(kind, FACE, REFERENCE, DISC)
    white = np.ones((96, 96, 3), np.float32)
    np.testing.assert_allclose(color_map.apply(white + 2), color_map.apply(white) + 2, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_a_fit_is_the_same_each_time_and_no_picture_is_changed_by_it(kind):
    face, reference = FACE.copy(), REFERENCE.copy()
    first = fit_transfer(kind, face, reference, DISC).apply(face)
    again = fit_transfer(kind, face, reference, DISC).apply(face)
    np.testing.assert_allclose(first, again, atol=2e-4)  # sums may round by where arrays lie
    np.testing.assert_array_equal(face, FACE)
    np.testing.assert_array_equal(reference, REFERENCE)


@pytest.mark.parametrize("kind", KINDS)
def test_a_large_face_is_fitted_by_every_other_pixel_as_a_small_one_by_all(kind):
    face, reference, mask = (
        np.repeat(np.repeat(picture, 6, axis=0), 6, axis=1) for picture in (FACE, REFERENCE, DISC)
    )
    large = fit_transfer(kind, face, reference, mask).apply(FACE)
    small = fit_transfer(kind, FACE, REFERENCE, DISC).apply(FACE)
    np.testing.assert_allclose(large, small, atol=0.01)
