"""The default detector on a real portrait: where the points are, and that they follow the image."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from facegraft import weights
from facegraft.errors import BadWeights, MissingWeights, ParameterError
from facegraft.faces.boxes import TILE, Candidate, distinct, turn_back
from facegraft.faces.detect import FaceDetector
from facegraft.faces.landmarks import LEFT_EYE, MOUTH, NOSE, RIGHT_EYE, mirror_landmarks
from facegraft.faces.mesh import CROP, Square, square_of_mesh
from facegraft.faces.mesh68 import to_68
from tests.weights_fixture import detector, needs_weights, portrait, portrait_landmarks

IOD_PX = 36.0  # between the portrait's eye centres


def in_frame(width: int, height: int, x: int, y: int, shrink: float) -> np.ndarray:
    """The portrait, shrunk, on a grey frame with its top left corner at (x, y)."""
    small = cv2.resize(portrait(), None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
    frame = np.full((height, width, 3), 128, np.uint8)
    part = frame[y : y + len(small), x : x + small.shape[1]]
    part[:] = small[: len(part), : part.shape[1]]
    return frame


def distance(found: np.ndarray, expected: np.ndarray) -> float:
    """Mean distance of inner points in eye distances of `expected`."""
    eyes = expected[RIGHT_EYE].mean(axis=0) - expected[LEFT_EYE].mean(axis=0)
    return float(np.linalg.norm(found - expected, axis=1)[17:].mean() / np.linalg.norm(eyes))


@needs_weights
def test_the_points_of_the_portrait_are_where_a_person_sees_them() -> None:
    (face,) = detector().detect(portrait())
    points = face.landmarks
    # read off the picture at eight times its size
    for part, place in ((RIGHT_EYE, (205, 102)), (LEFT_EYE, (245, 104)), (MOUTH, (224, 144))):
        assert np.linalg.norm(points[part].mean(axis=0) - place) < 4
    assert points[NOSE][:, 1].max() < points[MOUTH][:, 1].min()
    assert np.all(np.diff(points[:9, 1]) > 0) and np.all(np.diff(points[1:17, 0]) > 0)
    assert points.dtype == np.float32 and points.shape == (68, 2)
    assert face.box == (*points.min(axis=0).tolist(), *points.max(axis=0).tolist())
    assert face.score > 0.8 and abs(face.pose.yaw) < 10 and abs(face.pose.roll) < 8


@needs_weights
@pytest.mark.parametrize("factor", [2, 3])
def test_enlarging_the_image_scales_the_points(factor: int) -> None:
    """In the corner convention p becomes factor * p; counting from pixel centres would add
    (factor - 1) / 2 px to each.
    """
    large = cv2.resize(portrait(), None, fx=factor, fy=factor, interpolation=cv2.INTER_LINEAR)
    (face,) = detector().detect(large)
    offset = (face.landmarks / factor - portrait_landmarks()).mean(axis=0)
    assert np.abs(offset).max() < 0.1
    assert distance(face.landmarks / factor, portrait_landmarks()) < 0.02


@needs_weights
def test_moving_the_image_moves_the_points() -> None:
    (face,) = detector().detect(in_frame(700, 620, 97, 61, 1.0))
    assert distance(face.landmarks - [97, 61], portrait_landmarks()) < 0.02


@needs_weights
def test_the_mirrored_image_has_the_mirrored_points() -> None:
    (face,) = detector().detect(np.ascontiguousarray(portrait()[:, ::-1]))
    expected = mirror_landmarks(portrait_landmarks(), portrait().shape[1])
    assert distance(face.landmarks, expected) < 0.03


@needs_weights
@pytest.mark.parametrize("turns", [1, 2, 3])
def test_faces_on_their_side_and_upside_down_are_found(turns: int) -> None:
    turned = np.ascontiguousarray(np.rot90(portrait(), turns))
    face = detector().detect(turned)[0]
    points = face.landmarks
    for _ in range(turns):  # a turn back maps (x, y) to (512 - y, x)
        points = np.stack([512 - points[:, 1], points[:, 0]], axis=1)
    assert distance(points, portrait_landmarks()) < 0.02


@needs_weights
@pytest.mark.parametrize("degrees", [-40, 30, 60])
def test_tilted_heads_are_found(degrees: float) -> None:
    matrix = cv2.getRotationMatrix2D((255.5, 255.5), degrees, 1.0)
    tilted = cv2.warpAffine(portrait(), matrix, (512, 512), borderMode=cv2.BORDER_REPLICATE)
    faces = detector().detect(tilted)
    expected = (portrait_landmarks() - 0.5) @ matrix[:, :2].T + matrix[:, 2] + 0.5
    assert min(distance(face.landmarks, expected) for face in faces) < 0.03


@needs_weights
def test_a_face_that_fills_the_frame_is_found() -> None:
    close = cv2.resize(portrait()[75:190, 165:290], (1000, 920), interpolation=cv2.INTER_CUBIC)
    assert len(detector().detect(close)) == 1


@needs_weights
def test_faces_come_largest_first_and_max_faces_keeps_the_largest() -> None:
    frame = in_frame(1280, 720, 700, 20, 1.2)
    frame[100:356, 100:356] = cv2.resize(portrait(), (256, 256), interpolation=cv2.INTER_AREA)
    large, small = detector().detect(frame)
    assert large.size_px > 2 * small.size_px and large.box[0] > 700 > small.box[2]
    (only,) = detector().detect(frame, max_faces=1)
    np.testing.assert_array_equal(only.landmarks, large.landmarks)


@needs_weights
def test_small_faces_finds_what_the_default_misses() -> None:
    """A crowd of 32 faces of 33 px beside one of 180 px, in a frame 1920 px wide."""
    frame = in_frame(1920, 1080, 1300, 20, 2.0)
    head = portrait()[:300, 60:400]
    small = cv2.resize(head, None, fx=0.36, fy=0.36, interpolation=cv2.INTER_AREA)
    height, width = small.shape[:2]
    places = [(40 + 140 * column, 60 + 200 * row) for column in range(8) for row in range(4)]
    for x, y in places:
        frame[y : y + height, x : x + width] = small
    found = FaceDetector(small_faces=True, threads=1).detect(frame)
    assert len(found) == 1 + len(places) > len(detector().detect(frame)) >= 1
    for x, y in places:
        inside = [
            x < f.box[0] and f.box[2] < x + width and y < f.box[1] < y + height for f in found
        ]
        assert sum(inside) == 1


@needs_weights
def test_pictures_without_a_face_give_none() -> None:
    rng = np.random.default_rng(1)
    assert detector().detect(np.zeros((270, 480, 3), np.uint8)) == []
    assert detector().detect(rng.integers(0, 256, (200, 300, 3), dtype=np.uint8)) == []
    assert detector().detect(portrait()[300:, :400]) == []  # the suit
    assert detector().detect(np.zeros((3, 5, 3), np.uint8)) == []


@needs_weights
@pytest.mark.parametrize("shape", [(40, 40), (40, 40, 4)])
def test_an_array_that_is_no_frame_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ParameterError, match="uint8 RGB"):
        detector().detect(np.zeros(shape, np.uint8))
    with pytest.raises(ParameterError, match="float32"):
        detector().detect(np.zeros((40, 40, 3), np.float32))


def test_without_networks_the_message_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(MissingWeights, match="facegraft weights fetch"):
        FaceDetector(tmp_path)


def test_a_file_that_is_no_network_is_named(tmp_path: Path) -> None:
    for file in weights.WEIGHTS:
        (tmp_path / file.file_name).write_bytes(b"not a network")
    with pytest.raises(BadWeights, match="face_det_full.onnx"):
        FaceDetector(tmp_path)


def test_turning_back_undoes_rot90() -> None:
    image = np.zeros((30, 50, 3), np.uint8)
    image[7, 12] = 255
    for turns in range(4):
        y, x = np.argwhere(np.rot90(image, turns)[..., 0])[0]
        seen = Candidate(np.array([x, y, x + 1, y + 1.0]), np.full((6, 2), (x + 0.5, y + 0.5)), 1.0)
        (back,) = turn_back([seen], turns, image)
        np.testing.assert_allclose(back.box, [12, 7, 13, 8])
        np.testing.assert_allclose(back.points, np.full((6, 2), (12.5, 7.5)))


def test_boxes_of_one_face_are_reported_once() -> None:
    boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [30, 30, 40, 40], [33, 33, 36, 36.0]])
    assert distinct(boxes, np.array([0.7, 0.9, 0.8, 0.95])) == [3, 1]  # the last lies inside


def test_the_square_of_a_mesh_is_upright_in_the_face_axes() -> None:
    """Points of a 40 x 60 box turned by 25 degrees: side 1.5 * 60, its own centre and angle."""
    angle = np.deg2rad(25)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    mesh = np.zeros((478, 2))
    mesh[33], mesh[263], mesh[10], mesh[152] = (-20, -10), (20, -10), (0, -30), (0, 30)
    square = square_of_mesh(mesh @ turn + [200, 100])
    assert square.side == pytest.approx(90) and square.angle == pytest.approx(angle)
    np.testing.assert_allclose(square.center, [200, 100], atol=1e-9)
    middle = Square(square.center, square.side, square.angle).frame_to_crop @ [200, 100, 1]
    np.testing.assert_allclose(middle, [CROP / 2, CROP / 2], atol=1e-9)


def test_the_jaw_is_nine_even_steps_on_each_side() -> None:
    rng = np.random.default_rng(3)
    mesh = rng.uniform(0, 100, (478, 2))
    chain = [127, 234, 93, 132, 58, 172, 136, 150, 149, 176, 148, 152]
    for i, vertex in enumerate(chain):
        mesh[vertex] = (i * i, 5.0)  # uneven vertices on a straight line of length 121
    points = to_68(mesh)
    np.testing.assert_allclose(points[:9, 0], np.linspace(0, 121, 9), rtol=1e-6)
    np.testing.assert_allclose(points[[8, 36, 45]], mesh[[152, 33, 263]], rtol=1e-6)
    np.testing.assert_allclose(points[17], 0.75 * mesh[70] + 0.25 * mesh[156], rtol=1e-6)


def test_tiles_cover_the_frame_with_overlap() -> None:
    from facegraft.faces.boxes import _tile_starts

    for length in (100, TILE, 193, 540, 960):
        starts = _tile_starts(length)
        assert starts[0] == 0 and starts[-1] == max(0, length - TILE)
        assert all(b - a <= 0.75 * TILE for a, b in zip(starts, starts[1:], strict=False))
