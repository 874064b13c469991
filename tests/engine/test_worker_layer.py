"""Colour and alpha between a host and the merge, against closed forms."""

import numpy as np
import pytest

from facegraft.media.color import srgb_encode
from facegraft.media.working_space import WorkingSpace, open_space
from facegraft.worker import layer as layers
from facegraft.worker.layer import detection_image, display_image

LINEAR, DISPLAY = open_space("linear_rec709"), open_space("display")
SPACES = [LINEAR, DISPLAY, open_space("acescg")]

WHOLE = (0, 0, 12, 8)


def picture(low: float, high: float) -> np.ndarray:
    """(8, 12, 4) float32 of random colour in a range, opaque."""
    rgba = np.random.default_rng(1).uniform(low, high, (8, 12, 4)).astype(np.float32)
    rgba[..., 3] = 1
    return rgba


def face_layer(
    rgba: np.ndarray, merged: np.ndarray, matte: np.ndarray, space: WorkingSpace
) -> np.ndarray:
    out = np.full((*matte.shape, 4), np.nan, np.float32)
    layers.face_layer(rgba, merged, matte, space, out)
    return out


def patch_layer(
    rgba: np.ndarray, face: np.ndarray | None, matte: np.ndarray, space: WorkingSpace
) -> np.ndarray:
    out = np.full((*matte.shape, 4), np.nan, np.float32)
    height, width = matte.shape
    below = display_image(rgba, space, (0, 0, width, height))
    layers.patch_layer(rgba, below, face, matte, space, out)
    return out


def composite(layer: np.ndarray, upstream: np.ndarray) -> np.ndarray:
    """What a host does with the layer."""
    return layer[..., :3] + upstream[..., :3] * (1 - layer[..., 3:])


@pytest.mark.parametrize("space", SPACES, ids=lambda s: s.name)
@pytest.mark.parametrize("low, high", [(0, 1), (-0.5, 4)])
def test_the_composite_is_what_the_merge_gave(space, low, high):
    """To 1e-6, or a few units in the last place of values above 1."""
    rgba = picture(low, high)
    merged = np.random.default_rng(2).uniform(low, high, (8, 12, 3)).astype(np.float32)
    matte = np.random.default_rng(3).uniform(0.01, 1, (8, 12)).astype(np.float32)
    expected = space.from_display(merged)
    out = composite(face_layer(rgba, merged, matte, space), rgba)
    assert np.abs(out - expected).max() <= 1e-6 * max(1, np.abs(expected).max())


@pytest.mark.parametrize("space", SPACES, ids=lambda s: s.name)
def test_without_matte_the_layer_is_zero_and_upstream_stays_to_the_bit(space):
    """Also where the merge's round trip through sRGB moved the pixel."""
    rgba = picture(-3, 50)
    matte = np.zeros((8, 12), np.float32)
    matte[2:4] = 0.5
    layer = face_layer(rgba, display_image(rgba, space, WHOLE) + 0.01, matte, space)
    assert not layer[matte == 0].any() and layer[matte > 0].all()
    outside = composite(layer, rgba)[matte == 0]
    assert np.array_equal(outside.view(np.uint32), rgba[matte == 0][:, :3].copy().view(np.uint32))


@pytest.mark.parametrize("space", SPACES, ids=lambda s: s.name)
def test_a_premultiplied_pixel_keeps_its_alpha(space):
    """The network sees straight colour; the composite is the merged colour times upstream alpha."""
    straight = picture(0.1, 1)
    alpha = np.linspace(0.05, 0.95, 12, dtype=np.float32)[None, :]
    premultiplied = straight * alpha[..., None]
    seen = display_image(premultiplied, space, WHOLE)
    assert np.allclose(seen, display_image(straight, space, WHOLE), atol=1e-6)
    merged = np.full((8, 12, 3), 0.25, np.float32)
    matte = np.full((8, 12), 0.75, np.float32)
    out = composite(face_layer(premultiplied, merged, matte, space), premultiplied)
    expected = space.from_display(merged)
    assert np.allclose(out, expected * alpha[..., None], atol=1e-6)


def test_where_upstream_alpha_is_zero_there_is_no_layer():
    """A keyed-out background shows no face; its colour, if any, passes through."""
    rgba = picture(0, 1)
    rgba[:4, :, 3] = 0
    layer = face_layer(rgba, np.ones((8, 12, 3), np.float32), np.ones((8, 12), np.float32), DISPLAY)
    assert not layer[:4].any() and (layer[4:, :, 3] == 1).all()


def test_the_detector_sees_the_display_picture_in_8_bits():
    """A linear ramp through the sRGB curve, rounded; values outside 0..1 and NaN are clipped."""
    ramp = np.linspace(-0.5, 2, 256, dtype=np.float32)
    rgba = np.ones((1, 256, 4), np.float32)
    rgba[..., :3] = ramp[None, :, None]
    expected = np.rint(srgb_encode(np.clip(ramp, 0, 1)) * 255).astype(np.uint8)
    assert np.array_equal(detection_image(rgba, LINEAR)[0, :, 1], expected)
    assert np.array_equal(
        detection_image(rgba, DISPLAY)[0, :, 0],
        np.rint(np.clip(ramp, 0, 1) * 255).astype(np.uint8),
    )
    rgba[0, 0] = (np.nan, np.inf, -np.inf, 1)
    assert detection_image(rgba, LINEAR)[0, 0].tolist() == [0, 255, 0]


def test_infinite_and_missing_values_never_make_a_layer_infinite():
    """A host's broken pixel stays where it is and does not spread."""
    rgba = picture(0, 1)
    rgba[0, 0, :3] = (np.nan, np.inf, -np.inf)
    rgba[1, 1, 3] = np.nan
    half = np.full((8, 12), 0.5, np.float32)
    for space in SPACES:
        image = display_image(rgba, space, WHOLE)
        for layer in (
            face_layer(rgba, image, half, space),
            patch_layer(rgba, np.zeros_like(image), half, space),
        ):
            assert np.isfinite(image).all() and np.isfinite(layer).all()


@pytest.mark.parametrize("space", SPACES, ids=lambda s: s.name)
@pytest.mark.parametrize("has_alpha", [False, True])
def test_the_quick_way_of_one_face_equals_the_way_of_many(space, has_alpha):
    """Hard, soft and empty parts of a matte, over premultiplied pixels as well."""
    rgba = picture(-0.2, 2)
    if has_alpha:
        rgba[..., 3] = np.linspace(0, 1, 12, dtype=np.float32)
        rgba[..., :3] *= rgba[..., 3:]
    matte = np.random.default_rng(3).uniform(-0.5, 1.5, (8, 12)).clip(0, 1).astype(np.float32)
    face = np.random.default_rng(2).uniform(0, 1, (8, 12, 3)).astype(np.float32)
    below = display_image(rgba, space, WHOLE)
    part = matte[..., None]
    for laid in (face, None):
        merged = below if laid is None else below * (1 - part) + laid * part
        expected = face_layer(rgba, merged, matte, space)
        np.testing.assert_allclose(
            patch_layer(rgba, laid, matte, space), expected, rtol=1e-4, atol=2e-5
        )


@pytest.mark.parametrize("space", [LINEAR, DISPLAY], ids=lambda s: s.name)
@pytest.mark.parametrize("top, left, bottom, right", [(2, 3, 6, 9), (0, 0, 8, 1), (7, 11, 8, 12)])
def test_around_a_matte_smaller_than_the_rectangle_the_layer_is_zero(
    space, top, left, bottom, right, monkeypatch
):
    """In bands that hold none of it, and beside it in those that do."""
    rgba, matte = picture(0.2, 1), np.zeros((8, 12), np.float32)
    matte[top:bottom, left:right] = 0.5
    for band_px in (1, 24, 1 << 14):
        monkeypatch.setattr(layers, "_BAND_PX", band_px)
        for laid in (np.full((8, 12, 3), 0.9, np.float32), None):
            layer = patch_layer(rgba, laid, matte, space)
            assert np.array_equal(layer[..., 3], matte)
            assert np.array_equal(layer[..., :3].any(axis=2), matte > 0)


def test_a_layer_is_the_same_however_many_rows_a_band_has(monkeypatch):
    rgba = picture(0, 2)
    matte = np.random.default_rng(3).uniform(0, 1, (8, 12)).astype(np.float32)
    whole = face_layer(rgba, display_image(rgba, LINEAR, WHOLE) * 0.5, matte, LINEAR)
    monkeypatch.setattr(layers, "_BAND_PX", 1)
    bands = face_layer(rgba, display_image(rgba, LINEAR, WHOLE) * 0.5, matte, LINEAR)
    np.testing.assert_allclose(bands, whole, atol=1e-6)


def test_only_the_rectangle_is_converted():
    """The rest of the display picture is zero: it is not looked at."""
    rgba = picture(0.1, 1)
    image = display_image(rgba, LINEAR, (3, 2, 9, 6))
    assert np.array_equal(image[2:6, 3:9], srgb_encode(rgba[2:6, 3:9, :3]))
    assert np.count_nonzero(image) == 4 * 6 * 3
