"""Grain is measured and matched: strength per channel, size, light, against synthetic grain.

The grain to be found is made by numpy and scipy, not by the code under test.
"""

from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from scipy import ndimage

from facegraft.merge.detail.grain import NO_GRAIN, lacking_grain, measure_grain, synthesize

COVARIANCE = np.array([[4, 2, 1], [2, 3, 1], [1, 1, 5]]) * 1e-4  # deviations of 4 to 6 grey levels
SIDE = 288


def scene(side: int = SIDE) -> np.ndarray:
    """Soft shading, a hard edge and a dark corner: flat parts and others, luma 0.2 to 0.7."""
    y, x = np.mgrid[:side, :side] / side
    image = np.stack([0.35 + 0.3 * x, 0.5 - 0.2 * y, 0.4 + 0.1 * x * y], axis=2)
    image[:, : side // 6] *= 0.6
    return image.astype(np.float32)


def grain(size_px: float, seed: int, covariance: np.ndarray = COVARIANCE) -> np.ndarray:
    """(SIDE, SIDE, 3) of exactly that model: white noise, softened, unit variance, mixed."""
    noise = np.random.default_rng(seed).standard_normal((SIDE, SIDE, 3))
    if size_px:
        noise = ndimage.gaussian_filter(noise, (size_px, size_px, 0), mode="wrap")
        impulse = np.zeros((65, 65))
        impulse[32, 32] = 1
        noise /= np.sqrt(np.square(ndimage.gaussian_filter(impulse, size_px)).sum())
    return (noise @ np.linalg.cholesky(covariance).T).astype(np.float32)


def likeness(noise: np.ndarray) -> float:
    """Correlation of neighbours along rows, mean of the channels."""
    a, b = noise[:, 1:].reshape(-1, 3), noise[:, :-1].reshape(-1, 3)
    return float(np.mean([np.corrcoef(a[:, c], b[:, c])[0, 1] for c in range(3)]))


def covariance_of(noise: np.ndarray) -> np.ndarray:
    return np.cov(noise.reshape(-1, 3).T)


def add_grain(
    image: np.ndarray, reference: np.ndarray, weights: np.ndarray, amount: float, seed: int
) -> np.ndarray:
    """As the merge adds it."""
    return image + np.float32(amount) * lacking_grain(image, reference, weights, seed)


EVERYWHERE = np.ones((SIDE, SIDE), np.float32)


@pytest.mark.parametrize("size_px", [0.0, 0.6, 1.0, 1.5])
def test_grain_is_measured_as_it_was_made(size_px):
    """Covariance within 10 % of its trace, size within a fifth of a pixel where it can be told:
    below 0.35 px a Gaussian touches no neighbour."""
    found = measure_grain(scene() + grain(size_px, 1))
    assert np.abs(found.covariance - COVARIANCE).max() < 0.1 * np.trace(COVARIANCE) / 3
    assert found.size_px == pytest.approx(size_px, abs=0.2 if size_px else 0.36)


@pytest.mark.parametrize("size_px", [0.0, 0.6, 1.0, 1.5])
def test_a_clean_face_gets_the_grain_of_the_frame(size_px):
    """Covariance of what was added within 12 % of the frame's own, correlation of neighbours
    within 0.06: the eye sees neither."""
    there = grain(size_px, 2)
    added = add_grain(scene(), scene() + there, EVERYWHERE, 1.0, seed=5) - scene()
    assert np.abs(covariance_of(added) - covariance_of(there)).max() < 0.12 * 4e-4
    assert likeness(added) == pytest.approx(likeness(there), abs=0.06)


def test_a_face_with_some_grain_gets_only_what_it_lacks():
    """Variances add up: with half of it there, half is added, and the sum is the frame's."""
    own = grain(0.8, 3, COVARIANCE / 2)
    face = scene() + own
    result = add_grain(face, scene() + grain(0.8, 4), EVERYWHERE, 1.0, seed=6)
    half = covariance_of(result - face)
    assert np.abs(half - COVARIANCE / 2).max() < 0.12 * 4e-4
    assert np.abs(covariance_of(result - scene()) - COVARIANCE).max() < 0.12 * 4e-4


def test_a_face_grainier_than_its_frame_is_left_alone():
    """There is nothing to add; taking noise away is another control."""
    face = scene() + grain(0.8, 7, 2 * COVARIANCE)
    np.testing.assert_array_equal(face, add_grain(face, scene() + grain(0.8, 8), EVERYWHERE, 1, 9))


def test_only_the_channels_that_lack_grain_get_it():
    """A face with its own red grain in a frame with as much of red and more of blue."""
    red, blue = np.diag([3e-4, 1e-9, 1e-9]), np.diag([3e-4, 1e-9, 5e-4])
    face = scene() + grain(0.0, 10, red)
    added = add_grain(face, scene() + grain(0.0, 11, blue), EVERYWHERE, 1.0, 12) - face
    found = covariance_of(added)
    assert found[2, 2] == pytest.approx(5e-4, rel=0.1)
    assert found[0, 0] < 0.3e-4 and found[1, 1] < 0.1e-4


def test_grain_follows_the_light():
    """Variance in proportion to luma, as photons give: twice as much where it is twice as light."""
    luma = np.linspace(0.2, 0.8, SIDE, dtype=np.float32)[None, :, None]
    base = np.broadcast_to(luma, (SIDE, SIDE, 3)).astype(np.float32)
    shot = np.random.default_rng(13).standard_normal(base.shape).astype(np.float32)
    reference = base + shot * np.sqrt(luma * 1e-3)
    added = add_grain(base, reference, EVERYWHERE, 1.0, seed=14) - base
    dark, light = (
        float(np.square(added[:, part]).mean()) for part in (slice(20, 70), slice(-70, -20))
    )
    wanted = [float(luma[0, part].mean()) * 1e-3 for part in (slice(20, 70), slice(-70, -20))]
    assert dark == pytest.approx(wanted[0], rel=0.25)
    assert light == pytest.approx(wanted[1], rel=0.25)


@pytest.mark.parametrize("amount", [0.0, 0.5, 2.0])
def test_amount_scales_the_strength(amount):
    """Half the deviation, twice the deviation, nothing at all; the same noise each time."""
    reference = scene() + grain(0.6, 15)
    once = add_grain(scene(), reference, EVERYWHERE, 1.0, seed=16) - scene()
    result = add_grain(scene(), reference, EVERYWHERE, amount, seed=16) - scene()
    np.testing.assert_allclose(result, once * amount, atol=1e-5)


def test_grain_hangs_on_the_frame_alone():
    """Equal seeds give equal grain, on one thread and on four at once, whatever OpenCV and numpy
    drew before; another frame's has nothing to do with it."""
    reference = scene() + grain(1.0, 17)

    def grained(seed: int) -> np.ndarray:
        return add_grain(scene(), reference, EVERYWHERE, 1.0, seed)

    alone = [grained(seed) for seed in range(4)]
    cv2.setRNGSeed(99)
    np.random.default_rng(5).random(1000)
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(grained, range(4)))
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one, other)
    first, second = ((picture - scene()).ravel() for picture in alone[:2])
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.02


def test_synthetic_grain_has_unit_variance_at_every_size():
    """Softening white noise takes variance away, which is given back."""
    for size_px in (0.0, 0.4, 1.0, 2.0):
        noise = synthesize((SIDE, SIDE), size_px, seed=18)
        assert (SIDE, SIDE, 3) == noise.shape and noise.dtype == np.float32
        assert float(noise.var()) == pytest.approx(1, abs=0.05)


def test_edges_and_texture_are_not_taken_for_grain():
    """A clean scene with its hard edge and a field of stripes has next to none."""
    image = scene()
    image[: SIDE // 3, SIDE // 3 :: 6] += 0.2
    deviation = np.sqrt(np.diag(measure_grain(image).covariance))
    assert (deviation < 0.5 / 255).all()
    noisy = measure_grain(image + grain(0.7, 19))
    assert np.abs(noisy.covariance - COVARIANCE).max() < 0.15 * 4e-4


def test_burnt_and_black_parts_do_not_count():
    """They lost their grain in the camera; the rest tells."""
    image = np.clip(scene() + grain(0.7, 20), 0, 1)
    image[:, : SIDE // 2] = 1.0
    image[:, SIDE // 2 : SIDE * 5 // 8] = 0.0
    found = measure_grain(image)
    assert np.abs(found.covariance - COVARIANCE).max() < 0.15 * 4e-4


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_a_frame_without_grain_or_too_small_to_tell_adds_none(value):
    """Graphics, black frames and faces of a few pixels."""
    face = scene()[:40, :40]
    for side in (40, 6):
        face = face[:side, :side]
        flat = np.full_like(face, value)
        result = add_grain(face, flat, np.ones((side, side), np.float32), 1.0, seed=21)
        np.testing.assert_allclose(result, face, atol=1e-6)
    assert NO_GRAIN is measure_grain(scene()[:6, :6])


def test_highlights_keep_their_value():
    """The face is not clipped: a highlight of 4 stays about 4."""
    face = scene()
    face[100:150, 100:150] = 4.0
    result = add_grain(face, scene() + grain(0.7, 22), EVERYWHERE, 1.0, seed=23)
    assert 3.8 < float(result[100:150, 100:150].min()) and float(result.max()) > 4.0


def test_a_backdrop_with_other_grain_has_no_say():
    """A graphic or a still behind the face: what lies under the face counts."""
    there = grain(0.7, 24)
    weights = np.zeros((SIDE, SIDE), np.float32)
    weights[60:-60, 60:-60] = 1
    reference = scene() + there * weights[..., None]
    added = (add_grain(scene(), reference, weights, 1.0, seed=25) - scene())[60:-60, 60:-60]
    assert np.abs(covariance_of(added) - COVARIANCE).max() < 0.15 * 4e-4
