"""Seamless cloning against OpenCV and against the equations written out one by one."""

import cv2
import numpy as np
import pytest
from scipy.sparse import csr_array
from scipy.sparse.linalg import spsolve

from facegraft.merge.color.seamless import seamless_clone
from tests.engine.color_pictures import textured


def _scene() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    frame = (textured(4, 0.25, 0.5, 160) * 255).astype(np.uint8)
    face = (textured(5, 0.4, 0.7, 160) * 255).astype(np.uint8)
    mask = np.zeros((160, 160), np.uint8)
    cv2.ellipse(mask, (80, 76), (45, 36), 20, 0, 360, (255,), -1)
    mask[25, 25] = mask[128, 135] = 255  # erosion takes them; they keep the rectangle off the mask
    return frame, face, mask


def test_seamless_clone_equals_opencvs_within_8_bit_rounding():
    frame, face, mask = _scene()
    x, y, width, height = cv2.boundingRect(mask)
    center = (x + width // 2, y + height // 2)
    # OpenCV writes into the mask that it is given
    expected = cv2.seamlessClone(face, frame, mask.copy(), center, cv2.NORMAL_CLONE)
    area = np.s_[y - 1 : y + height + 1, x - 1 : x + width + 1]  # its border has OpenCV's values
    clone = seamless_clone(
        face[area].astype(np.float32) / 255, frame[area].astype(np.float32) / 255, mask[area] > 0
    )
    difference = clone * 255 - expected[area]
    assert abs(difference.mean() - 0.5) < 0.3  # OpenCV cuts fractions off
    assert np.abs(difference).max() < 2
    moved = np.abs(expected[area].astype(float) - frame[area]).mean()
    assert moved > 3  # the comparison is of something that changed


def test_seamless_clone_solves_its_equations_as_a_sparse_solver_does():
    """One equation a pixel: its four differences in the clone are the face's inside, else the
    frame's. A difference belongs to its upper or left pixel."""
    height, width = 19, 15  # one more than lengths that are quick: the rectangle is all of it
    rng = np.random.default_rng(7)
    frame, face = rng.random((2, height, width, 3)).astype(np.float32)
    mask = np.zeros((height, width), bool)
    mask[1:-1, 1:-1] = True
    inside = np.zeros((height, width))
    inside[4:-4, 4:-4] = 1  # three pixels less
    unknown = {(y, x): i for i, (y, x) in enumerate(np.ndindex(height - 2, width - 2))}
    matrix, right = np.zeros((len(unknown), len(unknown))), np.zeros((len(unknown), 3))
    for (y, x), i in unknown.items():
        y, x = y + 1, x + 1
        for dy, dx in ((0, 1), (1, 0), (0, -1), (-1, 0)):
            ny, nx = y + dy, x + dx
            owner = inside[min(y, ny), min(x, nx)]
            guide = face if owner else frame
            right[i] += guide[ny, nx].astype(float) - guide[y, x]
            matrix[i, i] -= 1
            if (ny - 1, nx - 1) in unknown:
                matrix[i, unknown[ny - 1, nx - 1]] += 1
            else:
                right[i] -= frame[ny, nx]
    expected = np.asarray(spsolve(csr_array(matrix), right)).reshape(height - 2, width - 2, 3)
    clone = seamless_clone(face, frame, mask)
    np.testing.assert_allclose(clone[1:-1, 1:-1], expected, atol=2e-6)


def test_seamless_clone_keeps_the_frame_at_the_rectangles_border_and_the_faces_gradients():
    frame, face, mask = _scene()
    frame_f, face_f = frame.astype(np.float32) / 255, face.astype(np.float32) / 255
    clone = seamless_clone(face_f, frame_f, mask > 0)
    for edge in (np.s_[:20], np.s_[140:], np.s_[:, :20], np.s_[:, 150:]):
        np.testing.assert_array_equal(clone[edge], frame_f[edge])
    laplacian = cv2.Laplacian(clone - face_f, cv2.CV_32F)
    inner = cv2.erode(mask, np.ones((3, 3), np.uint8), iterations=6) > 0
    assert np.abs(laplacian[inner]).max() < 1e-4


def test_seamless_clone_keeps_values_above_one():
    frame, face, mask = _scene()
    bright = frame.astype(np.float32) / 255 + 3
    clone = seamless_clone(face.astype(np.float32) / 255, bright, mask > 0)
    assert clone[mask > 0].min() > 2  # the face stands in the frame's light


def test_a_picture_cloned_onto_itself_stays_as_it_is():
    frame = _scene()[0].astype(np.float32) / 255
    np.testing.assert_allclose(seamless_clone(frame, frame, _scene()[2] > 0), frame, atol=1e-5)


@pytest.mark.parametrize("size", [2, 3, 24, 48, 60, 84])  # 23, 47, 59 and 83 are prime
def test_a_mask_that_fills_the_picture_moves_no_pixel_of_its_border(size):
    frame, face = textured(1, 0.2, 0.5, size), textured(2, 0.4, 0.8, size)
    clone = seamless_clone(face, frame, np.ones((size, size), bool))
    for edge in (np.s_[0], np.s_[-1], np.s_[:, 0], np.s_[:, -1]):
        np.testing.assert_array_equal(clone[edge], frame[edge])
    if size > 20:
        middle = np.s_[8:-8, 8:-8]
        laplacian = cv2.Laplacian(clone - face, cv2.CV_32F)[middle]
        assert np.abs(laplacian).max() < 1e-4
        assert np.abs(clone - frame)[middle].max() > 0.01


def test_an_empty_mask_gives_the_frame():
    frame, face, mask = _scene()
    frame_f = frame.astype(np.float32) / 255
    clone = seamless_clone(face.astype(np.float32) / 255, frame_f, np.zeros_like(mask, bool))
    np.testing.assert_array_equal(clone, frame_f)
