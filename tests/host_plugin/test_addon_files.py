"""Track files, baked layers and places in an editor: the add-on's parts without Blender."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facegraft.errors import BadAlignedImage, FutureVersion, ParameterError, SourceNotFound
from facegraft.merge.clip.faces import clip_faces
from facegraft.merge.clip.track_file import load_tracks, save_tracks
from facegraft_blender.cache import Bake, load_bake, replace_folder
from facegraft_blender.faces import face_under, load_faces
from facegraft_blender.geometry import backdrop, centred
from tests.drawn_faces import face_at
from tests.host_plugin.tracks import tracked

SIZE = (200, 100)


@pytest.fixture
def tracks(tmp_path: Path) -> Path:
    """Two people: track 0 in frames 0 to 3 moves right, track 1 is in frame 2 alone and larger."""
    frames = {i: [tracked(face_at(50 + 10 * i, 50, 30), 0)] for i in range(4)}
    frames[2].append(tracked(face_at(150, 50, 40), 1, held=True))
    path = tmp_path / "shot.tracks.json"
    save_tracks(path, clip_faces(frames), *SIZE, "drawn 1")
    return path


def test_a_track_file_comes_back_as_it_was_saved(tracks: Path):
    clip = load_tracks(tracks, *SIZE)
    assert [(i, [f.track for f in faces]) for i, faces in clip.frames.items()] == [
        (0, [0]),
        (1, [0]),
        (2, [1, 0]),
        (3, [0]),
    ]
    expected = face_at(70, 50, 30)
    found = clip.at(2)[1]
    assert np.abs(found.landmarks - expected.landmarks).max() <= 0.005 + 1e-5
    assert found.raw_landmarks is not None and clip.at(2)[0].held and not found.held


def test_a_track_file_fits_a_proxy_and_refuses_another_shape(tracks: Path):
    half = load_tracks(tracks, 100, 50).at(0)[0]
    assert np.allclose(half.landmarks * 2, load_tracks(tracks, *SIZE).at(0)[0].landmarks)
    with pytest.raises(ParameterError, match="100x80 px, the tracked one was 200x100"):
        load_tracks(tracks, 100, 80)


def test_the_add_on_reads_the_same_faces_and_neighbours_of_the_same_track(tracks: Path):
    table, clip = load_faces(tracks), load_tracks(tracks, *SIZE)
    larger, smaller = table.at(2, *SIZE)
    assert (larger["track"], larger["held"]) == (1, True)
    assert larger["before"] is None and larger["after"] is None  # a track of one frame
    for key, index in (("before", 1), ("landmarks", 2), ("after", 3)):
        (points,) = [f.landmarks for f in clip.at(index) if f.track == 0]
        assert np.allclose(smaller[key], points), key
    assert table.at(3, *SIZE)[0]["after"] is None
    assert table.at(9, *SIZE) == []


def test_tracks_are_listed_by_length_with_their_frames_and_size(tracks: Path):
    first, second = load_faces(tracks).tracks()
    assert (first.number, first.first, first.last, first.count) == (0, 0, 3, 4)
    assert (second.number, second.first, second.last, second.count) == (1, 2, 2, 1)
    assert second.largest > first.largest


def test_a_track_file_that_changed_is_read_again(tracks: Path):
    assert len(load_faces(tracks).tracks()) == 2
    save_tracks(tracks, clip_faces({0: [tracked(face_at(50, 50, 30), 7)]}), *SIZE, "drawn 1")
    assert [t.number for t in load_faces(tracks).tracks()] == [7]


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"version": 1, "size": [1]}'])
def test_a_damaged_track_file_is_named(tmp_path: Path, text: str):
    path = tmp_path / "x.tracks.json"
    path.write_text(text)
    with pytest.raises(BadAlignedImage, match="x.tracks.json"):
        load_faces(path)
    path.write_text('{"version": 99}')
    with pytest.raises(FutureVersion, match="version 99"):
        load_faces(path)


def test_a_click_takes_the_smallest_face_under_it(tracks: Path):
    faces = load_faces(tracks).at(2, *SIZE)
    assert [face_under(faces, x, 50)["track"] for x in (70, 150)] == [0, 1]  # pyright: ignore[reportOptionalSubscript]
    assert face_under(faces, 70, 5) is None
    overlapping = [*faces, {**faces[0], "landmarks": face_at(150, 50, 20).landmarks.tolist()}]
    assert face_under(overlapping, 150, 50) is overlapping[2]


@pytest.fixture
def bake(tmp_path: Path) -> Bake:
    folder = tmp_path / "cache"
    folder.mkdir()
    values: dict[int, Mapping[str, Any]] = {
        frame: {"mix": frame / 10, "mode": "overlay"} for frame in (5, 6, 7)
    }
    made = Bake(folder, 5, SIZE, {"model_path": "//a.dfm"}, values)
    for frame in range(4, 9):
        made.path_of(frame).write_bytes(b"layer")
    made.save()
    return made


def test_a_bake_comes_back_and_says_what_changed_since(bake: Bake):
    found = load_bake(bake.folder)
    assert (found.first, found.count, found.size, found.settings) == (5, 3, SIZE, bake.settings)
    same = {"mix": 0.6 + 1e-8, "mode": "overlay"}  # a float of Blender's
    assert found.changes_since(6, same, {"model_path": "//a.dfm"}) == []
    changed = {"mix": 0.61, "mode": "overlay"}
    assert found.changes_since(6, changed, {"model_path": "//b.dfm"}) == ["mix", "model_path"]


def test_a_frame_outside_the_bake_or_without_its_file_is_a_problem(bake: Bake):
    assert bake.problem_at(5) == ""
    assert "frame 8 is not baked, 5-7 are" in bake.problem_at(8)
    bake.path_of(6).unlink()
    assert "is missing; bake again" in bake.problem_at(6)


def test_the_files_beyond_both_ends_are_numbered_with_the_frames(bake: Bake):
    names = [bake.path_of(frame).name for frame in range(4, 9)]
    assert names == [f"layer_{n:04d}.exr" for n in range(1, 6)]


def test_no_bake_and_a_damaged_one_are_told_apart(bake: Bake, tmp_path: Path):
    with pytest.raises(SourceNotFound, match="nothing is baked"):
        load_bake(tmp_path / "nowhere")
    index = bake.folder / "bake.json"
    index.write_text(json.dumps({**json.loads(index.read_text()), "version": 2}))
    with pytest.raises(FutureVersion, match="version 2"):
        load_bake(bake.folder)
    index.write_text("{}")
    with pytest.raises(ParameterError, match="damaged"):
        load_bake(bake.folder)


def test_a_new_bake_replaces_the_old_one_but_no_folder_of_others(bake: Bake, tmp_path: Path):
    fresh = tmp_path / "fresh"
    fresh.mkdir()
    (fresh / "bake.json").write_text("{}")
    replace_folder(fresh, bake.folder)
    assert [p.name for p in bake.folder.iterdir()] == ["bake.json"]
    (bake.folder / "holiday.jpg").write_bytes(b"")
    fresh.mkdir()
    with pytest.raises(OSError, match="holiday.jpg, which no bake wrote"):
        replace_folder(fresh, bake.folder)
    assert (bake.folder / "holiday.jpg").exists()


def test_places_in_a_backdrop_and_in_the_picture_belong_together():
    shown = backdrop((1000, 600), (400, 200), 2.0, (30.0, -10.0))
    # the picture is 800x400 px in the region, centred at (530, 290); its top left corner
    assert shown.to_picture(530 - 400, 290 + 200) == (0, 0)
    assert shown.to_picture(530, 290) == (200, 100)
    assert shown.to_region(200, 0) == (530, 490)
    for place in ((0.0, 0.0), (123.0, 45.0)):
        assert shown.to_picture(*shown.to_region(*place)) == pytest.approx(place)


def test_a_picture_that_is_shown_centred_in_a_larger_one_keeps_its_own_pixels():
    assert centred((10, 20), (200, 100), (160, 80)) == (-10, 10)
