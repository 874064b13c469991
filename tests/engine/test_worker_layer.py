"""Colour and alpha between a host and the merge, against closed forms."""

import numpy as np
import pytest

from facegraft.media.color import srgb_decode, srgb_encode
from facegraft.worker.layer import detection_image, display_image, face_layer

WHOLE = (0, 0, 12, 8)


def picture(low: float, high: float) -> np.ndarray:
    """(8, 12, 4) float32 of random colour in a range, opaque."""
    rgba = np.random.default_rng(1).uniform(low, high, (8, 12, 4)).astype(np.float32)
    rgba[..., 3] = 1
    return rgba


def composite(layer: np.ndarray, upstream: np.ndarray) -> np.ndarray:
    """What a host does with the layer."""
    return layer[..., :3] + upstream[..., :3] * (1 - layer[..., 3:])


@pytest.mark.parametrize("color", ["scene_linear", "display"])
@pytest.mark.parametrize("low, high", [(0, 1), (-0.5, 4)])
def test_the_composite_is_what_the_merge_gave(color, low, high):
    """To 1e-6, or a few units in the last place of values above 1."""
    rgba = picture(low, high)
    merged = np.random.default_rng(2).uniform(low, high, (8, 12, 3)).astype(np.float32)
    matte = np.random.default_rng(3).uniform(0.01, 1, (8, 12)).astype(np.float32)
    expected = srgb_decode(merged) if color == "scene_linear" else merged
    out = composite(face_layer(rgba, merged, matte, color), rgba)
    assert np.abs(out - expected).max() <= 1e-6 * max(1, np.abs(expected).max())


@pytest.mark.parametrize("color", ["scene_linear", "display"])
def test_without_matte_the_layer_is_zero_and_upstream_stays_to_the_bit(color):
    """Also where the merge's round trip through sRGB moved the pixel."""
    rgba = picture(-3, 50)
    matte = np.zeros((8, 12), np.float32)
    matte[2:4] = 0.5
    layer = face_layer(rgba, display_image(rgba, color, WHOLE) + 0.01, matte, color)
    assert not layer[matte == 0].any() and layer[matte > 0].all()
    outside = composite(layer, rgba)[matte == 0]
    assert np.array_equal(outside.view(np.uint32), rgba[matte == 0][:, :3].copy().view(np.uint32))


@pytest.mark.parametrize("color", ["scene_linear", "display"])
def test_a_premultiplied_pixel_keeps_its_alpha(color):
    """The network sees straight colour; the composite is the merged colour times upstream alpha."""
    straight = picture(0.1, 1)
    alpha = np.linspace(0.05, 0.95, 12, dtype=np.float32)[None, :]
    premultiplied = straight * alpha[..., None]
    seen = display_image(premultiplied, color, WHOLE)
    assert np.allclose(seen, display_image(straight, color, WHOLE), atol=1e-6)
    merged = np.full((8, 12, 3), 0.25, np.float32)
    matte = np.full((8, 12), 0.75, np.float32)
    out = composite(face_layer(premultiplied, merged, matte, color), premultiplied)
    expected = srgb_decode(merged) if color == "scene_linear" else merged
    assert np.allclose(out, expected * alpha[..., None], atol=1e-6)


def test_where_upstream_alpha_is_zero_there_is_no_layer():
    """A keyed-out background shows no face; its colour, if any, passes through."""
    rgba = picture(0, 1)
    rgba[:4, :, 3] = 0
    layer = face_layer(
        rgba, np.ones((8, 12, 3), np.float32), np.ones((8, 12), np.float32), "display"
    )
    assert not layer[:4].any() and (layer[4:, :, 3] == 1).all()


def test_the_detector_sees_the_display_picture_in_8_bits():
    """A linear ramp through the sRGB curve, rounded; values outside 0..1 and NaN are clipped."""
    ramp = np.linspace(-0.5, 2, 256, dtype=np.float32)
    rgba = np.ones((1, 256, 4), np.float32)
    rgba[..., :3] = ramp[None, :, None]
    expected = np.rint(srgb_encode(np.clip(ramp, 0, 1)) * 255).astype(np.uint8)
    assert np.array_equal(detection_image(rgba, "scene_linear")[0, :, 1], expected)
    assert np.array_equal(
        detection_image(rgba, "display")[0, :, 0],
        np.rint(np.clip(ramp, 0, 1) * 255).astype(np.uint8),
    )
    rgba[0, 0] = (np.nan, np.inf, -np.inf, 1)
    assert detection_image(rgba, "scene_linear")[0, 0].tolist() == [0, 255, 0]


def test_infinite_and_missing_values_never_make_a_layer_infinite():
    """A host's broken pixel stays where it is and does not spread."""
    rgba = picture(0, 1)
    rgba[0, 0, :3] = (np.nan, np.inf, -np.inf)
    rgba[1, 1, 3] = np.nan
    for color in ("scene_linear", "display"):
        image = display_image(rgba, color, WHOLE)
        layer = face_layer(rgba, image, np.full((8, 12), 0.5, np.float32), color)
        assert np.isfinite(image).all() and np.isfinite(layer).all()


def test_only_the_rectangle_is_converted():
    """The rest of the display picture is zero: it is not looked at."""
    rgba = picture(0.1, 1)
    image = display_image(rgba, "scene_linear", (3, 2, 9, 6))
    assert np.array_equal(image[2:6, 3:9], srgb_encode(rgba[2:6, 3:9, :3]))
    assert np.count_nonzero(image) == 4 * 6 * 3
