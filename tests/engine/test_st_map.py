"""ST maps against closed forms, and put back to use."""

import cv2
import numpy as np

from facegraft.faces.align import compose, invert
from facegraft.inference import Prediction
from facegraft.merge.frame import MergedFace
from facegraft.merge.out.st_map import st_map
from tests.drawn_faces import face_at


def merged_face(matrix, track=0, size=40.0):
    """A face whose square, 0..1, is what `matrix` (2, 3) makes of frame pixels."""
    plane = np.zeros((4, 4), np.float32)
    prediction = Prediction(np.zeros((4, 4, 3), np.float32), plane, plane)
    face = face_at(20, 20, size)
    face = type(face)(face.landmarks, face.box, face.score, track=track)
    return MergedFace(face, prediction, matrix, matrix, None)


def square(left, top, side, degrees=0.0):
    """Frame px to the 0..1 of a square of `side` px, turned about its top left corner."""
    turn = np.radians(degrees)
    to_frame = np.array(
        [
            [side * np.cos(turn), -side * np.sin(turn), left],
            [side * np.sin(turn), side * np.cos(turn), top],
        ]
    )
    return invert(to_frame)


def test_s_runs_right_and_t_runs_up_from_the_squares_bottom_at_pixel_centres():
    image = st_map((12, 20, 3), [merged_face(square(4, 2, 8), track=3)])
    np.testing.assert_allclose(image[2:10, 4:12, 0], np.tile((np.arange(8) + 0.5) / 8, (8, 1)))
    up = 1 - (np.arange(8) + 0.5) / 8
    np.testing.assert_allclose(image[2:10, 4:12, 1], np.tile(up[:, None], 8), rtol=1e-6)
    assert (image[2:10, 4:12, 2] == 4).all() and (image[2:10, 4:12, 3] == 1).all()
    image[2:10, 4:12] = 0
    assert not image.any()


def test_a_turned_square_gives_the_inverse_of_its_placement():
    matrix = square(30, 10, 20, degrees=30)
    image = st_map((60, 60, 3), [merged_face(matrix)])
    y, x = np.argwhere(image[..., 3] > 0).T
    assert 380 <= len(x) <= 420  # a square of 20 px
    points = np.stack([x + 0.5, y + 0.5, np.ones(len(x))])
    s, down = matrix @ points
    np.testing.assert_allclose(image[y, x, 0], s, atol=1e-6)
    np.testing.assert_allclose(image[y, x, 1], 1 - down, atol=1e-6)


def test_the_larger_face_wins_and_faces_past_the_border_are_cut():
    small, large = merged_face(square(0, 0, 10), 0, 10), merged_face(square(5, 5, 40), 1, 40)
    image = st_map((20, 20, 3), [large, small])
    assert image[2, 2, 2] == 1 and image[7, 7, 2] == 2 and image[19, 19, 2] == 2
    assert not st_map((20, 20, 3), [merged_face(square(50, 50, 10))]).any()
    assert not st_map((20, 20, 3), []).any()


def test_sampling_a_crop_through_the_map_puts_it_where_a_warp_puts_it():
    """What an STMap node does, by OpenCV's remap, against OpenCV's own affine warp."""
    side = 64
    y, x = np.mgrid[:side, :side].astype(np.float32) / side
    crop = np.dstack([x, y, x * y])
    matrix = square(20, 8, 50, degrees=10)
    image = st_map((90, 100, 3), [merged_face(matrix)])
    columns = image[..., 0] * side - 0.5
    rows = (1 - image[..., 1]) * side - 0.5
    mapped = cv2.remap(crop, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    centre = np.array([[1, 0, 0.5], [0, 1, 0.5]])
    back = np.array([[1, 0, -0.5], [0, 1, -0.5]])
    to_frame = compose(back, compose(invert(matrix * side), centre))
    warped = cv2.warpAffine(crop, to_frame, (100, 90), borderMode=cv2.BORDER_REPLICATE)
    covered = image[..., 3] > 0
    assert covered.sum() > 2000
    assert np.abs(mapped - warped)[covered].max() < 0.01  # OpenCV's steps of 1/32 px
