"""Faces that the detector missed or misplaced: hints of people, refitted and cut again alone."""

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result

from facegraft.errors import LabelError, ParameterError
from facegraft.extract import ExtractParams, extract_faces
from facegraft.faces.align import transform_points
from facegraft.faces.face import Polygon
from facegraft.faces.faceset import Faceset, rewritten
from facegraft.faces.landmarks import LEFT_EYE, NOSE
from facegraft.media.open import open_source
from facegraft.model_spec import FaceType
from facegraft.sets.correct import fit_hint, five_of
from facegraft.sets.hints import Hint, read_hints
from facegraft_cli.main import cli
from tests.synthetic import make_clip
from tests.weights_fixture import detector, needs_weights, portrait, portrait_landmarks

SIZE = 128


def facegraft(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(a) for a in arguments])


def points_of_portrait() -> np.ndarray:
    """(68, 2) float64 in the clip, which shows the portrait at half its size."""
    return portrait_landmarks().astype(np.float64) / 2


@pytest.fixture
def shot(tmp_path) -> tuple[Path, Path]:
    """A clip of three frames with one face, and its faceset, which lacks the second frame."""
    small = cv2.resize(portrait(), (256, 256), interpolation=cv2.INTER_AREA)
    clip = make_clip(tmp_path / "my shot.mkv", [small] * 3, codec="ffv1", pix_fmt="bgr0")
    folder = tmp_path / "faces"
    params = ExtractParams(image_size=SIZE, face_type=FaceType.FULL)
    with open_source(clip) as source:
        extract_faces(source, folder, params, detector(), debug_folder=tmp_path / "debug")
    Faceset.open(folder)[1].path.unlink()
    return clip, folder


def write(path: Path, values: object) -> Path:
    path.write_text(json.dumps(values))
    return path


@needs_weights
def test_a_rough_box_is_enough_to_find_the_landmarks():
    x0, y0 = portrait_landmarks().min(axis=0) - 25
    x1, y1 = portrait_landmarks().max(axis=0) + 15
    face = fit_hint(portrait(), Hint(box=(x0, y0, x1, y1)), detector())
    assert face is not None
    assert np.linalg.norm(face.landmarks - portrait_landmarks(), axis=1).mean() < 1.0


@needs_weights
@pytest.mark.parametrize("turns", [0, 1, 2])
def test_five_points_find_a_face_that_is_turned(turns):
    side = len(portrait())
    image = np.ascontiguousarray(np.rot90(portrait(), turns))
    points = portrait_landmarks().astype(np.float64)
    for _ in range(turns):  # a quarter turn to the left: (x, y) to (y, side - x)
        points = np.stack([points[:, 1], side - points[:, 0]], axis=1)
    face = fit_hint(image, Hint(points=five_of(points)), detector())
    assert face is not None
    assert np.linalg.norm(face.landmarks - points, axis=1).mean() < 1.5


@needs_weights
def test_five_points_without_a_face_become_a_mean_head_on_them():
    empty = np.full((256, 256, 3), 90, np.uint8)
    given = five_of(points_of_portrait())
    face = fit_hint(empty, Hint(points=given), detector())
    assert face is not None and face.score == 0.5
    assert np.linalg.norm(five_of(face.landmarks) - given, axis=1).max() < 6  # px; heads differ
    assert fit_hint(empty, Hint(box=(50, 50, 150, 150)), detector()) is None


@needs_weights
def test_68_landmarks_are_taken_as_they_are():
    points = points_of_portrait() + 3.25
    face = fit_hint(portrait(), Hint(points=points), detector())
    assert face is not None
    np.testing.assert_array_equal(face.landmarks, points.astype(np.float32))


@needs_weights
def test_a_missing_face_is_added_and_the_other_frames_stay(shot, tmp_path):
    clip, folder = shot
    before = {face.path: face.path.read_bytes() for face in Faceset.open(folder)}
    x0, y0 = points_of_portrait().min(axis=0)
    x1, y1 = points_of_portrait().max(axis=0)
    hints = write(tmp_path / "h.json", {"frames": {"1": [{"box": [x0, y0, x1, y1]}]}})
    done = facegraft("faceset", "fix", folder, clip, "--landmarks", hints)
    assert done.exit_code == 0, done.output
    assert "1 frames, 0 faces replaced, 1 added" in done.output
    faceset = Faceset.open(folder)
    (added,) = [face for face in faceset if face.path not in before]
    neighbour = next(iter(faceset))
    assert added.origin.frame_index == 1 and added.face.track == neighbour.face.track
    assert (added.size, added.face_type) == (SIZE, FaceType.FULL)
    assert np.linalg.norm(added.landmarks - points_of_portrait(), axis=1).mean() < 1.5
    assert {path: path.read_bytes() for path in before} == before
    facegraft("faceset", "undo", folder)
    assert {face.path for face in Faceset.open(folder)} == set(before)


@needs_weights
def test_a_replaced_face_keeps_its_file_and_its_labels(shot, tmp_path):
    clip, folder = shot
    old = Faceset.open(folder)[0]
    nose = transform_points(old.landmarks[NOSE].astype(np.float64), old.frame_to_aligned)
    polygon = Polygon(True, tuple(map(tuple, nose[:4].tolist())))
    old.path.write_bytes(rewritten(replace(old, polygons=(polygon,)), None))
    moved = points_of_portrait() + (4, 2)
    hints = write(tmp_path / "h.json", {"frames": {"0": [{"landmarks": moved.tolist()}]}})
    done = facegraft("faceset", "fix", folder, clip, "--landmarks", hints)
    assert "1 faces replaced, 0 added" in done.output
    new = Faceset.open(folder)[0]
    assert new.path == old.path
    np.testing.assert_allclose(new.landmarks, moved, atol=2e-3)
    # the polygon lies on the same pixels of the frame as before
    expected = transform_points(old.landmarks[NOSE][:4].astype(np.float64), new.frame_to_aligned)
    np.testing.assert_allclose(new.polygons[0].points, expected, atol=0.02)


@needs_weights
def test_frames_whose_debug_picture_was_deleted_are_searched_again(shot, tmp_path):
    clip, folder = shot
    debug = tmp_path / "debug"
    names = sorted(path.name for path in debug.iterdir())
    (debug / names[1]).unlink()
    done = facegraft("faceset", "redo", folder, clip, "--debug", debug)
    assert done.exit_code == 0, done.output
    assert "1 frames, 0 faces replaced, 1 added" in done.output
    assert len(Faceset.open(folder)) == 3
    assert sorted(path.name for path in debug.iterdir()) == names
    again = facegraft("faceset", "redo", folder, clip, "--debug", debug)
    assert "0 frames, 0 faces replaced, 0 added" in again.output


@needs_weights
def test_a_wrong_folder_or_frame_is_named(shot, tmp_path):
    clip, folder = shot
    (tmp_path / "empty").mkdir()
    done = facegraft("faceset", "redo", folder, clip, "--debug", tmp_path / "empty")
    assert isinstance(done.exception, ParameterError)
    assert "holds no debug picture" in str(done.exception)
    hints = write(tmp_path / "h.json", {"frames": {"99": [{"box": [0, 0, 9, 9]}]}})
    done = facegraft("faceset", "fix", folder, clip, "--landmarks", hints)
    assert isinstance(done.exception, ParameterError) and "no frame '99'" in str(done.exception)


def test_coco_keypoints_and_boxes_are_read(tmp_path):
    five = five_of(np.arange(136.0).reshape(68, 2))
    numbers = np.column_stack([five, np.full(5, 2)]).ravel().tolist()
    values = {
        "images": [{"id": 4, "file_name": "frames/00007.png"}],
        "annotations": [
            {"image_id": 4, "keypoints": numbers},
            {"image_id": 4, "bbox": [10, 20, 30, 40]},
        ],
    }
    first, second = read_hints(write(tmp_path / "coco.json", values))["00007"]
    assert first.points is not None
    np.testing.assert_array_equal(first.points, five)
    assert second.box == (10, 20, 40, 60)


def test_points_and_rectangles_of_labelme_are_read_from_a_folder(tmp_path):
    five = five_of(np.arange(136.0).reshape(68, 2)).tolist()
    shapes = [{"label": "p", "shape_type": "point", "points": [point]} for point in five]
    shapes.append({"label": "b", "shape_type": "rectangle", "points": [[40, 60], [10, 20]]})
    write(tmp_path / "00003.json", {"shapes": shapes})
    box, points = read_hints(tmp_path)["00003"]
    assert box.box == (10, 20, 40, 60)
    np.testing.assert_array_equal(points.points, five)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"frames": {"1": [{"points": [[1, 2]]}]}}, "frame 1: points have shape"),
        ({"frames": {"1": [{"box": [5, 5, 5, 9]}]}}, "has no area"),
        ({"frames": {"1": [{"bxo": [5, 5, 5, 9]}]}}, "landmarks, points or a box"),
        ({"frames": {"1": [{"points": [[float("nan"), 0]] * 5}]}}, "not finite"),
        ({"other": 1}, "neither"),
        ([], "it is an object"),
    ],
)
def test_a_bad_file_is_named_with_what_is_wrong(tmp_path, values, message):
    with pytest.raises(LabelError, match=message):
        read_hints(write(tmp_path / "h.json", values))


def test_the_five_points_are_eyes_nose_and_mouth():
    points = np.zeros((68, 2))
    points[LEFT_EYE] = (7, 3)
    assert five_of(points)[1].tolist() == [7, 3]
