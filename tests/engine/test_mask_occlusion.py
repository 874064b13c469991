"""The occlusion matte: what lies over the face's outline and is no face."""

import cv2
import numpy as np
import pytest

from facegraft.faces.align import align_matrix, scaled
from facegraft.faces.landmarks import hull_mask
from facegraft.merge.mask.face_mask import MASK_SIZE
from facegraft.merge.mask.occlusion import occlusion_layer
from facegraft.merge.mask.segmented import into_square, segment_frame
from facegraft.model_spec import FaceType
from facegraft.segment import Segmenter
from tests.engine.mean_faces import mean_landmarks
from tests.engine.tiny_segmenter import write_red_segmenter

SHAPE = (240, 320, 3)
LEFT, RIGHT = mean_landmarks(90, 110, 60, degrees=-10), mean_landmarks(235, 120, 70, degrees=20)


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory) -> Segmenter:
    path = write_red_segmenter(tmp_path_factory.mktemp("red") / "red.onnx", size=192)
    return Segmenter.open(path, FaceType.WHOLE_FACE)


def _frame(*faces: np.ndarray) -> np.ndarray:
    """Red wherever a face's outline is, and black elsewhere."""
    frame = np.zeros(SHAPE, np.float32)
    for landmarks in faces:
        # drawn a little larger, so that no rim of the outline counts as covered
        outline = cv2.dilate(hull_mask(landmarks, 240, 320), np.ones((5, 5)))
        frame[..., 0] = np.maximum(frame[..., 0], outline)
    return frame


def _layer(frame: np.ndarray, faces, segmenter) -> np.ndarray:
    """As a merge does it: seen in the segmenter's framing, laid into the model's."""
    seen = []
    for face in faces:
        unit = align_matrix(face, FaceType.FULL, 1)
        found = segment_frame(frame, face, segmenter)
        visible = into_square(found, face, segmenter, scaled(unit, MASK_SIZE))
        seen.append((visible, face, unit))
    return occlusion_layer(frame.shape, seen)


def test_a_face_with_nothing_before_it_gives_an_empty_layer(segmenter):
    layer = _layer(_frame(LEFT, RIGHT), [LEFT, RIGHT], segmenter)
    assert layer.shape == (240, 320) and layer.dtype == np.float32
    assert layer.max() < 0.02


def test_a_bar_before_a_face_is_the_layer_inside_the_outline_alone(segmenter):
    frame = _frame(LEFT, RIGHT)
    frame[100:116, 60:130] = 0  # a bar over the left face that sticks out on both sides
    expected = np.zeros((240, 320), np.float32)
    expected[100:116, 60:130] = hull_mask(LEFT, 240, 320)[100:116, 60:130]
    layer = _layer(frame, [LEFT, RIGHT], segmenter)
    assert np.abs(layer - expected).mean() < 0.001
    assert layer.sum() == pytest.approx(expected.sum(), rel=0.03)
    assert layer[108, 90] == pytest.approx(1, abs=1e-3)
    assert layer[108, 58] < 0.01


def test_faces_that_overlap_count_once(segmenter):
    frame = np.zeros(SHAPE, np.float32)  # nothing is face: both outlines are covered
    near = LEFT + np.array([15, 5], np.float32)
    layer = _layer(frame, [LEFT, near], segmenter)
    either = np.maximum(hull_mask(LEFT, 240, 320), hull_mask(near, 240, 320))
    assert layer.max() <= 1
    assert np.abs(layer - either).mean() < 0.005


def test_a_face_past_the_frames_border_is_cut_off_there(segmenter):
    beside = mean_landmarks(5, 235, 60)
    away = mean_landmarks(-400, 120, 60)
    layer = _layer(np.zeros(SHAPE, np.float32), [beside, away], segmenter)
    assert layer.shape == (240, 320)
    assert layer[230, 5] == pytest.approx(1, abs=0.01)
    assert layer[:, 100:].max() == 0


def test_a_rim_where_outline_and_segmenter_disagree_is_no_occlusion(segmenter):
    frame = np.zeros(SHAPE, np.float32)  # red a little inside of the outline
    large = mean_landmarks(160, 110, 120)
    frame[..., 0] = cv2.erode(hull_mask(large, 240, 320), np.ones((3, 3)))
    assert _layer(frame, [large], segmenter).max() < 0.05


def test_no_faces_give_an_empty_layer():
    assert occlusion_layer(SHAPE, []).max() == 0
