"""Steady faces: smoothing that does not lag, a steadier square, held gaps, weighed neighbours."""

import math
from dataclasses import replace

import numpy as np
import pytest

from facegraft.faces.align import fit_similarity
from facegraft.faces.face import Face
from facegraft.faces.landmarks import ALIGNMENT_POINTS, HEAD_3D, MEAN_FACE
from facegraft.faces.track import track_faces
from facegraft.merge.clip.faces import ClipFaces, clip_faces
from facegraft.merge.clip.params import ClipParams
from facegraft.merge.clip.steady import held, neighbours, steadied
from tests.drawn_faces import face_at

STILL = ClipParams(steady=0)


def clip_of(frames: list[list[Face]], cuts: tuple[int, ...] = ()) -> ClipFaces:
    return clip_faces(dict(enumerate(track_faces(frames, cuts, smooth_sigma=0))))


def turned(x: float, y: float, size: float, degrees: float, seed: int | None = None) -> Face:
    """The mean head turned in the picture; with a seed, noise of 0.4 px on its points."""
    a = math.radians(degrees)
    spin = np.array([[math.cos(a), -math.sin(a)], [math.sin(a), math.cos(a)]])
    points = HEAD_3D[:, :2] * size / 140 @ spin.T + (x, y)
    if seed is not None:
        points = points + np.random.default_rng(seed).normal(0, 0.4, points.shape)
    points = points.astype(np.float32)
    low, high = points.min(axis=0).tolist(), points.max(axis=0).tolist()
    return Face(points, (low[0], low[1], high[0], high[1]), 0.9)


def squares(clip: ClipFaces) -> np.ndarray:
    """(T, 2): size and tilt in radians of each frame's square."""
    mean = MEAN_FACE[ALIGNMENT_POINTS - 17]
    fits = [
        fit_similarity(mean, clip.at(i)[0].landmarks[ALIGNMENT_POINTS]) for i in sorted(clip.frames)
    ]
    return np.array(
        [[np.sqrt(np.linalg.det(f[:, :2])), math.atan2(f[1, 0], f[0, 0])] for f in fits]
    )


def test_smoothing_equals_the_trackers_and_begins_from_the_networks_points():
    frames = [[turned(100 + i, 90, 60, 0, seed=i)] for i in range(12)]
    expected = track_faces(frames, smooth_sigma=2.0)
    once = steadied(clip_of(frames), ClipParams(steady=2.0))
    again = steadied(steadied(once, ClipParams(steady=5.0)), ClipParams(steady=2.0))
    for i, faces in enumerate(expected):
        np.testing.assert_allclose(once.at(i)[0].landmarks, faces[0].landmarks, atol=1e-4)
        np.testing.assert_allclose(again.at(i)[0].landmarks, faces[0].landmarks, atol=1e-4)


def test_landmarks_from_a_file_that_were_steadied_alike_stay_to_the_bit():
    """The command line then merges the very faces that a node takes from the file; another
    smoothing takes effect, and so does the same one where a frame was deleted."""
    frames = [[turned(100 + i, 90, 60, 0, seed=i)] for i in range(12)]
    once = steadied(clip_of(frames), ClipParams(steady=1.0))
    stored = clip_faces(
        {i: [replace(face, landmarks=face.landmarks.round(3)) for face in once.at(i)]
         for i in range(12)}
    )  # fmt: skip

    def moved(clip: ClipFaces, steady: float) -> float:
        again = steadied(clip, ClipParams(steady=steady))
        pairs = [(again.at(i)[0].landmarks, stored.at(i)[0].landmarks) for i in clip.frames]
        return max(float(np.abs(a - b).max()) for a, b in pairs)

    assert moved(stored, 1.0) == 0
    assert moved(stored, 1.5) > 0.05
    assert moved(clip_faces({i: stored.at(i) for i in range(12) if i != 6}), 1.0) > 0.05


def test_everything_off_leaves_every_face_as_it_is():
    frames = [[turned(100 + i, 90, 60, 3 * i, seed=i), face_at(300, 90, 40)] for i in range(5)]
    before = clip_of(frames)
    after = steadied(before, STILL)
    for i in range(5):
        assert [f.track for f in after.at(i)] == [f.track for f in before.at(i)]
        for a, b in zip(after.at(i), before.at(i), strict=True):
            np.testing.assert_array_equal(a.landmarks, b.landmarks)


def test_a_steady_crop_takes_jitter_from_size_and_tilt_and_leaves_place_and_shape():
    frames = [[turned(100 + 2 * i, 90, 60, 0, seed=i)] for i in range(60)]
    rough, fine = clip_of(frames), steadied(clip_of(frames), replace(STILL, steady_crop=6.0))
    jitter = [np.diff(squares(c), axis=0)[5:-5].std(axis=0) for c in (rough, fine)]
    assert (jitter[1] < 0.15 * jitter[0]).all()
    for i in range(60):
        a, b = (c.at(i)[0].landmarks for c in (rough, fine))
        middle = a[ALIGNMENT_POINTS].mean(axis=0)
        np.testing.assert_allclose(b[ALIGNMENT_POINTS].mean(axis=0), middle, atol=1e-3)
        rigid = fit_similarity(a, b)
        np.testing.assert_allclose(a @ rigid[:, :2].T + rigid[:, 2], b, atol=1e-3)


def test_a_steady_crop_follows_a_head_that_turns_and_nears_evenly():
    """Size grows by a constant factor and tilt by a constant angle: nothing to smooth, no lag."""
    frames = [[turned(200, 150, 60 * 1.02**i, 2.0 * i)] for i in range(20)]
    before = clip_of(frames)
    after = steadied(before, replace(STILL, steady_crop=5.0))
    np.testing.assert_allclose(squares(after), squares(before), rtol=1e-4, atol=1e-4)


def test_nothing_is_smoothed_across_a_cut():
    frames = [[turned(100, 90, 60, 0)]] * 5 + [[turned(106, 90, 70, 8)]] * 5
    params = ClipParams(steady=3.0, steady_crop=5.0, hold=5)
    after = steadied(clip_of(frames, cuts=(5,)), params)
    for i, faces in enumerate(frames):
        np.testing.assert_allclose(after.at(i)[0].landmarks, faces[0].landmarks, atol=1e-3)


@pytest.mark.parametrize(("gap", "longest", "filled"), [(1, 1, 1), (3, 3, 3), (3, 2, 0), (5, 5, 5)])
def test_gaps_up_to_the_limit_are_bridged(gap, longest, filled):
    frames = [[face_at(100, 90, 60)], *([] for _ in range(gap)), [face_at(100 + gap + 1, 90, 60)]]
    clip = held(clip_of(frames), longest)
    assert len(clip.frames) == 2 + filled
    for i in range(1, 1 + filled):
        (face,) = clip.at(i)
        assert face.held and face.track == 0 and face.raw_landmarks is None
        # two points only: PCHIP is the straight line
        np.testing.assert_allclose(face.landmarks, face_at(100 + i, 90, 60).landmarks, atol=1e-3)
        np.testing.assert_allclose(face.box, face_at(100 + i, 90, 60).box, atol=1e-3)


def test_a_held_faces_confidence_falls_to_half_of_the_lesser_end():
    frames = [[face_at(100, 90, 60)], [], [], [], [replace(face_at(104, 90, 60), score=0.6)]]
    clip = held(clip_of(frames), 5)
    assert [clip.at(i)[0].score for i in range(5)] == pytest.approx([0.9, 0.45, 0.3, 0.45, 0.6])


def test_a_gap_at_the_clips_ends_or_across_a_cut_is_not_held():
    frames = [[], [face_at(100, 90, 60)], [], [face_at(101, 90, 60)], []]
    assert sorted(held(clip_of(frames, cuts=(2,)), 5).frames) == [1, 3]
    assert sorted(held(clip_of(frames), 5).frames) == [1, 2, 3]


def test_a_held_point_never_leaves_the_stretch_between_the_gaps_ends():
    """A head that stops at once: cubics that overshoot would pass the ends."""
    xs = {0: 60.0, 1: 80.0, 2: 100.0, 6: 110.0, 7: 110.0, 8: 110.0}
    clip = held(clip_of([[face_at(xs[i], 90, 60)] if i in xs else [] for i in range(9)]), 3)
    path = [clip.at(i)[0].landmarks[30, 0] for i in range(9)]
    assert len(path) == 9 and (np.diff(path) >= -1e-3).all()


def test_doubtful_faces_are_left_out_and_may_then_be_held():
    frames = [[replace(face_at(100 + i, 90, 60), score=0.2 if i == 2 else 0.9)] for i in range(5)]
    out = steadied(clip_of(frames), replace(STILL, min_confidence=0.3))
    assert sorted(out.frames) == [0, 1, 3, 4]
    back = steadied(clip_of(frames), replace(STILL, min_confidence=0.3, hold=1))
    assert [back.at(i)[0].held for i in range(5)] == [False, False, True, False, False]
    again = steadied(back, replace(STILL, min_confidence=0.3))
    assert sorted(again.frames) == [0, 1, 3, 4]


def test_neighbours_weigh_by_a_gaussian_of_half_the_radius():
    clip = clip_of([[face_at(100 + i, 90, 60)] for i in range(11)])
    found = dict(neighbours(clip, 5, 0, 4.0))
    assert sorted(found) == list(range(1, 10))
    expected = np.exp(-0.5 * (np.arange(-4, 5) / 2.0) ** 2)
    np.testing.assert_allclose([found[i] for i in range(1, 10)], expected / expected.sum())
    assert neighbours(clip, 5, 0, 0.0) == [(5, 1.0)]


def test_neighbours_stay_in_the_shot_and_with_the_track():
    frames = [[face_at(100, 90, 60), face_at(250, 90, 50)]] * 3 + [[face_at(100, 90, 60)]] * 3
    clip = clip_of(frames, cuts=(3,))
    found = neighbours(clip, 2, 1, 5.0)
    assert [index for index, _ in found] == [0, 1, 2]
    assert sum(weight for _, weight in found) == pytest.approx(1)
    assert neighbours(clip, 4, 0, 3.0) == []


def test_a_held_neighbour_weighs_by_its_lowered_confidence():
    frames = [[face_at(100, 90, 60)], [], [face_at(102, 90, 60)]]
    found = dict(neighbours(held(clip_of(frames), 1), 0, 0, 2.0))
    assert found[1] / found[0] == pytest.approx(0.45 * math.exp(-0.5))
