"""Segmentations get from the segmenter's square into the model's, whatever framing each has."""

import cv2
import numpy as np
import pytest

from facegraft.faces.align import align_matrix, invert, scaled, warp_image
from facegraft.merge.mask.face_mask import MASK_SIZE
from facegraft.merge.mask.segmented import into_square, segment_frame, segment_prediction
from facegraft.model_spec import FaceType
from facegraft.segment import Segmenter
from tests.engine.mean_faces import mean_landmarks
from tests.engine.tiny_segmenter import write_red_segmenter

LANDMARKS = mean_landmarks(150, 120, 80, degrees=12)


def _frame() -> np.ndarray:
    """Softly red here and there, never so little that it would count as nothing."""
    y, x = np.mgrid[0:240, 0:320].astype(np.float32)
    red = 0.55 + 0.3 * np.sin(x / 25) * np.cos(y / 30)
    return np.stack([red, 1 - red, np.full_like(red, 0.3)], axis=-1)


def _segmenter(folder, face_type: FaceType, size: int = 128) -> Segmenter:
    return Segmenter.open(write_red_segmenter(folder / "red.onnx", size=size), face_type)


def _square(face_type: FaceType) -> np.ndarray:
    return align_matrix(LANDMARKS, face_type, MASK_SIZE)


@pytest.mark.parametrize("own", [FaceType.HALF, FaceType.WHOLE_FACE, FaceType.HEAD])
def test_what_a_segmenter_sees_lies_where_the_frame_has_it(tmp_path, own):
    """Red is face to this segmenter, so its answer is the frame's red in the model's square."""
    segmenter = _segmenter(tmp_path, own)
    to_square = _square(FaceType.FULL)
    found = into_square(
        segment_frame(_frame(), LANDMARKS, segmenter), LANDMARKS, segmenter, to_square
    )
    expected = warp_image(_frame()[..., 0], to_square, MASK_SIZE, MASK_SIZE)
    everything = np.ones((128, 128), np.float32)
    seen = into_square(everything, LANDMARKS, segmenter, to_square) > 0.99
    inner = cv2.erode(seen.astype(np.uint8), np.ones((21, 21), np.uint8)) > 0
    assert inner.sum() > 0.2 * MASK_SIZE**2
    assert np.abs(found - expected)[inner].max() < 0.02


def test_what_a_segmenter_did_not_see_is_no_face(tmp_path):
    """A half face's square covers the middle of the whole face's and nothing of its rim."""
    segmenter = _segmenter(tmp_path, FaceType.HALF)
    everything = np.ones((128, 128), np.float32)
    mask = into_square(everything, LANDMARKS, segmenter, _square(FaceType.WHOLE_FACE))
    share = (
        align_matrix(LANDMARKS, FaceType.WHOLE_FACE, 1)[0, 0]
        / align_matrix(LANDMARKS, FaceType.HALF, 1)[0, 0]
    )
    assert mask.sum() / MASK_SIZE**2 == pytest.approx(share**2, rel=0.02)
    assert mask[0].max() == mask[-1].max() == 0
    assert mask[MASK_SIZE * 6 // 10, MASK_SIZE // 2] == pytest.approx(1)


def test_a_segmentation_is_the_same_at_every_render_scale(tmp_path):
    segmenter = _segmenter(tmp_path, FaceType.WHOLE_FACE)
    masks = []
    for scale in (1, 3):
        frame = cv2.resize(_frame(), None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
        points = LANDMARKS * np.float32(scale)
        to_square = align_matrix(points, FaceType.FULL, MASK_SIZE)
        found = segment_frame(frame, points, segmenter)
        masks.append(into_square(found, points, segmenter, to_square))
    assert np.abs(masks[0] - masks[1]).max() < 0.01


@pytest.mark.parametrize("resolution", [64, 128, 256])
def test_a_prediction_is_segmented_at_any_resolution(tmp_path, resolution):
    segmenter = _segmenter(tmp_path, FaceType.WHOLE_FACE)
    ramp = np.linspace(0.2, 0.9, resolution, dtype=np.float32)
    face = np.zeros((resolution, resolution, 3), np.float32)
    face[..., 0] = ramp[:, None]
    to_square = _square(FaceType.WHOLE_FACE)
    found = segment_prediction(_frame(), LANDMARKS, face, segmenter, to_square)
    mask = into_square(found, LANDMARKS, segmenter, to_square)
    expected = cv2.resize(face[..., 0], (MASK_SIZE, MASK_SIZE))
    inner = np.s_[12:-12, 12:-12]
    assert np.abs(mask - expected)[inner].max() < 0.02


def test_around_a_smaller_prediction_the_segmenter_sees_the_frame(tmp_path):
    segmenter = _segmenter(tmp_path, FaceType.WHOLE_FACE)
    frame = np.full((240, 320, 3), 0.25, np.float32)
    face = np.ones((64, 64, 3), np.float32)
    found = segment_prediction(frame, LANDMARKS, face, segmenter, _square(FaceType.HALF))
    assert found[60:80, 60:70] == pytest.approx(1)  # inside the half face's square
    rim = np.concatenate([found[:4].ravel(), found[-4:].ravel(), found[:, :4].ravel()])
    np.testing.assert_allclose(rim, 0.25, atol=1e-5)


def test_past_the_frames_border_the_segmenter_sees_the_border_go_on(tmp_path):
    landmarks = mean_landmarks(10, 120, 80)
    segmenter = _segmenter(tmp_path, FaceType.WHOLE_FACE)
    frame = np.full((240, 320, 3), 0.4, np.float32)
    frame[0, 0] = np.nan  # no number, as renderers leave them
    np.testing.assert_allclose(segment_frame(frame, landmarks, segmenter), 0.4, atol=1e-5)


def test_the_square_of_the_segmenter_is_the_faces(tmp_path):
    """A red spot on the nose lies where the framing puts the nose."""
    frame = np.zeros((240, 320, 3), np.float32)
    nose = LANDMARKS[30]
    cv2.circle(frame, (round(nose[0] - 0.5), round(nose[1] - 0.5)), 4, (1.0, 1.0, 1.0), -1)
    segmenter = _segmenter(tmp_path, FaceType.FULL)
    found = segment_frame(frame, LANDMARKS, segmenter)
    y, x = np.mgrid[0:128, 0:128] + 0.5
    center = np.array([(found * x).sum(), (found * y).sum()]) / found.sum()
    into = scaled(align_matrix(LANDMARKS, FaceType.FULL, 1), 128)
    np.testing.assert_allclose(center, into[:, :2] @ nose + into[:, 2], atol=1.5)
    back = invert(into)
    np.testing.assert_allclose(back[:, :2] @ center + back[:, 2], nose, atol=1)
