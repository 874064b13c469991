"""A mask's edges: erosion, feather and blur are what they say, and act smoothly."""

import cv2
import numpy as np
import pytest

from facegraft.merge.mask.edges import blurred, feathered, inset, resize_by

SIZE = 512
ONE_PX = 1000 / SIZE  # in permille


def _disc(radius: float, center: tuple[float, float] = (SIZE / 2, SIZE / 2)) -> np.ndarray:
    y, x = np.mgrid[0:SIZE, 0:SIZE] + 0.5
    distance = np.hypot(x - center[0], y - center[1])
    return np.clip(radius - distance + 0.5, 0, 1).astype(np.float32)


def _octagon(radius: int) -> np.ndarray:
    """The kernel that so many 3x3 steps sum to, a share of 1 / (1 + sqrt 2) of them squares."""
    squares = int(radius / (1 + np.sqrt(2)))
    y, x = np.abs(np.mgrid[-radius : radius + 1, -radius : radius + 1])
    diamond = np.maximum(x - squares, 0) + np.maximum(y - squares, 0)
    return (diamond <= radius - squares).astype(np.uint8)


def _brute(mask: np.ndarray, radius: int, grow: bool) -> np.ndarray:
    operation = cv2.dilate if grow else cv2.erode
    return operation(mask, _octagon(radius), borderType=cv2.BORDER_CONSTANT, borderValue=(0.0,))


@pytest.mark.parametrize("radius", [1, 2, 3, 7, 12, 33])
@pytest.mark.parametrize("place", [(256, 256), (40, 470)])  # the second leaves the square
def test_erosion_is_opencvs_with_an_octagon(radius, place):
    mask = cv2.GaussianBlur(_disc(90, place) - 0.5 * _disc(20, place), (0, 0), 3)
    amount = 2 * radius * ONE_PX
    np.testing.assert_array_equal(resize_by(mask, amount), _brute(mask, radius, grow=False))
    np.testing.assert_array_equal(resize_by(mask, -amount), _brute(mask, radius, grow=True))


def test_between_two_pixels_erosion_is_interpolated():
    mask = _disc(100)
    expected = 0.75 * _brute(mask, 9, grow=False) + 0.25 * _brute(mask, 10, grow=False)
    np.testing.assert_allclose(resize_by(mask, 2 * 9.25 * ONE_PX), expected, atol=1e-6)


def test_erosion_moves_the_edge_by_half_its_amount():
    """The amount is the disc's diameter: 80 permille take 40 permille of the side from a radius."""
    for amount in (80.0, -80.0):
        eroded = resize_by(_disc(150), amount)
        radius = 150 - amount / 2000 * SIZE
        assert eroded[SIZE // 2].sum() / 2 == pytest.approx(radius, abs=0.6)
        # an octagon stands in for the disc: 8 % of the step at most
        assert np.sqrt(eroded.sum() / np.pi) == pytest.approx(radius, abs=0.08 * 20.5)


def test_more_erosion_never_shows_more_and_small_changes_act_smoothly():
    mask = cv2.GaussianBlur(_disc(120), (0, 0), 4)
    amounts = np.arange(-30, 30.01, 0.75)
    areas = []
    for smaller, larger in zip(amounts[:-1], amounts[1:], strict=True):
        before, after = resize_by(mask, smaller), resize_by(mask, larger)
        assert (after <= before + 1e-6).all()
        areas.append(float(before.sum() - after.sum()))
    assert min(areas) > 0
    assert max(areas) < 2 * min(areas)  # no steps: the edge of a disc is longer where it is grown


def test_eroding_to_nothing_and_growing_to_everything_are_allowed():
    assert resize_by(_disc(50), 400).max() == 0
    assert resize_by(np.zeros((SIZE, SIZE), np.float32), -400).max() == 0
    assert resize_by(_disc(300), -400).min() == 1
    assert resize_by(np.ones((SIZE, SIZE), np.float32), 200)[: int(0.1 * SIZE)].max() == 0


def test_amounts_of_zero_leave_the_mask():
    mask = _disc(100)
    np.testing.assert_array_equal(resize_by(mask, 0), mask)
    np.testing.assert_array_equal(inset(mask, 0), mask)
    np.testing.assert_array_equal(feathered(mask, 0, 0, 0, 0), mask)
    np.testing.assert_array_equal(blurred(mask, 0), mask)


@pytest.mark.parametrize("kernel", [5, 21, 59, 121, 203])
def test_blur_is_the_gaussian_that_opencv_makes_of_that_kernel(kernel):
    mask, blur = _disc(100), kernel * ONE_PX
    expected = cv2.GaussianBlur(mask, (0, 0), 0.15 * kernel)
    assert np.abs(blurred(mask, blur) - expected).max() < 0.001
    if kernel > 50:  # OpenCV's own sigma for a kernel is 0.15 of it plus 0.35
        assert (
            np.abs(blurred(mask, blur) - cv2.GaussianBlur(mask, (kernel, kernel), 0)).max() < 0.02
        )


def test_blur_acts_smoothly_also_where_it_changes_to_a_smaller_picture():
    mask = _disc(100)
    steps = [blurred(mask, blur).astype(np.float64) for blur in range(26, 70)]
    changes = np.array([np.abs(b - a).sum() for a, b in zip(steps[:-1], steps[1:], strict=True)])
    assert changes.max() < 1.3 * changes.min()


def test_a_blurred_mask_is_all_but_empty_at_the_squares_border():
    for blur in (10.0, 30.0, 400.0):
        mask = blurred(inset(np.ones((SIZE, SIZE), np.float32), blur), blur)
        assert max(mask[0].max(), mask[-1].max(), mask[:, 0].max(), mask[:, -1].max()) < 0.01
        assert mask[SIZE // 2, SIZE // 2] == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("side", ["top", "bottom", "left", "right"])
def test_a_feather_ramps_from_the_masks_own_edge_and_leaves_the_rest(side):
    """A smoothstep over 128 px from the edge of a rectangle that does not touch the border."""
    turns = {"top": 0, "left": 1, "bottom": 2, "right": 3}[side]
    mask = np.zeros((SIZE, SIZE), np.float32)
    mask[100:400, 60:450] = 1
    t = np.clip((np.arange(SIZE) + 0.5 - 100) / 128, 0, 1)
    expected = mask * (3 * t**2 - 2 * t**3)[:, None]
    amounts = {"top": 0.0, "bottom": 0.0, "left": 0.0, "right": 0.0, side: 250.0}
    got = feathered(np.ascontiguousarray(np.rot90(mask, turns)), **amounts)
    assert got.dtype == np.float32
    np.testing.assert_allclose(np.rot90(got, -turns), expected, atol=1e-5)


def test_a_feather_follows_the_outline():
    """As deep under a disc's edge at its flank as at its top."""
    got = feathered(_disc(200), 100, 0, 0, 0)
    halves = []
    for x in (256, 156, 356):
        edge = 256 - np.sqrt(200**2 - (x + 0.5 - 256) ** 2)
        halves.append(np.argmax(got[:, x] > 0.5) - edge)
    np.testing.assert_allclose(halves, 0.5 * 0.1 * SIZE, atol=1.5)


def test_feathers_of_two_sides_multiply_and_start_from_nothing():
    mask = _disc(150)
    top, left = feathered(mask, 100, 0, 0, 0), feathered(mask, 0, 0, 200, 0)
    np.testing.assert_allclose(feathered(mask, 100, 0, 200, 0) * mask, top * left, atol=1e-6)
    soft = cv2.GaussianBlur(mask, (0, 0), 12)
    for shape in (mask, soft):
        changed = feathered(shape, 0.1, 0.1, 0.1, 0.1) - shape
        assert np.abs(changed).max() < 0.06  # where the shape itself is a fraction of a pixel


def test_dust_and_a_hand_do_not_move_a_feather():
    mask = _disc(120)
    disturbed = mask.copy()
    disturbed[5, 250:253] = 1
    disturbed[300:320, 150:400] = 0
    expected, got = feathered(mask, 150, 0, 0, 0), feathered(disturbed, 150, 0, 0, 0)
    np.testing.assert_allclose(got[120:300], expected[120:300], atol=0.03)
    np.testing.assert_allclose(got[320:], expected[320:], atol=0.25)  # the flanks' short columns
    assert np.abs(got - expected)[320:].mean() < 0.01


def test_an_empty_mask_stays_empty():
    empty = np.zeros((SIZE, SIZE), np.float32)
    assert blurred(feathered(resize_by(empty, -50), 10, 10, 10, 10), 50).max() == 0
