"""Face recognition networks: what they are fed, what is refused, and who is like a picture.

The network of these tests is real and tiny: the mean of each channel over the square.
"""

from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from facegraft.embedding import FIVE_POINTS, SIDE, Embedder, five_point_matrix
from facegraft.errors import ModelError, NotAModel, ParameterError, SourceNotFound
from facegraft.faces.align import transform_points
from facegraft.faces.landmarks import LEFT_EYE, RIGHT_EYE
from facegraft.faces.track import track_faces
from facegraft.media.images import write_image
from facegraft.media.open import open_source
from facegraft.merge.clip.choose import parse_choice
from facegraft.merge.clip.faces import ClipFaces, clip_faces
from facegraft.merge.clip.likeness import looks_of, resolve_like
from tests.drawn_faces import SKIN, DiscDetector, draw_face, face_at
from tests.engine.merge_clips import write_sequence
from tests.engine.tiny_embedder import write_embedder

OTHER_SKIN = (60, 200, 90)


def test_the_square_lays_the_five_points_on_their_places():
    """A face whose five points are the template's own, turned and moved, comes back exactly."""
    points = np.zeros((68, 2), np.float32)
    angle, scale = np.radians(25), 1.7
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    placed = (FIVE_POINTS + 0.5) @ turn.T + (80, 40)
    points[RIGHT_EYE], points[LEFT_EYE] = placed[0], placed[1]
    points[30], points[48], points[54] = placed[2:]
    matrix = five_point_matrix(points)
    np.testing.assert_allclose(transform_points(placed, matrix), FIVE_POINTS + 0.5, atol=1e-3)
    assert np.sqrt(np.linalg.det(matrix[:, :2])) == pytest.approx(1 / scale, rel=1e-5)


def test_the_network_sees_rgb_from_minus_1_to_1_and_the_vector_has_length_1(tmp_path):
    embedder = Embedder.open(write_embedder(tmp_path / "mean.onnx"))
    image = np.empty((200, 200, 3), np.uint8)
    image[:] = SKIN
    vector = embedder.embed(image, face_at(100, 100, 90).landmarks)
    seen = (np.array(SKIN) - 127.5) / 127.5
    np.testing.assert_allclose(vector, seen / np.linalg.norm(seen), atol=1e-3)
    assert vector.dtype == np.float32


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        (("N", SIDE, SIDE, 3), "112, 112, 3"),
        (("N", 3, 160, 160), "160"),
        ((4, 3, SIDE, SIDE), "4 faces at once"),
    ],
)
def test_another_layout_is_refused_in_words(tmp_path, shape, message):
    with pytest.raises(NotAModel, match=message):
        Embedder.open(write_embedder(tmp_path / "other.onnx", shape))


def test_a_file_that_gives_pictures_is_refused(tmp_path):
    path = write_embedder(tmp_path / "mean.onnx")
    model = onnx.load(str(path))
    model.graph.output[0].CopyFrom(
        helper.make_tensor_value_info("mean", TensorProto.FLOAT, ["N", 3, 1, 1])
    )
    onnx.save(model, str(path))
    with pytest.raises(NotAModel, match="not one vector"):
        Embedder.open(path)


def test_an_answer_of_zeros_is_an_error_and_no_likeness(tmp_path):
    grey = np.full((200, 200, 3), 127, np.uint8)
    path = tmp_path / "zero.onnx"
    model = onnx.load(str(write_embedder(path)))
    model.graph.node.insert(1, helper.make_node("Sub", ["mean", "mean"], ["nothing"]))
    model.graph.node[2].input[0] = "nothing"
    onnx.save(model, str(path))
    with pytest.raises(ModelError, match="zeros"):
        Embedder.open(path).embed(grey, face_at(100, 100, 90).landmarks)


def two_people(folder: Path) -> tuple[Path, ClipFaces]:
    """Six frames; track 0 has SKIN and moves right, track 1 is smaller and green."""
    images, frames = [], []
    for i in range(6):
        image = np.full((160, 320, 3), 128, np.uint8)
        draw_face(image, 80 + 3 * i, 80, 90)
        cv2.circle(image, (230, 80), 35, OTHER_SKIN, -1)
        images.append(image)
        frames.append([face_at(80 + 3 * i, 80, 90), face_at(230.5, 80.5, 70)])
    clip = clip_faces(dict(enumerate(track_faces(frames))))
    return write_sequence(folder, images), clip


@pytest.mark.parametrize("as_folder", [False, True])
def test_who_resembles_the_picture_is_chosen_as_a_track(tmp_path, as_folder):
    path, clip = two_people(tmp_path / "plates")
    embedder = Embedder.open(write_embedder(tmp_path / "mean.onnx", (1, 3, SIDE, SIDE)))
    portrait = np.full((140, 140, 3), 128, np.uint8)
    draw_face(portrait, 70, 70, 100)
    write_image(tmp_path / "ada" / "1.png", portrait)
    write_image(tmp_path / "ada" / "2.png", np.ascontiguousarray(portrait[:, ::-1]))
    like = tmp_path / "ada" if as_folder else tmp_path / "ada" / "1.png"
    choice = parse_choice(f"like:{like}")
    with open_source(path) as source:
        found = resolve_like(choice, clip, source, embedder, DiscDetector(), 0.8)
        nobody = resolve_like(choice, clip, source, embedder, DiscDetector(), 0.99999)
        as_is = resolve_like(parse_choice("left:1"), clip, source, embedder, DiscDetector(), 0.8)
    assert str(found) == "track:0"
    assert nobody.pick(clip.at(0), 320, 160) == ()
    assert str(as_is) == "left:1"


def test_a_picture_without_a_face_and_one_that_is_not_there_are_named(tmp_path):
    path, clip = two_people(tmp_path / "plates")
    embedder = Embedder.open(write_embedder(tmp_path / "mean.onnx"))
    write_image(tmp_path / "wall.png", np.full((80, 80, 3), 128, np.uint8))
    (tmp_path / "empty").mkdir()
    with open_source(path) as source:
        for name, kind, message in (
            ("wall.png", ParameterError, "no face is found in .*wall.png"),
            ("lost.png", SourceNotFound, "lost.png"),
            ("empty", SourceNotFound, "no picture"),
        ):
            with pytest.raises(kind, match=message):
                choice = parse_choice(f"like:{tmp_path / name}")
                resolve_like(choice, clip, source, embedder, DiscDetector(), 0.5)


def test_a_track_is_looked_at_in_as_many_parts_as_it_has():
    frames = [[face_at(80, 80, 90)] for _ in range(7)]
    (track,) = clip_faces(dict(enumerate(track_faces(frames)))).tracks()
    assert [index for index, _ in looks_of(track, 3)] == [0, 3, 5]
    assert len(looks_of(track, 30)) == 7
