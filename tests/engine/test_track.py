"""Tracks and smoothing against closed forms."""

import numpy as np
import pytest
import skimage.data

from facegraft.faces.face import Face
from facegraft.faces.landmarks import HEAD_3D
from facegraft.faces.track import is_cut, track_faces
from tests.weights_fixture import portrait


def face(x: float, y: float, size: float = 60.0, seed: int | None = None) -> Face:
    """A face with its centre at (x, y); with a seed, half a pixel of noise on its points."""
    points = HEAD_3D[:, :2] * size / 140 + [x, y]
    if seed is not None:
        points = points + np.random.default_rng(seed).normal(0, 0.5, points.shape)
    points = points.astype(np.float32)
    low, high = points.min(axis=0).tolist(), points.max(axis=0).tolist()
    return Face(points, (*low, *high), 0.9, points)


def numbers(frames: list[list[Face]]) -> list[list[int]]:
    return [[f.track for f in faces] for faces in frames]


def test_tracks_follow_faces_that_change_places_in_the_list() -> None:
    frames = [[face(100 + 5 * i, 100), face(300 - 5 * i, 100)] for i in range(6)]
    frames = [faces[::-1] if i % 2 else faces for i, faces in enumerate(frames)]
    assert numbers(track_faces(frames)) == [[0, 1], [1, 0]] * 3


def test_faces_pair_for_the_greatest_total_overlap() -> None:
    """Both new boxes overlap the first face most, but one of them is the second face."""
    frames = [[face(100, 100), face(130, 100)], [face(118, 100), face(104, 100)]]
    assert numbers(track_faces(frames))[1] == [1, 0]


def test_someone_new_gets_a_new_number() -> None:
    frames = [[face(100, 100)], [face(400, 100), face(100, 100)], [face(400, 102)]]
    assert numbers(track_faces(frames)) == [[0], [1, 0], [1]]


@pytest.mark.parametrize(("gap", "number"), [(0, 0), (5, 0), (6, 1), (20, 1)])
def test_a_gap_of_up_to_five_frames_is_bridged(gap: int, number: int) -> None:
    frames = [[face(100, 100)], *([] for _ in range(gap)), [face(104, 100)]]
    assert numbers(track_faces(frames))[-1] == [number]


def test_nothing_is_followed_or_smoothed_across_a_cut() -> None:
    frames = [[face(100, 100)]] * 4 + [[face(110, 100)]] * 4
    found = track_faces(frames, cuts=[4], smooth_sigma=2.0)
    assert numbers(found) == [[0]] * 4 + [[1]] * 4
    for before, after in zip(frames, found, strict=True):
        np.testing.assert_allclose(after[0].landmarks, before[0].landmarks, atol=1e-4)


def test_steady_motion_is_left_alone_to_the_last_frame() -> None:
    frames = [[face(100 + 3.5 * i, 100 - 2 * i)] for i in range(14)]
    frames[5] = frames[6] = []  # a hand
    found = track_faces(frames, smooth_sigma=1.5)
    assert [faces[0].track for faces in found if faces] == [0] * 12
    for before, after in zip(frames, found, strict=True):
        if before:
            np.testing.assert_allclose(after[0].landmarks, before[0].landmarks, atol=1e-3)


def test_the_filter_is_a_centred_gaussian() -> None:
    """An impulse of 1 px comes out as the normalised kernel, symmetric: no lag."""
    frames = [[face(100 + (i == 10), 100)] for i in range(21)]
    found = track_faces(frames, smooth_sigma=1.0)
    response = np.array([f[0].landmarks[30, 0] - frames[0][0].landmarks[30, 0] for f in found])
    assert response.argmax() == 10
    kernel = np.exp(-0.5 * (np.arange(21) - 10.0) ** 2)
    np.testing.assert_allclose(response, kernel / kernel.sum(), atol=1e-4)


def test_noise_falls_as_the_kernel_says() -> None:
    """White noise keeps sqrt(sum w^2) of its deviation: 0.53 for one frame of sigma."""
    frames = [[face(100, 100, seed=i)] for i in range(200)]
    rest = face(100, 100).landmarks
    smooth = np.stack([f[0].landmarks - rest for f in track_faces(frames)])
    weights = np.exp(-0.5 * np.arange(-4, 5.0) ** 2)
    expected = 0.5 * np.sqrt(((weights / weights.sum()) ** 2).sum())
    assert smooth[4:-4].std() == pytest.approx(expected, rel=0.03)


def test_the_ends_and_gaps_are_a_line_fitted_with_gaussian_weights() -> None:
    """Against numpy's weighted polynomial fit, evaluated at each frame."""
    times = [0, 1, 2, 3, 4, 7, 8, 10, 11, 12]
    frames = [[face(100, 100, seed=i)] if i in times else [] for i in range(13)]
    found = track_faces(frames, smooth_sigma=1.2)
    values = np.array([frames[t][0].landmarks[45, 1] for t in times])
    for t in times:
        distance = np.array(times) - t
        near = np.abs(distance) <= 5  # four sigmas
        weights = np.exp(-0.5 * (distance / 1.2) ** 2)[near]
        line = np.polyfit(distance[near], values[near], 1, w=np.sqrt(weights))
        assert found[t][0].landmarks[45, 1] == pytest.approx(line[1], abs=1e-4)


def test_the_networks_points_stay_beside_the_smoothed_ones() -> None:
    frames = [[face(100, 100, seed=i)] for i in range(5)]
    for before, after in zip(frames, track_faces(frames), strict=True):
        np.testing.assert_array_equal(after[0].raw_landmarks, before[0].landmarks)
        assert np.abs(after[0].landmarks - before[0].landmarks).max() > 0.05
        assert after[0].box == before[0].box and after[0].score == before[0].score


def test_smoothing_twice_begins_from_the_networks_points() -> None:
    once = track_faces([[face(100, 100, seed=i)] for i in range(9)])
    twice = track_faces(once)
    for a, b in zip(once, twice, strict=True):
        np.testing.assert_array_equal(a[0].landmarks, b[0].landmarks)


def test_sigma_zero_switches_smoothing_off() -> None:
    frames = [[face(100, 100, seed=i)] for i in range(5)]
    for before, after in zip(frames, track_faces(frames, smooth_sigma=0), strict=True):
        np.testing.assert_array_equal(after[0].landmarks, before[0].landmarks)
        assert after[0].track == 0


def test_empty_clips_and_empty_frames_stay_empty() -> None:
    assert track_faces([]) == []
    assert track_faces([[], []]) == [[], []]


def test_another_picture_is_a_cut() -> None:
    assert is_cut(portrait(), skimage.data.coffee())
    assert is_cut(np.zeros((90, 160, 3), np.uint8), skimage.data.coffee())
    assert is_cut(portrait(), np.ascontiguousarray(portrait()[:, ::-1]))


def test_a_pan_a_flash_and_noise_are_no_cuts() -> None:
    frame = portrait().astype(np.float32)
    noise = np.random.default_rng(0).normal(0, 12, frame.shape)
    brighter = np.clip(frame * 1.25, 0, 255).astype(np.uint8)
    noisy = np.clip(frame + noise, 0, 255).astype(np.uint8)
    dark = np.clip(frame * 0.04, 0, 255)
    assert not is_cut(portrait()[:, :-16], portrait()[:, 16:])
    assert not is_cut(portrait(), brighter)
    assert not is_cut(portrait(), noisy)
    assert not is_cut(dark.astype(np.uint8), np.clip(dark + noise / 4, 0, 255).astype(np.uint8))
