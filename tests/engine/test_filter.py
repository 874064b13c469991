"""Filter expressions: what they mean, and what is said of those that mean nothing."""

from pathlib import Path

import numpy as np
import pytest

from facegraft.errors import ParameterError
from facegraft.faces.faceset import Faceset
from facegraft.sets.filter import LONGEST, Filter, matching_names
from facegraft.sets.measures import MEASURES
from tests.engine.sorting_faces import blurred, texture, turned, write_face

VALUES = {
    "yaw": np.array([-40.0, -5.0, 0.0, 12.0, 35.0]),
    "pitch": np.array([0.0, 10.0, -20.0, 5.0, 1.0]),
    "sharpness": np.array([0.2, 0.5, 0.6, 0.1, 0.7]),
    "source": np.array(["a.mp4", "a.mp4", "b take2.mp4", "b.mp4", "é.mp4"]),
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("yaw > 10", [3, 4]),
        ("yaw>30 and sharpness>0.4", [4]),
        ("yaw > 30 or yaw < -30", [0, 4]),
        ("abs(yaw) >= 35", [0, 4]),
        ("-10 < yaw < 10", [1, 2]),
        ("not yaw > 0", [0, 1, 2]),
        ("not (yaw > 0 or pitch > 0)", [0, 2]),
        ("yaw + 2 * pitch > 20", [3, 4]),
        ("(yaw + pitch) / 2 == 2.5", [1]),
        ("max(yaw, pitch, 11) > 11", [3, 4]),
        ("min(yaw, pitch) < -19", [0, 2]),
        ("yaw / 0 > 1", [3, 4]),
        ("source == 'a.mp4'", [0, 1]),
        ('source != "a.mp4" and yaw < 20', [2, 3]),
        ("'take2' in source", [2]),
        ("'take2' not in source and sharpness < 0.4", [0, 3]),
        ("source == 'é.mp4'", [4]),
        ("1 < 2", [0, 1, 2, 3, 4]),
        ("yaw >\n 10", [3, 4]),
    ],
)
def test_an_expression_matches_the_faces_it_says(text, expected):
    assert np.flatnonzero(Filter.parse(text).matches(VALUES, 5)).tolist() == expected


@pytest.mark.parametrize(
    ("text", "words", "character"),
    [
        ("yav > 3", "no measure 'yav'; there are yaw, pitch", 1),
        ("yaw > 3 and sharp > 0.4", "no measure 'sharp'", 13),
        ("'é' in source and yav > 3", "no measure 'yav'", 19),
        ("yaw >", "not understood", 5),
        ("(yaw > 3", "never closed", 1),
        ("yaw = 3", "to compare, write ==", 5),
        ("yaw > 'left'", "a number is compared with a text", 1),
        ("yaw and pitch > 3", "a yes or no is needed here", 1),
        ("3 + source > 1", "a number is needed here, this is a text", 5),
        ("yaw in source", "`in` looks for a text", 1),
        ("yaw is 3", "compare with", 1),
        ("abs(yaw, 2) > 1", "abs takes one number", 1),
        ("yaw ** 2 > 1", "not understood", 1),
        ("True or yaw > 1", "say nothing of a face", 1),
        ("__import__('os').system('true')", "not understood", 1),
        ("yaw.real > 1", "not understood", 1),
        ("yaw[0] > 1", "not understood", 1),
        ("[n for n in (1, 2)] == 1", "not understood", 1),
        ("(lambda: 1)() > 0", "not understood", 1),
        ("open('x') > 1", "not understood", 1),
        ("f'{yaw}' == 'a'", "not understood", 1),
    ],
)
def test_a_mistake_is_named_with_its_place(text, words, character):
    with pytest.raises(ParameterError) as raised:
        Filter.parse(text)
    message = str(raised.value)
    assert words in message
    assert f"at character {character}:" in message
    assert message.splitlines()[-1] == " " * (character + 1) + "^"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "empty"),
        ("  ", "empty"),
        ("yaw", "a number, not a condition"),
        ("source", "a text, not a condition"),
        ("yaw > 1 #" + "x" * LONGEST, "the limit is"),
        ("-" * (LONGEST - 10) + "yaw > 1", "nested"),
        ("yaw > 1\0", "null bytes"),
    ],
)
def test_what_is_no_condition_is_refused(text, words):
    with pytest.raises(ParameterError, match=words):
        Filter.parse(text)


def test_every_measure_can_be_asked_for(tmp_path):
    write_face(tmp_path, "a.png", texture())
    faceset = Faceset.open(tmp_path)
    for name, row in MEASURES.items():
        text = (
            f"{name} == 'x' or {name} != 'x'" if row.help.startswith("text") else f"{name} > -999"
        )
        assert matching_names(faceset, Filter.parse(text))[0] == {"a.png"}, name


def write_three(folder: Path) -> Faceset:
    write_face(folder, "sharp left.png", texture(), turned(-40))
    write_face(folder, "sharp right.png", texture(1), turned(40))
    write_face(folder, "soft right.png", blurred(texture(2), 6), turned(40))
    return Faceset.open(folder)


def test_faces_of_a_set_are_found_by_pose_and_picture(tmp_path):
    names, damaged = matching_names(write_three(tmp_path), Filter.parse("yaw>30 and sharpness>0.4"))
    assert names == {"sharp right.png"} and damaged == ()


def test_pictures_are_looked_at_only_where_the_expression_asks_for_them(tmp_path):
    faceset = write_three(tmp_path)
    for face in faceset:
        face.path.write_bytes(b"")  # no longer a picture
    assert not Filter.parse("yaw > 0").needs_pictures
    assert len(matching_names(faceset, Filter.parse("yaw > 0"))[0]) == 2
    names, damaged = matching_names(faceset, Filter.parse("sharpness > 0"))
    assert names == set() and len(damaged) == 3
