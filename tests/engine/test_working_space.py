"""Working spaces against published matrices and code values, and their round trips."""

import numpy as np
import pytest

from facegraft.errors import ParameterError
from facegraft.media.color import srgb_encode
from facegraft.media.working_space import (
    DISPLAY,
    SPACE_NAMES,
    name_for,
    open_space,
    rgb_to_rgb,
)


def skin_and_lights(seed: int = 0) -> np.ndarray:
    """(4000, 3) float32 light from deep shadow to 100 times white, no channel under a 50th of
    another, as pictures have it."""
    rng = np.random.default_rng(seed)
    return (rng.uniform(0.02, 1, (4000, 3)) * 10 ** rng.uniform(-3, 2, (4000, 1))).astype(
        np.float32
    )


def test_the_display_space_gives_the_very_array():
    image = np.array([[[-1.0, 0.5, 7.0]]], np.float32)
    assert open_space("display") == DISPLAY and DISPLAY.is_display
    assert DISPLAY.to_display(image) is image and DISPLAY.from_display(image) is image


@pytest.mark.parametrize("name", [n for n in SPACE_NAMES if not n.startswith("rec2100")])
def test_light_comes_back_within_2e_5_of_the_pixels_largest_channel(name):
    space, light = open_space(name), skin_and_lights()
    kept = light.copy()
    back = space.from_display(space.to_display(light))
    assert (np.abs(back - light) / light.max(axis=1, keepdims=True)).max() < 2e-5
    np.testing.assert_array_equal(light, kept)


@pytest.mark.parametrize("name", ["linear_rec709", "linear_rec2020", "acescg", "aces2065_1"])
def test_negative_light_comes_back_too(name):
    space, light = open_space(name), -skin_and_lights()
    back = space.from_display(space.to_display(light))
    assert (np.abs(back - light) / np.abs(light).max(axis=1, keepdims=True)).max() < 2e-5


@pytest.mark.parametrize("name", ["rec2100_pq", "rec2100_hlg"])
def test_hdr_signals_come_back_within_a_tenth_of_a_10_bit_step(name):
    grey = np.random.default_rng(0).uniform(0.1, 0.9, (4000, 1))
    signal = (grey + np.random.default_rng(1).uniform(-0.08, 0.08, (4000, 3))).astype(np.float32)
    space = open_space(name)
    back = space.from_display(space.to_display(signal))
    assert np.abs(back - signal).max() < 0.1 / 1023


def test_white_and_grey_stay_neutral_in_every_space():
    light = np.repeat(np.array([[0.18], [1.0], [4.0]], np.float32), 3, axis=1)
    for name in ("linear_rec709", "linear_rec2020", "acescg", "aces2065_1"):
        shown = open_space(name).to_display(light)
        np.testing.assert_allclose(shown, srgb_encode(light), rtol=3e-6)


def test_the_matrices_are_those_that_aces_and_bt2087_publish():
    ap1 = [
        [1.70505, -0.62179, -0.08326],
        [-0.13026, 1.14080, -0.01055],
        [-0.02400, -0.12897, 1.15297],
    ]
    np.testing.assert_allclose(rgb_to_rgb("ap1", "bt709"), ap1, atol=2e-5)
    bt2087 = [[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]]
    np.testing.assert_allclose(rgb_to_rgb("bt709", "bt2020"), bt2087, atol=6e-5)


def test_pq_code_values_are_those_of_bt2408():
    """203 cd/m2 is signal 0.58 (58 %), 100 cd/m2 0.51, 1000 cd/m2 0.75; ST 2084's own table."""
    space = open_space("rec2100_pq")
    light = np.repeat(
        np.array([[100.0], [203.0], [1000.0], [10000.0]], np.float32) / 203, 3, axis=1
    )
    signal = space.from_display(srgb_encode(light))[:, 0]
    np.testing.assert_allclose(signal, [0.508, 0.5807, 0.7518, 1.0], atol=1e-4)
    white = space.to_display(np.full((1, 3), 0.58069, np.float32))
    np.testing.assert_allclose(white, 1, atol=1e-4)


def test_hlg_code_values_are_those_of_bt2408():
    """Signal 0.75 is HDR reference white, 0.5 is a twelfth of full scene light, 1 all of it."""
    space = open_space("rec2100_hlg")
    signal = np.repeat(np.array([[0.5], [0.75], [1.0]], np.float32), 3, axis=1)
    reference = (np.exp((0.75 - 0.55991073) / 0.17883277) + 0.28466892) / 12
    expected = srgb_encode(np.array([1 / 12, reference, 1], np.float32) / np.float32(reference))
    np.testing.assert_allclose(space.to_display(signal)[:, 0], expected, rtol=1e-5)


def test_names_are_understood_as_hosts_write_them():
    for written, name in (
        ("Linear Rec.709", "linear_rec709"),
        ("ACEScg", "acescg"),
        ("Linear Rec.2020", "linear_rec2020"),
        ("aces2065-1", "aces2065_1"),
        ("Display", "display"),
    ):
        assert open_space(written).name == name
    with pytest.raises(ParameterError, match=r"'log'; known: display, linear_rec709.*ocio:"):
        open_space("log")


def test_tags_choose_the_space():
    assert name_for("bt709", "linear") == "linear_rec709"
    assert name_for("ap1", "linear") == "acescg"
    assert name_for("smpte432", "linear") == "linear_rec709"
    assert name_for("bt2020", "smpte2084") == "rec2100_pq"
    assert name_for("bt2020", "arib-std-b67") == "rec2100_hlg"
    assert name_for("bt709", "bt709") == name_for("", "") == "display"


def test_pictures_of_no_pixels_pass():
    for name in SPACE_NAMES:
        space, nothing = open_space(name), np.zeros((0, 5, 3), np.float32)
        assert space.to_display(nothing).shape == space.from_display(nothing).shape == (0, 5, 3)
