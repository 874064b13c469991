"""`facegraft ofx keys` against MLT's rules for keys, as they are written down here.

tests/e2e/test_keys_in_hosts.py asks the real MLT.
"""

import json
import random
import shlex
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from click.testing import CliRunner

from facegraft.controls import plain_values
from facegraft.faces.align import align_matrix, warp_image
from facegraft.faces.face import Origin
from facegraft.faces.faceset import write_aligned
from facegraft.merge.animation import ROWS, Animation
from facegraft.model_spec import FaceType
from facegraft_cli.main import cli
from facegraft_cli.ofx_keys import FILES, faceset_properties, properties
from tests.drawn_faces import face_at
from tests.host_plugin_ofx.tools import ofx_header

LENGTH = 40  # frames of the clip


def animation_of(**params: Any) -> Animation:
    return Animation.from_json({"version": 2, "params": params})


def mlt_value(name: str, text: str, position: int) -> Any:
    """What MLT gives the node: keys run linearly or hold, and their ends go on."""
    kind = ROWS[name].type
    if "=" not in text:
        values = [(0, text, "|")]
    else:
        halves = [key.split("=") for key in text.split(";")]
        values = [(int(head.rstrip("|")), value, head[-1]) for head, value in halves]
    assert [v[0] for v in values] == sorted({v[0] for v in values}) and values[0][0] >= 0
    before = [v for v in values if v[0] <= position] or values[:1]
    after = [v for v in values if v[0] > position]
    frame, value, mark = before[-1]
    if kind is bool or ROWS[name].choices:
        return {"0": False, "1": True}.get(value, value)
    number = float(value)
    if mark != "|" and after and position > frame:
        share = (position - frame) / (after[0][0] - frame)
        number += (float(after[0][1]) - number) * share
    return int(number) if kind is int else number  # MLT cuts off what is behind the point


def assert_equal_at_every_frame(animation: Animation, first: int = 0) -> dict[str, str]:
    texts = properties(animation, first)
    for position in range(LENGTH - first):
        expected = plain_values(animation.at(first + position))
        for name, text in texts.items():
            found = mlt_value(name, text, position)
            assert found == pytest.approx(expected[name], abs=1e-9), (name, position)
    return texts


@pytest.mark.parametrize("first", [0, 7, 35])
@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("mix", [[5, 0.2]]),
        ("mix", [[3, 0.0], [9, 1.0], [30, 0.5]]),
        ("mix", [[-8, 0.0], [9, 1.0, "hold"], [20, 0.25]]),
        ("mix", [[2.5, 0.0], [9.25, 1.0], [9.75, 0.5, "hold"], [20.5, 0.25], [31, 1]]),
        ("blur", [[0, 0.0, "bezier", None, [9, 300.0]], [12, 80.0, "bezier", [8, -200]], [24, 9]]),
        ("erode", [[-20, 1.5], [-3, -2.5]]),
        ("hist_match_threshold", [[1, 255, "linear"], [10, 100, "bezier"], [20, 180]]),
        ("hist_match_masked", [[0, True], [10, False], [10.5, True], [12, False]]),
        ("mode", [[4, "seamless"], [18.2, "hist_match"], [18.4, "raw_rgb"]]),
    ],
)
def test_every_frame_has_the_value_that_merge_takes(name: str, keys: list, first: int):
    assert_equal_at_every_frame(animation_of(**{name: {"keys": keys}}), first)


def test_random_curves_have_the_value_that_merge_takes():
    numbers = random.Random(6)
    for _ in range(200):
        frames = sorted(
            {round(numbers.uniform(-10, LENGTH), numbers.choice([0, 1])) for _ in "abcde"}
        )
        kinds = [numbers.choice(["hold", "linear", "bezier"]) for _ in frames]
        curve = [
            [frame, numbers.uniform(0, 100), kind, None, [frame + numbers.uniform(0, 9), 50]]
            for frame, kind in zip(frames, kinds, strict=True)
        ]
        whole = [
            [frame, numbers.randrange(256), kind]
            for frame, kind, *_ in zip(frames, kinds, strict=True)
        ]
        keyed = {"motion_blur": {"keys": curve}, "hist_match_threshold": {"keys": whole}}
        assert_equal_at_every_frame(animation_of(**keyed), numbers.randrange(LENGTH))


def test_keys_stay_few_where_mlt_can_follow_them():
    """A person edits them; so only what MLT does not know is spelled out frame by frame."""
    texts = properties(
        animation_of(
            mix={"keys": [[0, 0.0], [24, 1.0], [30, 0.5]]},
            mode={"keys": [[0, "overlay"], [12, "seamless"]]},
            hist_match_masked={"keys": [[8, False], [9, True]]},
            face_scale=12.5,
            erode={"keys": [[5, 20.0]]},
            blur=0,
            color_transfer="rct",
        )
    )
    assert texts == {
        "mix": "0=0.0;24=1.0;30=0.5",
        "mode": "0|=overlay;12|=seamless",
        "hist_match_masked": "8|=0;9|=1",
        "face_scale": "12.5",
        "erode": "20.0",
    }


@pytest.fixture
def keys_file(tmp_path: Path) -> Path:
    path = tmp_path / "keys.json"
    params = {"mix": {"keys": [[0, 0.0], [24, 1.0]]}, "mode": {"keys": [[0, "seamless"]]}}
    path.write_text(json.dumps({"version": 2, "params": params}))
    return path


def run(*arguments: str | Path) -> str:
    result = CliRunner().invoke(cli, ["ofx", "keys", *map(str, arguments)])
    assert result.exit_code == 0, result.output
    return result.output


def test_melt_arguments_survive_the_shell(tmp_path: Path, keys_file: Path):
    model = tmp_path / "Größe 1; a='b'.dfm"
    model.touch()
    assert shlex.split(run(keys_file, "--model", model)) == [
        "-filter", "openfx.org.facegraft.faceswap", f"model={model}", "mix=0=0.0;24=1.0",
        "mode=seamless",
    ]  # fmt: skip


def test_the_filter_of_a_project_has_the_same_properties(tmp_path: Path, keys_file: Path):
    model = tmp_path / "a<b>&c.dfm"
    model.touch()
    fits = tmp_path / "shot.steady.zip"
    fits.touch()
    given = ["--model", model, "--fits", fits, "--first", "6", "--xml"]
    element = ElementTree.fromstring(run(keys_file, *given))
    assert element.tag == "filter"
    assert {p.get("name"): p.text for p in element} == {
        "mlt_service": "openfx.org.facegraft.faceswap",
        "model": str(model),
        "fits": str(fits),
        "mix": "0=0.25;18=1.0",
        "mode": "seamless",
    }


def test_everything_it_sets_is_a_row_of_the_node():
    names = {row.name for row in ofx_header.node_rows()}
    assert {*FILES, *ROWS, "faceset", "frame_name", "frame_offset"} <= names


@pytest.mark.parametrize(
    ("frame", "index", "expected"),
    [
        ("000012", 12, {"frame_name": "######", "frame_offset": "6"}),
        ("take2_v01.1013", 12, {"frame_name": "take2_v01.####", "frame_offset": "1007"}),
        ("still", 0, {}),
        ("000012", -1, {}),
    ],
)
def test_frames_of_the_faceset_are_named_as_the_node_wants(
    tmp_path: Path, frame: str, index: int, expected: dict[str, str]
):
    """Movies number their frames from 0, files carry numbers of their own; 6 frames are cut off."""
    face = face_at(30, 30, 30)
    matrix = align_matrix(face.landmarks, FaceType.FULL, 64)
    origin = Origin("clip", frame, index, "0", 64, 64, "drawn")
    image = warp_image(np.zeros((64, 64, 3), np.uint8), matrix, 64, 64)
    write_aligned(tmp_path / "a.png", image, face, FaceType.FULL, matrix, origin)
    assert faceset_properties(tmp_path, 6) == {"faceset": str(tmp_path), **expected}


def test_a_file_that_is_no_parameter_file_is_refused_by_name(tmp_path: Path):
    path = tmp_path / "other.json"
    path.write_text("{}")
    result = CliRunner().invoke(cli, ["ofx", "keys", str(path)])
    assert result.exit_code == 1 and str(path) in str(result.exception)
