"""The seat: what undoes a model's own displacement, in the rows of the placement controls."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from facegraft.errors import ParameterError
from facegraft.faces.align import align_matrix, invert, transform_points
from facegraft.faces.face import Face
from facegraft.inference import SwapModel
from facegraft.media.open import open_source
from facegraft.merge.clip.faces import clip_faces
from facegraft.merge.clip.seat import Seat, displacement, in_rows, seat
from facegraft.merge.geometry import placement
from facegraft.merge.params import MergeParams
from facegraft.model_spec import FaceType
from tests.drawn_faces import face_at
from tests.engine.merge_clips import frames_with_faces, write_sequence
from tests.engine.tiny_dfm import write_dfm
from tests.weights_fixture import detector, needs_weights, portrait, portrait_landmarks

SIDE = 128
PLACED = MergeParams(face_offset_x=12, face_offset_y=-30, face_scale=5, face_rotation=4)


def write_shifting_dfm(path: Path, right: int, down: int) -> Path:
    """A model whose picture is the face moved by whole pixels, to image right and down."""
    write_dfm(path, SIDE)
    model = onnx.load(str(path))
    pads = [0, max(down, 0), max(right, 0), 0, 0, max(-down, 0), max(-right, 0), 0]
    starts, ends = [max(-down, 0), max(-right, 0)], [max(-down, 0) + SIDE, max(-right, 0) + SIDE]
    shift = [
        helper.make_node("Pad", ["in_face:0", "pads"], ["padded"], mode="edge"),
        helper.make_node("Slice", ["padded", "starts", "ends", "axes"], ["moved"]),
    ]
    for name, value in (("pads", pads), ("starts", starts), ("ends", ends), ("axes", [1, 2])):
        model.graph.initializer.append(numpy_helper.from_array(np.array(value, np.int64), name))
    gain = next(node for node in model.graph.node if node.op_type == "Mul")
    gain.input[0] = "moved"
    for node in reversed(shift):
        model.graph.node.insert(0, node)
    onnx.save(model, str(path))
    return path


def test_brows_that_another_person_wears_higher_do_not_move_the_seat():
    own = face_at(200, 180, 120).landmarks
    swapped = own.copy()
    swapped[17:27] -= (0, 9)
    moved = in_rows(own, swapped, align_matrix(own, FaceType.WHOLE_FACE, 1))
    assert moved == pytest.approx((0, 0, 0, 0), abs=1e-3)


@pytest.mark.parametrize("face_type", [FaceType.FULL, FaceType.WHOLE_FACE])
def test_landmarks_displaced_against_the_placement_are_seated_by_it(face_type):
    """Displaced by the inverse of a placement, they call for that placement."""
    own = face_at(200, 180, 120).landmarks.astype(np.float64)
    to_square = align_matrix(own, face_type, 1)
    away = invert(placement(PLACED, 1))
    displaced = transform_points(transform_points(own, to_square), away)
    swapped = transform_points(displaced, invert(to_square))
    x, y, size, angle = in_rows(own, swapped, to_square)
    assert (x, y) == pytest.approx((PLACED.face_offset_x, PLACED.face_offset_y), abs=1e-3)
    assert (size, angle) == pytest.approx((PLACED.face_scale, PLACED.face_rotation), abs=1e-3)


@needs_weights
@pytest.mark.parametrize(("right", "down"), [(0, 4), (-3, 3)])
def test_a_model_that_shifts_its_face_is_moved_back_by_as_much(tmp_path, right, down):
    model = SwapModel.open(write_shifting_dfm(tmp_path / "shift.dfm", right, down))
    points = portrait_landmarks()
    x0, y0, x1, y1 = (*points.min(axis=0).tolist(), *points.max(axis=0).tolist())
    face = Face(points, (x0, y0, x1, y1), 0.9)
    image = portrait().astype(np.float32) / 255
    moved = displacement(image, face, model, detector(), MergeParams())
    assert moved is not None
    # the detector's own repeatability on one picture
    assert moved[0] == pytest.approx(-1000 * right / SIDE, abs=6)
    assert moved[1] == pytest.approx(-1000 * down / SIDE, abs=6)
    assert moved[2] == pytest.approx(0, abs=2)
    assert moved[3] == pytest.approx(0, abs=1.5)


def test_the_seat_is_added_to_what_the_user_set():
    found = Seat(3.0, -8.0, 10.0, 1.5, (1, 1, 1, 1), 9)
    both = found.added_to(replace(MergeParams(), face_offset_y=5.0, face_scale=10.0))
    assert (both.face_offset_x, both.face_offset_y) == (3.0, -3.0)
    assert both.face_scale == pytest.approx(21.0)
    assert both.face_rotation == 1.5
    assert found.to_values() == {
        "face_offset_x": 3.0, "face_offset_y": -8.0, "face_scale": 10.0, "face_rotation": 1.5,
    }  # fmt: skip
    assert math.isclose(Seat(0, 0, 0, 0, (0, 0, 0, 0), 3).added_to(PLACED).face_scale, 5.0)


def test_a_model_whose_faces_nobody_finds_has_no_seat(tmp_path):
    class Blind:
        name = "blind 1"

        def detect(self, image_u8: np.ndarray, max_faces: int = 0) -> list[Face]:
            return []

    model = SwapModel.open(write_dfm(tmp_path / "tint.dfm", 64))
    clip = write_sequence(tmp_path / "plates", frames_with_faces(4))
    faces = clip_faces({i: [face_at(60 + 4 * i, 55, 40)] for i in range(4)})
    with open_source(clip) as source, pytest.raises(ParameterError, match="found in 0 of 4 frames"):
        seat(model, source, faces, Blind(), MergeParams())


class Shaky:
    """Finds the frame's face, and the model's displaced downwards by more in each frame."""

    name = "shaky 1"

    def __init__(self, offsets_px: np.ndarray) -> None:
        self.offsets, self.calls = offsets_px, 0

    def detect(self, image_u8: np.ndarray, max_faces: int = 0) -> list[Face]:
        frame, of_model = divmod(self.calls, 2)
        self.calls += 1
        away = self.offsets[frame] if of_model else 0.0
        return [face_at(256 + 0.1 * away, 250 + away, 150)]


def test_the_seat_is_the_median_and_leaves_out_what_noise_explains(tmp_path):
    """5 to 7 px of the 320 that the square takes; sideways the tenth, around nothing."""
    model = SwapModel.open(write_dfm(tmp_path / "tint.dfm", 64))
    clip = write_sequence(tmp_path / "plates", frames_with_faces(11))
    faces = clip_faces({i: [face_at(60 + 4 * i, 55, 40)] for i in range(11)})
    with open_source(clip) as source:
        far = seat(model, source, faces, Shaky(np.linspace(5, 7, 11)), MergeParams())
        near = seat(model, source, faces, Shaky(np.linspace(-0.9, 1.1, 11)), MergeParams())
    assert far.frame_count == 11
    # the median is sure to 0.34 px, a part of 6 that costs a three-hundredth
    assert far.face_offset_y == pytest.approx(-6 / 0.32 * (1 - (0.336 / 6) ** 2), abs=0.02)
    assert far.spread[1] == pytest.approx(1.4826 * 0.6 / 0.32, abs=0.05)  # of 0, .2, ... 1 px
    assert far.face_offset_x == pytest.approx(-0.6 / 0.32, abs=0.02)
    assert (far.face_scale, far.face_rotation) == pytest.approx((0, 0), abs=1e-3)
    assert (near.face_offset_x, near.face_offset_y) == (0, 0)
