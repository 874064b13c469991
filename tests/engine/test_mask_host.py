"""A matte drawn on the frame comes back where it was drawn."""

import cv2
import numpy as np
import pytest

from facegraft.errors import ParameterError
from facegraft.faces.align import align_matrix, compose, invert, warp_image
from facegraft.merge.mask.face_mask import MASK_SIZE
from facegraft.merge.mask.host_matte import matte_square
from facegraft.model_spec import FaceType
from tests.engine.mean_faces import mean_landmarks

SHAPE = (240, 320, 3)


def _matte() -> np.ndarray:
    """A soft spot on the left cheek."""
    y, x = np.mgrid[0:240, 0:320] + 0.5
    return np.exp(-(((x - 165) / 18) ** 2) - ((y - 130) / 12) ** 2).astype(np.float32)


@pytest.mark.parametrize("degrees", [0, 25])
@pytest.mark.parametrize("shift", [(0, 0), (14.0, -9.0)])
def test_a_matte_comes_back_where_it_was_drawn(degrees, shift):
    """Through the square as it is pasted, be it moved and scaled against the face's own."""
    into = align_matrix(mean_landmarks(150, 120, 80, degrees), FaceType.WHOLE_FACE, MASK_SIZE)
    moved = np.array([[1 / 1.1, 0, shift[0]], [0, 1 / 1.1, shift[1]]])
    placed = compose(into, moved)
    square = matte_square(_matte(), SHAPE, placed)
    assert square.dtype == np.float32 and square.shape == (MASK_SIZE, MASK_SIZE)
    back = warp_image(square, invert(placed), 320, 240)
    assert np.abs(back - _matte()).max() < 0.02


def test_a_matte_is_the_same_at_every_render_scale():
    squares = []
    for scale in (1, 3):
        matte = cv2.resize(_matte(), None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
        points = mean_landmarks(150, 120, 80, degrees=12) * np.float32(scale)
        into = align_matrix(points, FaceType.WHOLE_FACE, MASK_SIZE)
        squares.append(matte_square(matte, matte.shape, into))
    assert np.abs(squares[0] - squares[1]).max() < 0.01


def test_what_is_no_number_is_no_matte_and_values_are_held_within_0_and_1():
    matte = np.full((240, 320), 3.0, np.float32)
    matte[:120] = np.nan
    matte[:, :160] -= 5
    into = align_matrix(mean_landmarks(160, 120, 80), FaceType.FULL, MASK_SIZE)
    square = matte_square(matte, SHAPE, into)
    assert square.min() == 0 and square.max() == 1


@pytest.mark.parametrize(
    ("shape", "words"), [((120, 160), "160x120"), ((240, 320, 3), r"of shape \(240, 320, 3\)")]
)
def test_a_matte_of_another_size_is_refused_with_both_sizes(shape, words):
    into = align_matrix(mean_landmarks(160, 120, 80), FaceType.FULL, MASK_SIZE)
    with pytest.raises(ParameterError, match=f"the matte is {words} and the frame 320x240"):
        matte_square(np.ones(shape, np.float32), SHAPE, into)
