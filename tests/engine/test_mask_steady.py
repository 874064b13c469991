"""Averaging masks over time: plain weighted means, one track at a time, following the face."""

import numpy as np
import pytest

from facegraft.faces.align import align_matrix, transform_points
from facegraft.faces.landmarks import hull_mask
from facegraft.merge.mask.steady import MaskWindow
from facegraft.model_spec import FaceType
from tests.engine.mean_faces import mean_landmarks


def _masks(count: int) -> np.ndarray:
    return np.random.default_rng(5).random((count, 16, 16), np.float32)


def _filled(masks: np.ndarray, track: int = 0) -> MaskWindow:
    window = MaskWindow()
    for frame, mask in enumerate(masks):
        window.put(frame, track, mask)
    return window


def _average(window: MaskWindow, track: int, weights) -> np.ndarray:
    average = window.average(track, weights)
    assert average is not None and average.dtype == np.float32
    return average


def test_the_average_is_the_weighted_mean():
    masks = _masks(3)
    got = _average(_filled(masks), 0, [(0, 0.25), (1, 0.5), (2, 0.25)])
    np.testing.assert_allclose(got, np.average(masks, axis=0, weights=[1, 2, 1]), atol=2e-5)


def test_frames_without_the_face_leave_their_weight_to_the_others():
    masks = _masks(2)
    got = _average(_filled(masks), 0, [(-1, 0.3), (0, 0.3), (1, 0.1), (7, 0.3)])
    np.testing.assert_allclose(got, np.average(masks, axis=0, weights=[3, 1]), atol=2e-5)
    assert _filled(masks).average(0, [(5, 1.0)]) is None


def test_tracks_do_not_mix():
    window = _filled(_masks(3), track=1)
    other = np.full((16, 16), 0.5, np.float32)
    window.put(1, 2, other)
    np.testing.assert_allclose(_average(window, 2, [(0, 1.0), (1, 1.0)]), other, atol=2e-5)


def test_a_mask_alone_comes_back_within_a_sixteen_bit_step():
    mask = _masks(1)[0]
    got = _average(_filled(mask[None]), 0, [(0, 1.0)])
    assert np.abs(got - mask).max() <= 0.5 / 65535 + 1e-6


def test_what_is_passed_is_forgotten_and_nothing_else():
    window = _filled(_masks(6))
    window.forget(before=4)
    assert [(frame, 0) in window for frame in range(6)] == [False] * 4 + [True] * 2
    assert len(window) == 2


def test_a_mask_of_512_takes_half_a_mebibyte():
    """What the class says of its memory."""
    window = MaskWindow()
    window.put(0, 0, np.ones((512, 512), np.float32))
    assert repr(window) == "MaskWindow(1 masks, 0.5 MiB)"


def test_the_average_follows_a_face_that_moves():
    """The hull of a face crossing the frame stands still in its square: nothing smears."""
    window, hulls = MaskWindow(), []
    for frame in range(9):
        landmarks = mean_landmarks(60 + 25 * frame, 120, 80 + 5 * frame, degrees=6 * frame)
        matrix = align_matrix(landmarks, FaceType.FULL, 256)
        hulls.append(hull_mask(transform_points(landmarks, matrix), 256, 256))
        window.put(frame, 0, hulls[-1])
    average = _average(window, 0, [(frame, 1.0) for frame in range(9)])
    assert np.abs(average - hulls[4]).mean() < 0.001


def test_a_flickering_edge_is_held():
    """An edge that jumps by 8 px every other frame moves a tenth as much after averaging."""
    masks = np.zeros((20, 64, 64), np.float32)
    for frame in range(20):
        masks[frame, :, : 32 + 8 * (frame % 2)] = 1
    window = _filled(masks)
    offsets = np.arange(-4, 5)
    gaussian = np.exp(-0.5 * (offsets / 2.0) ** 2)
    widths = []
    for frame in range(6, 14):
        pairs = [(frame + int(d), float(w)) for d, w in zip(offsets, gaussian, strict=True)]
        widths.append(_average(window, 0, pairs)[32].sum())
    assert np.ptp(widths) < 0.8
    assert np.mean(widths) == pytest.approx(36, abs=0.1)
