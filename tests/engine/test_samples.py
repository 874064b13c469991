"""Facesets as batches: framing, order, memory limit, damaged files."""

import json
import os

import cv2
import numpy as np
import pytest
import torch

from facegraft.errors import BadAlignedImage, Cancelled
from facegraft.faces.align import align_matrix, transform_points, warp_image
from facegraft.faces.faceset import Faceset, read_image, write_encoded
from facegraft.faces.landmarks import eyes_mouth_mask, hull_mask
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
    parts = eyes_mouth_mask(transform_points(points, matrix), 64, 64)
    assert np.abs(255 * parts / parts.max() - square[..., 4]).max() <= 3
    assert square[..., 4].max() == 255


def test_a_stored_mask_counts_instead_of_the_hull(tmp_path):
    """At half the picture's size, as mask networks make it: a disc stays where it was painted."""
    face = write_faceset(tmp_path, 1)[0]
    drawn = np.zeros((48, 48), np.uint8)
    cv2.circle(drawn, (30, 20), 8, 255, -1)
    png = cv2.imencode(".png", drawn)[1].tobytes()
    picture = cv2.imencode(".png", read_image(face)[..., ::-1])[1].tobytes()
    face = write_encoded(face, picture, png)
    square = load_square(face, FaceType.FULL, 64, 0)
    y, x = np.nonzero(square[..., 3] > 127)
    # pixel centres of 64 from those of 48
    assert abs(x.mean() - (30.5 * 64 / 48 - 0.5)) < 0.1
    assert abs(y.mean() - (20.5 * 64 / 48 - 0.5)) < 0.1
    assert not square[..., 4][square[..., 3] == 0].any()  # what is covered is no eye


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


def changed(faces, extra: int = 0, gone: tuple[int, ...] = ()) -> None:
    """Delete some files of a faceset and write others with a lighter skin beside them."""
    for i in gone:
        faces[i].path.unlink()
    if extra:
        for new in write_faceset(faces.folder.parent / "more", extra, (250, 220, 210)):
            new.path.rename(faces.folder / f"x{new.path.name}")


def listed(some: Samples) -> None:
    job = some.refresh()
    assert job is not None
    job.result()


def shown(some: Samples, draws: range) -> list[list[str]]:
    """Names of the faces of batches that were taken, as the sampler counts them."""
    return [[s.faces[i].path.name for s, i in some._sampler.picks(draw)] for draw in draws]


@pytest.mark.parametrize("kept", [None, 4])
def test_a_changed_folder_is_taken_over_with_the_next_pass(tmp_path, notes, kept):
    """Two go and three come: this pass ends as it began, the next is over what is there."""
    faces = write_faceset(tmp_path / "a", 18)  # more than the five batches that are on their way
    with samples(faces, kept and kept * 64 * 64 * 5) as some:
        some.load(notes)
        some.batch(0)
        before = shown(some, range(6))
        changed(faces, extra=3, gone=(1, 2))
        listed(some)
        batch = [some.batch(draw) for draw in range(1, 12)][-1]
        assert before == shown(some, range(6))
        assert {f.path.name for f in faces} == {name for batch in before for name in batch}
        left = {f.path.name for i, f in enumerate(faces) if i not in (1, 2)}
        following = {name for batch in shown(some, range(6, 13)) for name in batch}
        assert left | {f"x0000{i}_0.png" for i in range(3)} >= following
        assert 19 == len(following | set(shown(some, range(12, 13))[0][:1]))
        assert "3 src faces came and 2 went; pass 2 is over 19" in notes.texts
        for name, square in zip(shown(some, range(11, 12))[0], batch, strict=True):
            face = next(f for f in some.faces if f.path.name == name)
            assert np.array_equal(load_square(face, FaceType.FULL, 64, 0), square)


def test_an_unchanged_folder_changes_nothing_and_says_nothing(tmp_path, notes):
    """However often it is listed."""
    faces = write_faceset(tmp_path, 4)
    with samples(faces) as some, samples(list(faces)) as unwatched:
        some.load(notes)
        for draw in range(20):
            listed(some)
            assert torch.equal(some.batch(draw), unwatched.batch(draw))
        assert not notes.texts
        assert unwatched.refresh() is None


def test_a_replaced_and_a_broken_file_are_told_apart(tmp_path, notes):
    """One face is written anew under its name, one file that came is none."""
    faces = write_faceset(tmp_path / "a", 4)
    with samples(faces) as some:
        some.load(notes)
        listed(some)
        some.batch(0)
        other = write_faceset(tmp_path / "b", 4, (90, 60, 50))[3]
        other.path.replace(faces[0].path)
        os.utime(faces[0].path, ns=(1, 1))
        (faces.folder / "zzz.png").write_bytes(b"not a picture")
        listed(some)
        for draw in range(1, 9):
            some.batch(draw)
        assert "1 src faces came and 1 went; pass 5 is over 4" in notes.texts
        assert any("left out" in text and "zzz.png" in text for text in notes.texts)
        fresh = next(f for f in some.faces if f.path == faces[0].path)
        assert fresh.digest == other.digest


def test_a_deleted_face_that_must_be_decoded_is_stood_in_for(tmp_path, notes):
    """Nothing was listed yet: its neighbour comes instead, and one note says so."""
    faces = write_faceset(tmp_path, 6)
    with samples(faces, memory_bytes=0) as some:
        some.load(Silent())
        some._progress = notes
        changed(faces, gone=(2, 3))
        numbers, batches = [some.indices(d) for d in range(2)], [some.batch(d) for d in range(2)]
        for number, square in zip(np.concatenate(numbers), torch.cat(batches), strict=True):
            face = faces[int(number) if number not in (2, 3) else 4]
            assert np.array_equal(load_square(face, FaceType.FULL, 64, 0), square)
        assert 1 == len(notes.texts) and "was deleted; a neighbour stands in" in notes.texts[0]


def test_when_nothing_can_be_read_any_more_it_says_so(tmp_path):
    """Not in memory, and gone."""
    faces = write_faceset(tmp_path, 2)
    with samples(faces, memory_bytes=0) as some:
        some.load(Silent())
        changed(faces, gone=(0, 1))
        with pytest.raises(BadAlignedImage, match="none of the src faces"):
            some.batch(0)


def test_an_emptied_or_vanished_folder_leaves_the_faces_in_memory(tmp_path, notes):
    """A drive that was pulled out must not end the run."""
    faces = write_faceset(tmp_path / "a", 3)
    with samples(faces) as some:
        some.load(notes)
        changed(faces, gone=(0, 1, 2))
        listed(some)
        first = some.batch(1)
        assert any("no src face is left" in text for text in notes.texts)
        listed(some)  # the batch may have begun a listing, which must not meet the folder gone
        faces.folder.rmdir()
        with pytest.raises(OSError):
            listed(some)
        some.batch(2)
        assert any("stay as they are" in text for text in notes.texts)
        assert (3, 64, 64, 5) == tuple(first.shape)


def test_stopping_and_resuming_gives_the_batches_of_no_stop(tmp_path):
    """Before, at and after a change of the folder."""
    faces = write_faceset(tmp_path / "a", 7)
    with samples(faces) as some:
        some.load(Silent())
        expected = [some.batch(0)]
        changed(faces, extra=2)
        listed(some)
        states = [some.state()]
        for draw in range(1, 9):
            expected.append(some.batch(draw))
            states.append(json.loads(json.dumps(some.state())))
    current = Faceset.open(faces.folder)
    assert 9 == len(current)
    for stop in (2, 3, 6):
        with Samples(current, "src", FaceType.FULL, 64, 3, 0, state=states[stop - 1]) as again:
            again.load(Silent())
            listed(again)
            for draw in range(stop, 9):
                assert torch.equal(expected[draw], again.batch(draw)), (stop, draw)


def test_each_process_gets_its_rows(tmp_path):
    """Two halves are the whole batch, for references too."""
    faces = write_faceset(tmp_path, 5)
    with samples(faces) as whole, samples(faces) as first, samples(faces) as second:
        for some in (whole, first, second):
            some.load(Silent())
        for draw in range(3):
            halves = [first.batch(draw, (0, 2)), second.batch(draw, (1, 2))]
            assert torch.equal(whole.batch(draw), torch.cat(halves))
            halves = [first.references(draw, (0, 2)), second.references(draw, (1, 2))]
            assert torch.equal(whole.references(draw), torch.cat(halves))


def test_references_are_squares_of_this_side_without_margin(tmp_path):
    """From memory and from the disk alike."""
    faces = write_faceset(tmp_path, 4, SKIN, FaceType.WHOLE_FACE, 192)
    with samples(faces) as some, samples(faces, memory_bytes=0) as limited:
        some.load(Silent())
        limited.load(Silent())
        made = some.references(3)
        assert (3, 64, 64, 5) == tuple(made.shape)
        assert torch.equal(made, limited.references(3))
        inner = [some.squares([i])[0] for i in range(4)]
        assert all(any(torch.equal(one, square) for square in inner) for one in made)


def test_two_sides_of_one_faceset_share_its_memory(tmp_path):
    """Pretraining: the second loads nothing, and draws in an order of its own."""
    faces = write_faceset(tmp_path, 5)
    with samples(faces) as src:
        src.load(Silent())
        with Samples(faces, "dst", FaceType.FULL, 64, 3, 0, share=src) as dst:
            dst.load(Silent())
            assert dst._cache is src._cache and 5 == len(src._cache)
            assert not np.array_equal(src.indices(0), dst.indices(0))
            with samples(faces, side="dst") as alone:
                assert torch.equal(dst.batch(2), alone.batch(2))
        src.batch(1)  # still open


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
