"""Motion of every face by its track, and the blur along it, against closed forms and scipy."""

import math

import numpy as np
import pytest
from scipy import ndimage

from facegraft.faces.align import align_matrix, transform_points
from facegraft.faces.face import Face
from facegraft.faces.landmarks import HEAD_3D
from facegraft.faces.track import track_faces
from facegraft.merge.detail.motion import line_kernel, motion_blur, motion_in_square, motions
from facegraft.model_spec import FaceType


def face(x: float, y: float, track: int = 0, jaw: float = 0.0) -> Face:
    """A face of 60 px with its centre at (x, y), its lower jaw dropped by `jaw` px."""
    points = HEAD_3D[:, :2] * 60 / 140 + [x, y]
    points[5:12, 1] += jaw
    points[55:60, 1] += jaw  # the lower lip
    points = points.astype(np.float32)
    low, high = points.min(axis=0).tolist(), points.max(axis=0).tolist()
    return Face(points, (*low, *high), 0.9, points, track)


def moved(before: list[Face], at: list[Face], after: list[Face]) -> np.ndarray:
    """The motion of the only face."""
    (motion,) = motions(before, at, after)
    assert motion is not None
    return motion


def picture(height: int = 40, width: int = 50) -> np.ndarray:
    """Noise, with values below 0 and above 1."""
    return np.random.default_rng(0).uniform(-0.5, 3, (height, width, 3)).astype(np.float32)


def moments(kernel: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Centre of mass from the middle, x and y, and the (2, 2) covariance about it."""
    y, x = np.mgrid[: kernel.shape[0], : kernel.shape[1]]
    places = np.stack([x - kernel.shape[1] // 2, y - kernel.shape[0] // 2]).reshape(2, -1)
    weights = kernel.astype(np.float64).ravel()
    middle = places @ weights
    centred = places - middle[:, None]
    return middle, (centred * weights) @ centred.T


def test_every_face_moves_by_its_own_track() -> None:
    """Two faces that part, whose order in the lists changes."""
    before = [face(100, 100, 0), face(300, 120, 1)]
    at = [face(304, 118, 1), face(96, 101, 0)]
    after = [face(92, 102, 0), face(308, 116, 1)]
    found = [motion for motion in motions(before, at, after) if motion is not None]
    np.testing.assert_allclose(found, [(4, -2), (-4, 1)], atol=1e-4)


def test_motion_is_the_mean_of_the_two_steps() -> None:
    """A face that speeds up from 2 to 6 px moves by 4 at the middle frame."""
    motion = moved([face(100, 50)], [face(102, 50)], [face(108, 50)])
    np.testing.assert_allclose(motion, (4, 0), atol=1e-4)


def test_at_the_ends_of_a_track_the_one_neighbour_counts() -> None:
    """First and last frame of a shot; alone, a face has no motion."""
    first = moved([], [face(10, 20)], [face(13, 24)])
    last = moved([face(10, 20)], [face(13, 24)], [])
    np.testing.assert_allclose(first, (3, 4), atol=1e-4)
    np.testing.assert_allclose(last, (3, 4), atol=1e-4)
    assert [None] == motions([], [face(10, 20)], [])


def test_a_cut_gives_no_motion() -> None:
    """Tracks end at a cut, so the same place in another shot is another face."""
    frames = [[face(100, 100)], [face(104, 100)], [face(112, 100)], [face(116, 100)]]
    tracked = track_faces(frames, cuts=[2], smooth_sigma=0)
    found = [
        motions(tracked[i - 1] if i else [], tracked[i], tracked[i + 1] if i < 3 else [])[0]
        for i in range(4)
    ]
    np.testing.assert_allclose(np.stack([x for x in found if x is not None]), [(4, 0)] * 4)


def test_faces_without_a_track_do_not_move() -> None:
    """A still picture, where nobody knows who is who."""
    assert [None] == motions([face(0, 0, -1)], [face(9, 0, -1)], [face(18, 0, -1)])


def test_a_speaking_jaw_is_no_motion() -> None:
    """Place is taken from what does not move in speech."""
    motion = moved([face(50, 50)], [face(50, 50, jaw=4)], [face(50, 50, jaw=8)])
    np.testing.assert_allclose(motion, (0, 0), atol=1e-4)


def test_motion_is_turned_and_scaled_into_the_square() -> None:
    """Where a point of the frame goes in the square when it moves so in the frame."""
    turn = np.array([[0.0, -1.0], [1.0, 0.0]])
    landmarks = (face(200, 150).landmarks - (200, 150)) @ turn.T * 1.7 + (200, 150)
    matrix = align_matrix(landmarks.astype(np.float32), FaceType.FULL, 128)
    motion = np.array([3.0, -5.0])
    points = np.array([[190.0, 140.0], [190.0, 140.0] + motion])
    start, end = transform_points(points, matrix)
    np.testing.assert_allclose(motion_in_square(motion, matrix), end - start, atol=1e-9)
    # a quarter turn clockwise in the picture: what moves right in the frame moves up in the square
    side = motion_in_square(np.array([1.0, 0.0]), matrix)
    assert side[1] < 0 and abs(side[0]) < 0.05 * abs(side[1])


@pytest.mark.parametrize("line", [(8.0, 0.0), (0.0, 5.5), (7.3, -4.1), (0.6, 0.2), (-20.0, 31.0)])
def test_the_kernel_is_a_centred_line_of_the_wanted_length_and_angle(line):
    """Sum 1, centre of mass in the middle, and the second moments of a uniform line, length**2 / 12
    along it, with no more width than sharing between pixels brings."""
    kernel = line_kernel(np.array(line), 1000)
    middle, spread = moments(kernel)
    assert kernel.sum() == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(middle, 0, atol=1e-4)
    np.testing.assert_allclose(kernel, kernel[::-1, ::-1], atol=1e-6)
    extra = spread - np.outer(line, line) / 12
    # bilinear sharing of a point f px off a pixel's centre adds f (1 - f), at most a quarter, and
    # the last sample stands half a step inside the line's end
    np.testing.assert_allclose(extra, np.diag(np.diag(extra)), atol=0.02 * math.hypot(*line))
    assert (np.diag(extra) < 0.26).all()
    assert (np.diag(extra) > -0.03 * np.abs(line) - 1e-3).all()


def test_the_kernel_grows_without_steps():
    """A keyframed or wandering motion must not jump from one pixel to the next."""
    image = picture()
    lengths = np.arange(0, 6, 0.05)
    blurred = [motion_blur(image, np.array([n, n / 3]), 100) for n in lengths]
    changes = [float(np.abs(a - b).max()) for a, b in zip(blurred[1:], blurred[:-1], strict=True)]
    assert max(changes) < 0.05 * float(np.ptp(image))


def test_a_whole_exposure_along_a_row_is_the_mean_of_the_way():
    """8 px at 100 %: scipy's box of 8 px, half a pixel off each way and averaged."""
    image = picture()
    even = [
        ndimage.uniform_filter1d(image.astype(np.float64), 8, axis=1, origin=o, mode="nearest")
        for o in (0, -1)
    ]
    expected = (even[0] + even[1]) / 2
    result = motion_blur(image, np.array([8.0, 0.0]), 100)
    np.testing.assert_allclose(result[:, 10:-10], expected[:, 10:-10], atol=0.03)


def test_percent_is_a_share_of_the_frames_time():
    """Half an exposure of 8 px is a whole one of 4."""
    image = picture()
    half = motion_blur(image, np.array([8.0, 4.0]), 50)
    np.testing.assert_array_equal(half, motion_blur(image, np.array([4.0, 2.0]), 100))
    forth, back = (motion_blur(image, np.array([s * 8.0, s * 4.0]), 50) for s in (1, -1))
    np.testing.assert_allclose(forth, back, atol=1e-5)


@pytest.mark.parametrize(("vector", "percent"), [((0, 0), 100), ((9, 9), 0), ((0.01, 0), 100)])
def test_no_motion_changes_nothing(vector, percent):
    """Bit for bit."""
    np.testing.assert_array_equal(motion_blur(picture(), np.array(vector), percent), picture())


def test_an_absurd_motion_is_bounded_by_the_picture():
    """A wrong track may jump through the frame; the kernel then is no larger than the picture."""
    kernel = line_kernel(np.array([30000.0, 40000.0]), 100)
    middle, spread = moments(kernel)
    np.testing.assert_allclose(middle, 0, atol=1e-3)
    assert math.sqrt(12 * np.trace(spread)) == pytest.approx(100, rel=0.01)
    image = np.full((20, 20, 3), 0.4, np.float32)
    np.testing.assert_allclose(motion_blur(image, np.array([3e4, 4e4]), 100), image, atol=1e-5)
