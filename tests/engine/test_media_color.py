"""The sRGB curve against IEC 61966-2-1 in double precision."""

import numpy as np
import pytest

from facegraft.media.color import srgb_decode, srgb_encode


def _encode(linear: np.ndarray) -> np.ndarray:
    x = np.abs(linear.astype(np.float64))
    curve = np.where(x <= 0.0031308, 12.92 * x, 1.055 * x ** (1 / 2.4) - 0.055)
    return np.copysign(curve, linear)


def _decode(encoded: np.ndarray) -> np.ndarray:
    x = np.abs(encoded.astype(np.float64))
    curve = np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)
    return np.copysign(curve, encoded)


VALUES = np.concatenate([np.linspace(-2, 20, 20001), np.geomspace(1e-8, 1e4, 2000)]).astype(
    np.float32
)


def test_both_directions_follow_the_formula_also_beyond_the_unit_range():
    np.testing.assert_allclose(srgb_encode(VALUES), _encode(VALUES), rtol=4e-6, atol=1e-7)
    np.testing.assert_allclose(srgb_decode(VALUES), _decode(VALUES), rtol=8e-6, atol=1e-7)


def test_a_round_trip_returns_the_value_to_float32_accuracy():
    np.testing.assert_allclose(srgb_decode(srgb_encode(VALUES)), VALUES, rtol=8e-6, atol=1e-8)


def test_all_8_and_16_bit_levels_survive_a_round_trip():
    for top in (255, 65535):
        levels = np.arange(top + 1)
        back = srgb_encode(srgb_decode((levels / top).astype(np.float32)))
        np.testing.assert_array_equal(np.rint(back * np.float64(top)), levels)


def test_negative_values_mirror_positive_ones_and_zero_stays_zero():
    np.testing.assert_array_equal(srgb_encode(-VALUES), -srgb_encode(VALUES))
    assert srgb_encode(np.zeros(1, np.float32))[0] == 0
    assert srgb_decode(np.zeros(1, np.float32))[0] == 0


def test_shape_is_kept_input_is_not_changed_and_empty_arrays_pass():
    image = np.full((3, 4, 3), 0.5, np.float32)
    assert srgb_encode(image[:, ::2]).shape == (3, 2, 3)
    assert (image == 0.5).all()
    assert srgb_decode(np.zeros((0, 5, 3), np.float32)).shape == (0, 5, 3)


@pytest.mark.parametrize("convert", [srgb_encode, srgb_decode])
def test_a_pixel_becomes_the_same_whatever_lies_beside_it(convert):
    """Pictures without negative or dark pixels take a shorter way; it leads to the same bits."""
    values = np.concatenate([np.linspace(-2, 5, 701), [-0.0, 0.0031308, 0.04045]])
    values = values.astype(np.float32)
    alone = np.concatenate([convert(values[i : i + 1]) for i in range(len(values))])
    assert np.array_equal(convert(values).view(np.uint32), alone.view(np.uint32))
    assert np.isnan(convert(np.array([0.5, np.nan], np.float32))).tolist() == [False, True]
