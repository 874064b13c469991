"""The faces of a whole clip: whose they are, where they come from, and at which size."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from facegraft.faces.face import Face, Origin
from facegraft.faces.faceset import Faceset, read_aligned, read_image, write_aligned
from facegraft.media.open import open_source
from facegraft.merge.clip.faces import clip_faces, faces_from_set, find_faces
from facegraft.progress import Silent
from tests.drawn_faces import DiscDetector, draw_face, face_at
from tests.engine.merge_clips import frames_with_faces, make_faceset, write_sequence
from tests.synthetic import make_clip, numbered_frames, picture


@pytest.fixture
def plates(tmp_path) -> Path:
    return write_sequence(tmp_path / "plates", frames_with_faces(6))


def rewritten(path: Path, face: Face, origin: Origin, target: Path) -> None:
    """The aligned image at `path` with another face and origin."""
    aligned = read_aligned(path)
    write_aligned(
        target, read_image(aligned), face, aligned.face_type, aligned.frame_to_aligned, origin
    )


def test_frames_know_their_names_without_being_decoded(plates, tmp_path):
    movie = make_clip(tmp_path / "clip.mp4", numbered_frames(3))
    for path in (plates, movie):
        with open_source(path) as source:
            names = [source.name_of(i) for i in range(source.info.frame_count)]
            assert names == [frame.name for frame in source]


def test_faces_come_largest_first_and_empty_frames_are_absent():
    small, large = face_at(50, 50, 20), face_at(100, 50, 40)
    clip = clip_faces({4: [small, large], 2: [small], 7: []})
    assert clip.frames == {2: (small,), 4: (large, small)}
    assert clip_faces({4: [small, large]}, max_faces=1).at(4) == (large,)
    assert clip.at(7) == ()


def test_faces_of_another_clip_in_the_same_folder_are_left_out(plates, tmp_path):
    folder = make_faceset(plates, tmp_path / "faces")
    first = sorted(folder.glob("*.jpg"))[0]
    aligned = read_aligned(first)
    stranger = replace(aligned.origin, source_name="another.mp4")
    rewritten(first, aligned.face, stranger, folder / "stranger.png")
    with open_source(plates) as source:
        clip = faces_from_set(Faceset.open(folder), source)
        assert [len(clip.at(i)) for i in range(6)] == [1, 1, 1, 0, 1, 1]
    renamed = plates.rename(tmp_path / "renamed")  # then all are taken, as of this clip
    with open_source(renamed) as source:
        assert len(faces_from_set(Faceset.open(folder), source).at(0)) == 2


def test_faces_that_follow_no_track_are_followed_here(plates, tmp_path):
    folder = make_faceset(plates, tmp_path / "faces")
    for path in sorted(folder.glob("*.jpg")):
        aligned = read_aligned(path)
        untracked = replace(aligned.face, track=-1, raw_landmarks=None)
        rewritten(path, untracked, aligned.origin, path)
    with open_source(plates) as source:
        (track,) = faces_from_set(Faceset.open(folder), source).tracks()
    assert track.indices == (0, 1, 2, 4, 5)


def test_a_proxy_scales_the_networks_own_points_too(plates, tmp_path):
    faceset = Faceset.open(make_faceset(plates, tmp_path / "faces"))
    half = write_sequence(tmp_path / "half", [f[::2, ::2] for f in frames_with_faces(6)])
    with open_source(half) as source:
        face = faces_from_set(faceset, source).at(0)[0]
    assert faceset[0].face.raw_landmarks is not None and face.raw_landmarks is not None
    np.testing.assert_allclose(face.raw_landmarks, faceset[0].face.raw_landmarks / 2, atol=1e-4)
    assert face.box == pytest.approx([v / 2 for v in faceset[0].face.box])


def test_a_search_follows_two_people_who_cross_sizes(tmp_path):
    images = []
    for i in range(5):
        image = picture(240, 120)
        draw_face(image, 60, 60, 36 + 4 * i)
        draw_face(image, 180, 60, 52 - 4 * i)
        images.append(image)
    path = write_sequence(tmp_path / "plates", images)
    with open_source(path) as source:
        clip = find_faces(source, range(5), DiscDetector(), 0, Silent())
    left, right = sorted(clip.tracks(), key=lambda track: track.center[0])
    assert left.indices == right.indices == (0, 1, 2, 3, 4)
    assert clip.at(0)[0].track == right.number and clip.at(4)[0].track == left.number
