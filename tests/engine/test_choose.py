"""Choosing faces by number, size and place, in their text forms; tracks of a clip."""

from pathlib import Path

import pytest

from facegraft.errors import ParameterError
from facegraft.faces.face import Face
from facegraft.faces.track import track_faces
from facegraft.merge.clip.choose import (
    ChoiceKind,
    FaceChoice,
    choose,
    parse_choice,
)
from facegraft.merge.clip.faces import ClipFaces, clip_faces
from tests import drawn_faces

WIDTH, HEIGHT = 640, 360


def clip_of(*frames: list[Face]) -> ClipFaces:
    return clip_faces(dict(enumerate(track_faces(frames, smooth_sigma=0))))


def row() -> tuple[Face, ...]:
    """Three faces as a frame lists them, largest first: middle, left, right."""
    places = ((300, 180, 90), (100, 200, 60), (520, 100, 40))
    return clip_of([drawn_faces.face_at(*place) for place in places]).at(0)


@pytest.mark.parametrize(
    ("text", "tracks"),
    [
        ("all", [0, 1, 2]),
        ("largest:1", [0]),
        ("largest:2", [0, 1]),
        ("largest:9", [0, 1, 2]),
        ("track:2,0", [0, 2]),
        ("track:7", []),
        ("near:0.8,0.3", [2]),
        ("near:0.2,0.5", [1]),
        ("left:1", [1]),
        ("left:3,1", [1, 2]),
        ("left:4", []),
    ],
)
def test_a_frames_faces_are_picked_by_each_form_and_keep_their_order(text, tracks):
    picked = parse_choice(text).pick(row(), WIDTH, HEIGHT)
    assert [face.track for face in picked] == tracks


@pytest.mark.parametrize(
    "text",
    ["all", "largest:2", "track:0,3,12", "near:0.25,0.5", "left:2", "like:faces/ada 1:2.png"],
)
def test_the_text_form_comes_back(text):
    assert str(parse_choice(text)) == text


def test_a_picture_may_hold_colons_and_commas():
    choice = parse_choice("like:C:/a,b.png")
    assert choice == FaceChoice(ChoiceKind.LIKE, picture=Path("C:/a,b.png"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("biggest", "largest:N"),
        ("track:", "numbers such as 1,3"),
        ("track:a", "numbers such as 1,3"),
        ("track:-1", "begin at 0"),
        ("left:0", "begin at 1"),
        ("largest:1,2", "how many"),
        ("near:0.5", "two numbers"),
        ("near:1.5,0", "0 to 1"),
        ("near:nan,0", "two numbers"),
        ("like:", "like:ada.png"),
        ("all:1", "nothing after"),
    ],
)
def test_a_wrong_text_is_refused_with_what_would_be_right(text, message):
    with pytest.raises(ParameterError, match=message):
        parse_choice(text)


def test_likeness_is_not_answered_by_one_frame():
    with pytest.raises(ParameterError, match="recognition"):
        parse_choice("like:ada.png").pick(row(), WIDTH, HEIGHT)


def test_two_people_of_like_size_do_not_change_places():
    """By frame the larger one changes every time; by track it is always the second."""
    frames = [
        [drawn_faces.face_at(150, 180, 80 + 4 * (i % 2)), drawn_faces.face_at(450, 180, 83)]
        for i in range(8)
    ]
    chosen = choose(clip_of(*frames), parse_choice("largest:1"), WIDTH, HEIGHT)
    assert {face.track for i in range(8) for face in chosen.at(i)} == {1}
    assert len(chosen.frames) == 8


def test_a_track_that_is_not_there_is_refused_by_name():
    clip = clip_of([drawn_faces.face_at(150, 180, 80)])
    with pytest.raises(ParameterError, match="track 4; the clip has 0"):
        choose(clip, parse_choice("track:0,4"), WIDTH, HEIGHT)


def test_frames_without_a_chosen_face_have_none():
    both = [drawn_faces.face_at(150, 180, 80), drawn_faces.face_at(450, 180, 60)]
    clip = clip_of(both, both[:1], [], both)
    chosen = choose(clip, parse_choice("track:1"), WIDTH, HEIGHT)
    assert sorted(chosen.frames) == [0, 3]
    assert chosen.at(1) == ()


def test_tracks_tell_frames_size_and_place():
    frames = [[drawn_faces.face_at(100 + 10 * i, 180, 60)] for i in range(3)]
    frames.insert(2, [])
    (track,) = clip_of(*frames).tracks()
    assert track.indices == (0, 1, 3)
    box = drawn_faces.face_at(110, 180, 60).box
    assert track.center == pytest.approx(((box[0] + box[2]) / 2, (box[1] + box[3]) / 2), abs=0.01)
    assert track.size_px == pytest.approx(drawn_faces.face_at(110, 180, 60).size_px, abs=0.01)
