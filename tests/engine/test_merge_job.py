"""What a merge of a clip asks its job: faces, values, and what a frame brings along."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from facegraft.errors import ParameterError
from facegraft.inference import SwapModel
from facegraft.media.images import write_image
from facegraft.media.open import open_source
from facegraft.media.source import Frame
from facegraft.merge.animation import Animation
from facegraft.merge.clip.faces import ClipFaces
from facegraft.merge.clip.seat import Seat
from facegraft.merge.job import MergeJob, check_mattes
from facegraft.merge.params import MergeParams
from tests.drawn_faces import face_at
from tests.engine.tiny_dfm import write_dfm

FACES = {
    n: (
        replace(face_at(40 + 3 * n, 50 - 2 * n, 30), track=0),
        replace(face_at(120, 60, 24), track=1),
    )
    for n in range(4)
}


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> tuple[SwapModel, SwapModel]:
    folder = tmp_path_factory.mktemp("models")
    one, other = (
        SwapModel.open(write_dfm(folder / f"{n}.dfm", 64, (gain, 1, 1), (0, 0, 0), 1.0, 1.0))
        for n, gain in enumerate((0.5, 0.8))
    )
    return one, other


def frame(index: int) -> Frame:
    return Frame(np.zeros((100, 160, 3), np.uint8), index, Fraction(index, 25), f"{index:06d}")


def test_motion_is_measured_where_it_blurs_and_nowhere_else(models):
    blurred = MergeJob(models[0], Animation.constant(MergeParams(motion_blur=50)), ClipFaces(FACES))
    for index in range(4):  # the first and last have one neighbour
        one, other = blurred.extras(frame(index), FACES[index], blurred.params(frame(index))).faces
        assert one.motion is not None and other.motion is not None
        np.testing.assert_allclose(one.motion, [3, -2], atol=1e-4)
        np.testing.assert_allclose(other.motion, [0, 0], atol=1e-4)
    plain = MergeJob(models[0], Animation.constant(MergeParams()), ClipFaces(FACES))
    extras = plain.extras(frame(1), FACES[1], plain.params(frame(1)))
    assert [face.motion for face in extras.faces] == [None, None]
    assert extras.seed == 1  # of the grain: the frame's own


def test_every_face_brings_its_model_and_its_seat(models):
    """The seat of a model is added to the values of each frame, where they are keyed, too."""
    keys = {"version": 2, "params": {"face_offset_x": {"keys": [[0, 0.0], [2, 20.0]]}}}
    seat = Seat(5.0, -3.0, 10.0, 1.5, (0, 0, 0, 0), 12)
    job = MergeJob(
        models[0],
        Animation.from_json(keys),
        ClipFaces(FACES),
        models={n: models for n in FACES},
        seats={models[1].digest: seat},
    )
    params = job.params(frame(1))
    first, second = job.extras(frame(1), FACES[1], params).faces
    assert first.model is None and first.params is None  # the frame's own
    assert second.model is models[1] and second.params is not None
    assert (second.params.face_offset_x, second.params.face_offset_y) == (15.0, -3.0)
    assert second.params.face_scale == pytest.approx(10) and second.params.face_rotation == 1.5
    sorted_out = {model.digest: clip for model, clip in job.clips_by_model()}
    assert [face.track for face in sorted_out[models[0].digest].at(2)] == [0]
    assert [face.track for face in sorted_out[models[1].digest].at(2)] == [1]


def test_a_matte_is_read_by_frame_and_one_picture_serves_all(models, tmp_path):
    for n in range(4):
        grey = np.full((100, 160, 3), 60 * n, np.uint8)
        write_image(tmp_path / "mattes" / f"m.{n:04d}.png", grey)
    job = MergeJob(models[0], Animation.constant(MergeParams()), ClipFaces(FACES))
    assert job.matte_at(2) is None
    with open_source(tmp_path / "mattes") as mattes:
        matte = replace(job, mattes=mattes).matte_at(2)
        assert matte is not None and matte.shape == (100, 160)
        np.testing.assert_allclose(matte, 120 / 255, atol=1e-6)
    write_image(tmp_path / "one.png", np.full((100, 160, 3), 255, np.uint8))
    with open_source(tmp_path / "one.png") as one:
        matte = replace(job, mattes=one).matte_at(3)
        assert matte is not None and matte.min() == 1


def test_mattes_that_do_not_fit_the_plate_are_refused(tmp_path):
    for name, count, shape in (
        ("plate", 4, (50, 80, 3)),
        ("m", 2, (50, 80, 3)),
        ("s", 4, (25, 40, 3)),
    ):
        for n in range(count):
            write_image(tmp_path / name / f"x.{n:04d}.png", np.zeros(shape, np.uint8))
    with open_source(tmp_path / "plate") as plate:
        check_mattes(plate.info, plate.info)
        with open_source(tmp_path / "m") as few, pytest.raises(ParameterError, match="2 frames"):
            check_mattes(few.info, plate.info)
        with open_source(tmp_path / "s") as small, pytest.raises(ParameterError, match="40x25 px"):
            check_mattes(small.info, plate.info)
