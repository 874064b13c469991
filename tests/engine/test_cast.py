"""A model for each of several people: who gets which, and that the pixels are that model's."""

from pathlib import Path

import numpy as np
import pytest

from facegraft.errors import ParameterError
from facegraft.faces.track import track_faces
from facegraft.inference import SwapModel
from facegraft.merge.clip.cast import cast_clip, cast_frame, parse_part
from facegraft.merge.clip.choose import parse_choice
from facegraft.merge.clip.faces import clip_faces
from facegraft.merge.extras import FaceExtras, FrameExtras
from facegraft.merge.frame import merge_frame
from facegraft.merge.params import ColorTransfer, MergeParams
from tests.drawn_faces import face_at
from tests.engine.merge_clips import oval_mask
from tests.engine.tiny_dfm import write_dfm
from tests.synthetic import picture

WIDTH, HEIGHT = 320, 160
RED, GREEN = (0.9, 0.1, 0.1), (0.1, 0.8, 0.1)


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> dict[str, SwapModel]:
    """Models that paint their face in one colour."""
    folder = tmp_path_factory.mktemp("models")
    mask = oval_mask()
    return {
        name: SwapModel.open(write_dfm(folder / f"{name}.dfm", 64, (0, 0, 0), color, mask, mask))
        for name, color in (("ada", RED), ("ben", GREEN))
    }


def three_people():
    frames = [
        [face_at(60 + i, 80, 50), face_at(160, 80, 44), face_at(260, 80 - i, 40)] for i in range(4)
    ]
    return clip_faces(dict(enumerate(track_faces(frames))))


@pytest.mark.parametrize(
    ("text", "choice", "path"),
    [
        ("1=ada.dfm", "track:1", "ada.dfm"),
        ("0,2=m/ada.dfm", "track:0,2", "m/ada.dfm"),
        ("left:2=a=b.dfm", "left:2", "a=b.dfm"),
        ("like:ada.png=ada.dfm", "like:ada.png", "ada.dfm"),
    ],
)
def test_a_part_is_a_choice_and_a_model(text, choice, path):
    assert parse_part(text) == (parse_choice(choice), Path(path))


@pytest.mark.parametrize("text", ["ada.dfm", "=ada.dfm", "1=", "nobody=ada.dfm"])
def test_a_text_that_is_no_part_is_refused(text):
    with pytest.raises(ParameterError, match="write 1=ada.dfm|it can be all"):
        parse_part(text)


def test_the_first_part_wins_and_who_has_none_is_left_alone(models):
    parts = [(parse_choice("track:2"), models["ada"]), (parse_choice("left:1,3"), models["ben"])]
    faces = three_people().at(0)
    kept, played_by = cast_frame(faces, parts, WIDTH, HEIGHT)
    assert [face.track for face in kept] == [0, 2]
    assert played_by == (models["ben"], models["ada"])
    kept, played_by = cast_frame(faces, parts, WIDTH, HEIGHT, otherwise=models["ada"])
    assert [face.track for face in kept] == [0, 1, 2]
    assert played_by == (models["ben"], models["ada"], models["ada"])


def test_each_face_shows_its_own_model(models):
    parts = [(parse_choice("track:0"), models["ada"]), (parse_choice("track:2"), models["ben"])]
    cast = cast_clip(three_people(), parts, WIDTH, HEIGHT)
    image = picture(WIDTH, HEIGHT).astype(np.float32) / 255
    for index in range(4):
        faces = cast.clip.at(index)
        extras = FrameExtras(faces=[FaceExtras(model=m) for m in cast.models[index]])
        params = MergeParams(color_transfer=ColorTransfer.NONE)
        result = merge_frame(image, faces, models["ada"], params, extras).result
        np.testing.assert_allclose(result[80, 60 + index], RED, atol=0.01)
        np.testing.assert_allclose(result[80 - index, 260], GREEN, atol=0.01)
        np.testing.assert_array_equal(result[80, 160], image[80, 160])


def test_a_part_for_a_track_that_is_not_there_is_refused(models):
    with pytest.raises(ParameterError, match="track 9"):
        cast_clip(three_people(), [(parse_choice("track:9"), models["ada"])], WIDTH, HEIGHT)


def test_frames_without_anybody_who_is_cast_have_no_face(models):
    frames = [[face_at(60, 80, 50)], [], [face_at(60, 80, 50), face_at(200, 80, 40)]]
    clip = clip_faces(dict(enumerate(track_faces(frames))))
    cast = cast_clip(clip, [(parse_choice("track:1"), models["ben"])], WIDTH, HEIGHT)
    assert sorted(cast.clip.frames) == [2]
    assert cast.models == {2: (models["ben"],)}
