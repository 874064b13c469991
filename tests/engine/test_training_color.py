"""Colour augmentation against OpenCV and against the published formulas, written out in numpy."""

import cv2
import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from facegraft.training.color_augment import blur_out, draw_hsv, shift_hsv
from facegraft.training.color_transfer import (
    by_lattice,
    draw_axes,
    move_by_histograms,
    move_by_sorting,
    sample_face,
    transfer_color,
)
from facegraft.training.kinds import ColorTransfer
from facegraft.training.lab import lab_to_rgb, rgb_to_lab

R = 64
METHODS = [method for method in ColorTransfer if method is not ColorTransfer.NONE]
LINEAR = [ColorTransfer.RCT, ColorTransfer.LCT, ColorTransfer.MKL]


def generator(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def portrait(seed: int, tint: tuple[float, float, float], spread: float) -> np.ndarray:
    """(R, R, 3) float32 RGB: a textured disc of a tint before a green wall."""
    rng = np.random.default_rng(seed)
    texture = rng.normal(0, spread, (R, R, 1)) + rng.normal(0, spread / 3, (R, R, 3))
    face = np.clip(np.array(tint) + texture * (1.0, 0.8, 0.6), 0, 1)
    return np.where(disc()[..., None] > 0, face, (0.1, 0.9, 0.1)).astype(np.float32)


def disc() -> np.ndarray:
    y, x = np.mgrid[:R, :R]
    return (np.hypot(x - R / 2, y - R / 2) < R / 3).astype(np.float32)


def planes(*images: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.stack(images)).movedim(-1, 1).contiguous()


FACES = planes(portrait(1, (0.7, 0.5, 0.4), 0.05), portrait(2, (0.4, 0.3, 0.25), 0.08))
OTHERS = planes(portrait(3, (0.5, 0.45, 0.5), 0.1), portrait(4, (0.6, 0.4, 0.3), 0.04))
MASKS = torch.from_numpy(disc()).expand(2, 1, R, R)


def moved(method: ColorTransfer, masks: torch.Tensor = MASKS) -> torch.Tensor:
    return transfer_color(method, FACES, masks, OTHERS, masks, draw_axes(method, generator()))


def colors(pictures: torch.Tensor, number: int) -> np.ndarray:
    """(P, 3) float64 of the pixels under the mask."""
    return pictures[number].movedim(0, -1).double().numpy()[disc() > 0]


def lab(picture: torch.Tensor) -> np.ndarray:
    """(H, W, 3) by OpenCV, from exactly linearised values: its own curve is a coarse table."""
    rgb = picture.movedim(0, -1).double().numpy()
    light = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return cv2.cvtColor(light.astype(np.float32), cv2.COLOR_LRGB2Lab)


def test_lab_is_that_of_opencv_and_comes_back():
    """On random colours, black and white."""
    noise = torch.rand(1, 3, 16, 16, generator=generator())
    noise[0, :, 0, 0], noise[0, :, 0, 1] = 0, 1
    made = rgb_to_lab(noise)
    np.testing.assert_allclose(made[0].movedim(0, -1).numpy(), lab(noise[0]), atol=0.02)
    torch.testing.assert_close(lab_to_rgb(made), noise, atol=1e-4, rtol=0)


def test_rct_is_reinhards_formula_under_the_mask():
    """Mean and deviation of each Lab channel; the wall around the face counts nowhere."""
    made = moved(ColorTransfer.RCT)
    for i in range(2):
        x, y = lab(FACES[i]), lab(OTHERS[i])
        face, other = x[disc() > 0], y[disc() > 0]
        expected = (x - face.mean(0)) * other.std(0) / face.std(0) + other.mean(0)
        expected = np.clip(expected, (0, -127, -127), (100, 127, 127)).astype(np.float32)
        rgb = cv2.cvtColor(expected, cv2.COLOR_Lab2RGB)
        gap = np.abs(rgb - made[i].movedim(0, -1).numpy())[disc() > 0]
        assert gap.max() < 0.01  # OpenCV's curve back is a table too


def root(matrix: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(matrix)
    return vectors @ np.diag(np.sqrt(values)) @ vectors.T


@pytest.mark.parametrize("method", [ColorTransfer.LCT, ColorTransfer.MKL])
def test_linear_maps_are_their_formulas(method):
    """lct: B^1/2 A^-1/2. mkl: A^-1/2 (A^1/2 B A^1/2)^1/2 A^-1/2. Around the two means."""
    made = moved(method)
    for i in range(2):
        x, y = colors(FACES, i), colors(OTHERS, i)
        a, b = (np.cov(z.T, bias=True) + 1e-5 * np.eye(3) for z in (x, y))
        inverse = np.linalg.inv(root(a))
        middle = root(root(a) @ b @ root(a))
        matrix = root(b) @ inverse if method is ColorTransfer.LCT else inverse @ middle @ inverse
        expected = np.clip((x - x.mean(0)) @ matrix.T + y.mean(0), 0, 1)
        np.testing.assert_allclose(colors(made, i), expected, atol=1e-4)


def histogram_transfer(x: np.ndarray, y: np.ndarray, rotations: np.ndarray) -> np.ndarray:
    """Pitie 2005 with 256 bins and a twentieth of the way in each round; (P, 3) float64."""
    for rotation in rotations:
        a, b = x @ rotation, y @ rotation
        shift = np.empty_like(a)
        for k in range(3):
            low, high = min(a[:, k].min(), b[:, k].min()), max(a[:, k].max(), b[:, k].max())
            counts, edges = np.histogram(a[:, k], 256, (low, high))
            to_counts, _ = np.histogram(b[:, k], 256, (low, high))
            shares = np.concatenate([[0], counts.cumsum() / len(a)])
            to_shares = np.concatenate([[0], to_counts.cumsum() / len(b)])
            goals = np.interp(shares, to_shares, edges)
            shift[:, k] = np.interp(a[:, k], edges, goals) - a[:, k]
        x = x + shift @ rotation.T / 20
    return x


def sorted_transfer(x: np.ndarray, y: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """Sliced optimal transport; (P, 3) float64."""
    for bundle in directions:
        step = np.zeros_like(x)
        for direction in bundle:
            a, b = x @ direction, y @ direction
            step[np.argsort(a)] += np.outer(np.sort(b) - a[np.argsort(a)], direction)
        x = x + step / len(bundle)
    return x


@pytest.mark.parametrize(
    ("method", "move", "formula", "count"),
    [
        (ColorTransfer.IDT, move_by_histograms, histogram_transfer, 487),  # equal shares are rare
        (ColorTransfer.SOT, move_by_sorting, sorted_transfer, 500),
    ],
)
def test_distribution_methods_move_points_as_their_formulas_do(method, move, formula, count):
    """The sample's own points, taken along as points of interest."""
    axes = draw_axes(method, generator())
    x = torch.rand(2, 500, 3, generator=generator(1))
    y = torch.rand(2, count, 3, generator=generator(2)) ** 2
    made = move(x, y, x, axes)
    for i in range(2):
        expected = formula(x[i].double().numpy(), y[i].double().numpy(), axes.double().numpy())
        gap = np.abs(made[i].numpy() - expected)
        # rounding puts a few points into the next bin, or past a neighbour
        assert np.quantile(gap, 0.99) < 1 / 256 and gap.mean() < 5e-4
        assert np.abs(expected - x[i].numpy()).mean() > 0.05


@pytest.mark.parametrize("method", [ColorTransfer.IDT, ColorTransfer.SOT])
def test_the_lattice_moves_a_picture_as_its_pixels_would_move(method):
    """One look-up of all pixels instead of moving each: within two 8-bit levels on average."""
    axes = draw_axes(method, generator())
    move = move_by_histograms if method is ColorTransfer.IDT else move_by_sorting
    points = sample_face(FACES, MASKS)
    expected = move(points, sample_face(OTHERS, MASKS), points, axes).clamp(0, 1)
    made = sample_face(by_lattice(move, FACES, MASKS, OTHERS, MASKS, axes).clamp(0, 1), MASKS)
    assert (made - expected).abs().mean() < 2 / 255


def test_the_change_of_sot_is_blurred_over_the_picture():
    """A sixteenth of the side, scipy's Gaussian: light and tone move, details stay."""
    axes = draw_axes(ColorTransfer.SOT, generator())
    sharp = by_lattice(move_by_sorting, FACES, MASKS, OTHERS, MASKS, axes) - FACES
    for i in range(2):
        smooth = gaussian_filter(
            sharp[i].double().numpy(), (0, 4, 4), mode="nearest", radius=(0, 8, 8)
        )
        expected = np.clip(FACES[i].numpy() + smooth, 0, 1)
        np.testing.assert_allclose(moved(ColorTransfer.SOT)[i].numpy(), expected, atol=1e-4)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_brings_the_faces_mean_to_the_references(method):
    """idt, in a twentieth of the way twenty times, two thirds of it; sot but for its blur."""
    made = moved(method)
    for i in range(2):
        before, after, goal = (colors(p, i).mean(0) for p in (FACES, made, OTHERS))
        left = np.abs(after - goal).max() / np.abs(before - goal).max()
        rest = {ColorTransfer.IDT: 0.45, ColorTransfer.SOT: 0.3}
        assert left < rest.get(method, 0.05)
        assert made[i].min() >= 0 and made[i].max() <= 1


@pytest.mark.parametrize("method", METHODS)
def test_flat_faces_are_moved_and_not_amplified(method):
    """Without spread there is nothing to divide by: finite, flat, and near the reference's mean."""
    flat = torch.tensor([0.6, 0.4, 0.3])[None, :, None, None].expand(2, 3, R, R).contiguous()
    made = transfer_color(method, flat, MASKS, OTHERS, MASKS, draw_axes(method, generator()))
    assert made.isfinite().all()
    assert made.std(dim=(2, 3)).max() < 1e-3
    goal = np.stack([colors(OTHERS, i).mean(0) for i in range(2)])
    before = np.abs(flat[:, :, 0, 0].numpy() - goal).max()
    assert np.abs(made[:, :, 0, 0].numpy() - goal).max() < max(0.5 * before, 0.06)
    back = transfer_color(method, OTHERS, MASKS, flat, MASKS, draw_axes(method, generator()))
    assert back.isfinite().all()


@pytest.mark.parametrize("method", METHODS)
def test_without_a_mask_the_picture_stays(method):
    """A face whose landmarks lie outside its square."""
    empty = torch.zeros(2, 1, R, R)
    empty[1] = MASKS[1]
    made = moved(method, empty)
    assert torch.equal(made[0], FACES[0])
    assert not torch.equal(made[1], FACES[1])


@pytest.mark.parametrize("method", LINEAR)
def test_references_may_have_another_size(method):
    """The other side's squares come without margin."""
    larger = torch.nn.functional.pad(OTHERS, (8, 8, 8, 8))
    masks = torch.nn.functional.pad(MASKS, (8, 8, 8, 8))
    made = transfer_color(method, FACES, MASKS, larger, masks, draw_axes(method, generator()))
    torch.testing.assert_close(made, moved(method), atol=1e-5, rtol=0)


def test_axes_are_rotations_and_unit_vectors():
    """From the generator alone."""
    rotations = draw_axes(ColorTransfer.IDT, generator())
    identity = torch.eye(3).expand(20, 3, 3)
    torch.testing.assert_close(rotations @ rotations.transpose(1, 2), identity, atol=1e-5, rtol=0)
    directions = draw_axes(ColorTransfer.SOT, generator())
    assert (10, 5, 3) == directions.shape
    torch.testing.assert_close(directions.norm(dim=2), torch.ones(10, 5))
    assert torch.equal(directions, draw_axes(ColorTransfer.SOT, generator()))


def test_hsv_shift_is_that_of_opencv():
    """Hue in degrees, round the circle; saturation and value cut at their ends."""
    noise = torch.rand(3, 3, 32, 32, generator=generator())
    noise[0, :, :2] = torch.tensor([0.0, 0.5])[:, None]  # black and grey rows
    shifts = torch.tensor([[20.0, 0.1, -0.1], [-50.0, -0.15, 0.15], [0.0, 0.0, 0.0]])
    made = shift_hsv(noise, shifts)
    for i, (hue, saturation, value) in enumerate(shifts.tolist()):
        hsv = cv2.cvtColor(noise[i].movedim(0, -1).numpy(), cv2.COLOR_RGB2HSV)
        hsv[..., 0] = (hsv[..., 0] + hue) % 360
        hsv[..., 1] = np.clip(hsv[..., 1] + saturation, 0, 1)
        hsv[..., 2] = np.clip(hsv[..., 2] + value, 0, 1)
        expected = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)
        grey = noise[i].std(dim=0).numpy() < 1e-6  # has no hue: any will do, ours is red as cv2's
        gap = np.abs(made[i].movedim(0, -1).numpy() - expected)
        assert gap[~grey].max() < 1e-4
        assert gap[grey].max(initial=0) < 1e-4


def test_hsv_amounts_are_those_of_deepfacelab():
    """Whole degrees to 180 times the power, half the power for the others, all as often."""
    shifts = draw_hsv(4000, 0.1, generator())
    assert torch.equal(shifts[:, 0], shifts[:, 0].round())
    assert (-18, 18) == (shifts[:, 0].min(), shifts[:, 0].max())
    assert shifts[:, 1:].abs().max() <= 0.05 and shifts[:, 1:].abs().max() > 0.049
    assert shifts.mean(dim=0).abs().max() < 0.5
    assert 1 == draw_hsv(50, 0.001, generator())[:, 0].abs().max()


def test_blur_out_is_the_normalised_blur_of_what_lies_outside():
    """Against scipy's Gaussian of R/128; under the mask nothing changes."""
    side = 256
    rng = np.random.default_rng(0)
    image = rng.random((side, side, 3))
    y, x = np.mgrid[:side, :side]
    mask = np.clip(80 - np.hypot(x - 120, y - 130), 0, 1)[..., None]
    blurred = [
        gaussian_filter(part * (1 - mask), (2, 2, 0), mode="nearest", radius=(4, 4, 0))
        for part in (image, np.ones_like(mask))
    ]
    around = blurred[0] / np.where(blurred[1] < 1e-6, 1, blurred[1])
    expected = image * mask + around * (1 - mask)
    made = blur_out(*(torch.from_numpy(a).float().movedim(-1, 0)[None] for a in (image, mask)))
    np.testing.assert_allclose(made[0].movedim(0, -1).numpy(), expected, atol=1e-4)
    inside = mask[..., 0] == 1
    np.testing.assert_allclose(made[0].movedim(0, -1).numpy()[inside], image[inside], atol=1e-6)


def test_no_colour_of_the_face_is_smeared_around_it():
    """A red face before a blue wall: the wall stays blue up to the edge."""
    side = 256
    mask = torch.zeros(1, 1, side, side)
    mask[..., 64:192, 64:192] = 1
    picture = torch.zeros(1, 3, side, side)
    picture[:, 2:] = 1 - mask
    picture[:, :1] = mask
    torch.testing.assert_close(blur_out(picture, mask), picture, atol=1e-5, rtol=0)
