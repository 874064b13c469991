"""Flow of colours and its lattice, against closed forms and SciPy's interpolation."""

import numpy as np
from scipy.interpolate import RegularGridInterpolator
from scipy.linalg import sqrtm

from facegraft.merge.color.lattice import LatticeMap, fit_lattice
from facegraft.merge.color.transfer import fit_transfer
from facegraft.merge.color.transport import SOT_LINES, flow, sot_bundles
from facegraft.merge.params import ColorTransfer
from tests.engine.color_pictures import skin, soft_disc

GREY, RED_BLUE, GREEN = ([1, 1, 1], [1, 0, -1], [1, -2, 1])


def test_flow_between_two_gaussians_is_the_linear_optimal_map():
    """Whose closed form is A^-1/2 (A^1/2 B A^1/2)^1/2 A^-1/2 about the means."""
    rng = np.random.default_rng(1)
    a = np.array([[4, 2, 1], [2, 3, 1], [1, 1, 2]]) * 1e-3
    b = np.array([[3, 0, -1], [0, 2, 0], [-1, 0, 5]]) * 1e-3
    source = rng.multivariate_normal([0.5, 0.4, 0.3], a, 4096)
    target = rng.multivariate_normal([0.4, 0.45, 0.5], b, 4096)
    root = np.real(sqrtm(a))
    inverse = np.linalg.inv(root)
    matrix = inverse @ np.real(sqrtm(root @ b @ root)) @ inverse
    expected = (source - [0.5, 0.4, 0.3]) @ matrix.T + [0.4, 0.45, 0.5]
    moved = flow(source, target, source, sot_bundles(), 1 / SOT_LINES)
    error = np.sqrt(np.mean(np.sum((moved - expected) ** 2, axis=1)))
    distance = np.sqrt(np.mean(np.sum((expected - source) ** 2, axis=1)))
    assert distance > 0.2
    assert error < 0.07 * distance


def test_flow_along_one_line_gives_the_kth_smallest_the_kth_smallest_place():
    rng = np.random.default_rng(2)
    source, target = rng.random((2000, 1)), 1 + 2 * rng.random((2000, 1)) ** 2
    expected = np.empty_like(source)
    expected[source[:, 0].argsort(), 0] = np.sort(target[:, 0])
    moved = flow(source, target, source, np.ones((1, 1, 1)), 1.0)
    assert np.abs(moved - expected).max() < 0.05
    assert np.abs(moved - expected).mean() < 0.005


def test_a_lattice_looks_up_what_scipy_interpolates_in_its_opponent_axes():
    rng = np.random.default_rng(3)
    first, shape, step = np.array([5, -6, -4]), (9, 7, 5), np.array([0.03, 0.02, 0.02])
    shifts = rng.normal(0, 0.05, (*shape, 3)).astype(np.float32)
    axes = np.array([GREY, RED_BLUE, GREEN]) / np.sqrt([[3], [2], [6]])
    image = rng.random((40, 50, 3), np.float32) * 0.4 + 0.05
    places = image.reshape(-1, 3) @ axes.T / step - first
    inside = np.clip(places, 0, np.array(shape) - 1)  # beyond it the rim holds
    assert (inside == places).all(axis=1).sum() > 5
    nodes = [np.arange(n) for n in shape]
    expected = RegularGridInterpolator(nodes, shifts.astype(np.float64))(inside)
    change = LatticeMap(first, shifts).change(image)
    np.testing.assert_allclose(change.reshape(-1, 3), expected, atol=2e-5)


def test_a_lattice_holds_a_smooth_map_over_the_colours_that_it_is_made_for():
    colors = skin(1, (0.5, 0.4, 0.35), 0.06)

    def warmed(nodes: np.ndarray) -> np.ndarray:
        return nodes ** np.array([0.8, 1.0, 1.3], np.float32)

    lattice = fit_lattice(colors.reshape(-1, 3), warmed)
    assert np.abs(lattice.apply(colors) - warmed(colors)).mean() < 1 / 255
    assert np.abs(lattice.apply(colors) - warmed(colors)).max() < 6 / 255  # at its rim


def test_a_distribution_transfer_of_a_brightened_picture_darkens_it_back():
    """Rank to rank a monotone curve is undone, whatever the picture shows."""
    picture = skin(4, (0.45, 0.4, 0.35), 0.06)
    bright = picture ** np.float32(0.7)
    fitted = fit_transfer(ColorTransfer.IDT_M, bright, picture, soft_disc()).apply(bright)
    inside = soft_disc() > 0.5
    assert np.abs(bright - picture)[inside].mean() > 20 / 255
    assert np.abs(fitted - picture)[inside].mean() < 2.5 / 255
