"""Facesets as batches: framing, order, memory limit, damaged files."""

import cv2
import numpy as np
import pytest

from facegraft.errors import BadAlignedImage, Cancelled
from facegraft.faces.align import align_matrix, transform_points, warp_image
from facegraft.faces.landmarks import hull_mask
from facegraft.model_spec import FaceType
from facegraft.progress import Silent
from facegraft.training.face_cache import free_memory, load_square
from facegraft.training.samples import Samples
from facegraft.training.sampling import random_seed
from tests.engine.training_faces import head_frame, head_points, write_faceset

SKIN = (210, 160, 130)


def samples(faces, memory_bytes: int | None = None, side: str = "src", seed: int = 0) -> Samples:
    return Samples(faces, side, FaceType.FULL, 64, 3, seed, memory_bytes=memory_bytes)


def test_every_face_comes_once_per_epoch(tmp_path):
    with samples(write_faceset(tmp_path, 7)) as some:
        numbers = np.concatenate([some.indices(draw) for draw in range(14)])  # 42 = 6 epochs
    for epoch in numbers.reshape(6, 7):
        assert list(range(7)) == sorted(epoch.tolist())
    assert not np.array_equal(numbers[:7], numbers[7:14])


def test_a_batch_depends_on_seed_side_and_number_alone(tmp_path):
    faces = write_faceset(tmp_path, 7)
    with samples(faces) as one, samples(faces) as two:
        expected = [one.indices(draw).tolist() for draw in range(9)]
        assert expected[5] == two.indices(5).tolist()  # asked for out of order
        assert expected[2] == two.indices(2).tolist()
    with samples(faces, side="dst") as dst, samples(faces, seed=1) as other:
        assert expected != [dst.indices(draw).tolist() for draw in range(9)]
        assert expected != [other.indices(draw).tolist() for draw in range(9)]


def test_a_set_smaller_than_a_batch_fills_it(tmp_path):
    with samples(write_faceset(tmp_path, 1)) as some:
        some.load(Silent())
        assert (3, 64, 64, 5) == tuple(some.batch(5).shape)


@pytest.mark.parametrize("kept", [0, 2])
def test_faces_beyond_the_memory_limit_are_decoded_on_demand(tmp_path, kept):
    faces = write_faceset(tmp_path, 5)
    with samples(faces) as all_kept, samples(faces, kept * 64 * 64 * 5) as limited:
        all_kept.load(Silent())
        limited.load(Silent())
        for draw in (0, 1, 1, 2, 7):  # with a repeat, and a jump as after resuming
            assert np.array_equal(all_kept.batch(draw), limited.batch(draw))


def test_a_square_of_another_face_type_is_framed_from_the_landmarks(tmp_path):
    """Reference: the same square cut from the original frame."""
    wide = write_faceset(tmp_path, 3, SKIN, FaceType.WHOLE_FACE, 192)[1]
    square = load_square(wide, FaceType.FULL, 64, 0)
    points = head_points(0)
    matrix = align_matrix(points, FaceType.FULL, 64)
    expected = warp_image(
        head_frame(points, SKIN), matrix, 64, 64, cv2.INTER_CUBIC, cv2.BORDER_REPLICATE
    )
    assert np.abs(expected.astype(int) - square[..., :3]).mean() < 2  # one resampling apart
    mask = hull_mask(transform_points(points, matrix), 64, 64) * 255
    assert np.abs(mask - square[..., 3]).max() <= 3  # stored points have three decimals


def test_a_wider_stored_framing_gives_a_margin_of_real_pixels(tmp_path):
    faces = write_faceset(tmp_path, 2, SKIN, FaceType.WHOLE_FACE, 192)
    with samples(faces) as some:
        some.load(Silent())
        assert 64 + 2 * 8 == some.side_px
        inner = load_square(faces[0], FaceType.FULL, 64, 0)
        assert np.abs(inner.astype(int) - some.squares([0])[0].numpy()).max() <= 2


def test_a_closer_stored_framing_is_reported(tmp_path, notes):
    with samples(write_faceset(tmp_path, 2, face_type=FaceType.HALF)) as some:
        some.load(notes)
    assert "2 src faces are cut closer (half) than the model's full" in notes.texts[0]


def test_every_damaged_file_is_named(tmp_path):
    faces = write_faceset(tmp_path, 4)
    for i in (1, 3):
        data = faces[i].path.read_bytes()
        middle = len(data) - 60  # inside the compressed pixels
        faces[i].path.write_bytes(data[:middle] + bytes(20) + data[middle + 20 :])
    with samples(faces) as some, pytest.raises(BadAlignedImage) as error:
        some.load(Silent())
    assert faces[1].path.name in str(error.value) and faces[3].path.name in str(error.value)


def test_loading_can_be_cancelled(tmp_path, notes):
    notes.cancelled = True
    with samples(write_faceset(tmp_path, 2)) as some, pytest.raises(Cancelled):
        some.load(notes)


def test_seeds_differ_by_every_part_of_their_key():
    keys = [(0, "src", 1), (0, "src", 2), (0, "dst", 1), (1, "src", 1), (0, "src1")]
    assert len({random_seed(*key) for key in keys}) == len(keys)
    assert all(0 <= random_seed(*key) < 2**63 for key in keys)


def test_free_memory_is_a_plausible_number():
    assert 64 * 2**20 < free_memory() < 2**44


class Notes(Silent):
    """A Progress that keeps its notes."""

    cancelled = False

    def __init__(self) -> None:
        self.texts: list[str] = []

    def note(self, text: str) -> None:
        self.texts.append(text)


@pytest.fixture
def notes() -> Notes:
    return Notes()
