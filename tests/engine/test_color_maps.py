"""Colour maps averaged over time: the mean map does what the mean of the maps does."""

import numpy as np
import pytest

from facegraft.errors import ParameterError
from facegraft.merge.color.histogram import fit_histogram
from facegraft.merge.color.maps import IDENTITY, ColorMap, average_maps
from facegraft.merge.color.transfer import fit_transfer
from facegraft.merge.params import ColorTransfer
from tests.engine.color_pictures import skin, soft_disc

FACE, DISC = skin(1, (0.5, 0.42, 0.36), 0.05), soft_disc()
REFERENCES = [skin(2, (0.45, 0.4, 0.42), 0.06), skin(3, (0.55, 0.4, 0.3), 0.04)]
RGB_KINDS = [ColorTransfer.MKL_M, ColorTransfer.IDT_M, ColorTransfer.SOT_M, ColorTransfer.MIX_M]


def _fits(kind: ColorTransfer) -> list[ColorMap]:
    return [fit_transfer(kind, FACE, reference, DISC) for reference in REFERENCES]


@pytest.mark.parametrize("kind", RGB_KINDS)
def test_the_mean_map_moves_a_picture_to_the_weighted_mean_of_where_the_maps_move_it(kind):
    a, b = _fits(kind)
    expected = 0.25 * a.apply(FACE) + 0.75 * b.apply(FACE)
    np.testing.assert_allclose(average_maps([a, b], [1, 3]).apply(FACE), expected, atol=1e-5)


def test_the_mean_of_two_rct_maps_lies_between_them_in_lab():
    a, b = _fits(ColorTransfer.RCT)
    expected = (a.apply(FACE) + b.apply(FACE)) / 2
    fitted = average_maps([a, b], [1, 1]).apply(FACE)
    assert np.abs(a.apply(FACE) - b.apply(FACE)).mean() > 0.05
    np.testing.assert_allclose(fitted, expected, atol=0.01)


def test_the_mean_of_lattices_of_different_places_continues_each_by_its_rim():
    dark, bright = skin(4, (0.35, 0.3, 0.25), 0.02), skin(5, (0.8, 0.7, 0.6), 0.02)
    a = fit_transfer(ColorTransfer.IDT_M, dark, dark + np.float32(0.05), DISC)
    b = fit_transfer(ColorTransfer.IDT_M, bright, bright - np.float32(0.03), DISC)
    mean = average_maps([a, b], [1, 1])
    for picture in (dark, bright):
        expected = (a.apply(picture) + b.apply(picture)) / 2
        np.testing.assert_allclose(mean.apply(picture), expected, atol=1e-5)


def test_the_mean_of_histogram_maps_is_the_mean_of_their_curves():
    a, b = (fit_histogram(FACE, reference, DISC) for reference in REFERENCES)
    expected = (a.apply(FACE) + b.apply(FACE)) / 2
    np.testing.assert_allclose(average_maps([a, b], [2, 2]).apply(FACE), expected, atol=1e-5)


def test_a_frame_without_a_fit_counts_for_nothing():
    a, _ = _fits(ColorTransfer.MKL_M)
    fitted = average_maps([IDENTITY, a, IDENTITY], [5, 1, 5]).apply(FACE)
    np.testing.assert_allclose(fitted, a.apply(FACE), atol=1e-6)
    assert average_maps([IDENTITY], [1]) is IDENTITY
    assert average_maps([a, IDENTITY], [0, 1]) is IDENTITY


def test_maps_of_different_methods_are_refused_by_name():
    rct, mkl = _fits(ColorTransfer.RCT)[0], _fits(ColorTransfer.MKL_M)[0]
    with pytest.raises(ParameterError, match="AffineMap, AffineMap in Lab"):
        average_maps([rct, mkl], [1, 1])


def test_a_wrong_number_of_weights_is_refused():
    a, b = _fits(ColorTransfer.MKL_M)
    with pytest.raises(ParameterError, match="2 colour maps come with 1 weights"):
        average_maps([a, b], [1])
    with pytest.raises(ParameterError, match="0 colour maps"):
        average_maps([], [])
