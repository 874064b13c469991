"""`facegraft merge` on drawn faces with tiny models."""

import json

import av
import numpy as np
import pytest
from click.testing import CliRunner, Result

from facegraft.controls import controls_of
from facegraft.errors import FacegraftError, NotAModel, ParameterError, SourceNotFound
from facegraft.media.images import read_image_file
from facegraft.media.open import open_source
from facegraft.merge.params import MergeParams
from facegraft.model_spec import FaceType, ModelSpec
from facegraft_cli.main import cli
from facegraft_cli.merge.command import merge
from tests.engine.merge_clips import (
    FACELESS,
    frames_with_faces,
    make_faceset,
    oval_mask,
    write_sequence,
)
from tests.engine.tiny_dfm import write_dfm
from tests.synthetic import make_clip


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    """A folder with plates, a movie with sound, facesets and a model."""
    folder = tmp_path_factory.mktemp("merge")
    write_sequence(folder / "plates", frames_with_faces())
    make_clip(folder / "clip.mp4", frames_with_faces(), audio=True)
    make_faceset(folder / "plates", folder / "faces")
    spec = ModelSpec("df-ud", 64, FaceType.FULL, 64, 32, 32, 16)
    write_dfm(folder / "m.dfm", 64, (0.3, 1, 1), (0, 0, 0), oval_mask(), oval_mask(), spec)
    return folder


def facegraft(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(a) for a in arguments])


def test_plates_to_plates_with_mattes(job, tmp_path):
    done = facegraft(
        "merge", job / "plates", tmp_path / "out", "--model", job / "m.dfm", "--faces",
        job / "faces", "--matte", tmp_path / "matte",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "5 faces merged in 6 frames" in done.output
    assert f"1 without a face passed through: shot.{1001 + FACELESS}" in done.output
    for index, plate in enumerate(frames_with_faces()):
        name = f"shot.{1001 + index}.png"
        result, matte = (read_image_file(tmp_path / d / name)[0] for d in ("out", "matte"))
        outside = matte[..., 0] == 0
        np.testing.assert_array_equal(result[outside], plate[outside])
        assert outside.all() == (index == FACELESS)


def test_a_movie_keeps_rate_length_and_sound(job, tmp_path):
    done = facegraft(
        "merge", job / "clip.mp4", tmp_path / "out.mp4", "--model", job / "m.dfm", "--faces",
        job / "faces",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "was extracted from plates, not clip.mp4" in done.output
    with open_source(tmp_path / "out.mp4") as out, open_source(job / "clip.mp4") as clip:
        assert (out.info.fps, out.info.frame_count) == (clip.info.fps, 6)
        assert out.info.has_audio


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_a_movie_says_that_its_face_was_replaced(job, tmp_path, suffix):
    out = tmp_path / f"out{suffix}"
    done = facegraft(
        "merge", job / "clip.mp4", out, "--model", job / "m.dfm", "--faces", job / "faces"
    )
    assert done.exit_code == 0, done.output
    with av.open(str(out)) as container:
        tags = {name.lower(): text for name, text in container.metadata.items()}
    assert "Face replaced with FaceGraft" in tags["comment"]
    assert "digitalsourcetype/compositeWithTrainedAlgorithmicMedia" in tags["comment"]


def test_a_range_that_begins_later_has_no_sound_and_says_so(job, tmp_path):
    done = facegraft(
        "merge", job / "clip.mp4", tmp_path / "out.mp4", "--model", job / "m.dfm", "--faces",
        job / "faces", "--frames", "2-4",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "no sound: --frames does not begin with the clip" in done.output
    with open_source(tmp_path / "out.mp4") as out:
        assert out.info.frame_count == 3 and not out.info.has_audio


def test_flags_win_over_the_params_file(job, tmp_path):
    params = {"mix": {"keys": [[0, 0.0], [5, 0.0]]}, "mask_mode": "full"}
    path = tmp_path / "params.json"
    path.write_text(json.dumps({"version": 1, "params": params}))
    plate = frames_with_faces(1)[0]
    for flags, changed in (([], False), (["--mix", 1], True)):
        out = tmp_path / f"out{len(flags)}"
        done = facegraft(
            "merge", job / "plates", out, "--model", job / "m.dfm", "--faces", job / "faces",
            "--frames", 0, "--params", path, *flags,
        )  # fmt: skip
        assert done.exit_code == 0, done.output
        assert (read_image_file(out / "shot.1001.png")[0] != plate).any() == changed


def test_every_row_of_the_table_is_an_option():
    names = {parameter.name for parameter in merge.params}
    assert {row.name for row in controls_of(MergeParams)} <= names


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"clip": "none.mp4"}, SourceNotFound, "none.mp4"),
        ({"--model": "clip.mp4"}, NotAModel, "clip.mp4"),
        ({"--faces": "none"}, SourceNotFound, "facegraft extract"),
        ({"--frames": "6-9"}, ParameterError, "the clip has frames 0-5"),
        ({"--frames": "x"}, ParameterError, "'x' is no range; write 12, 1-100 or 1-100x2"),
        ({"--frames": "3-1"}, ParameterError, "'3-1' is no range"),
        ({"--frames": "0-4x0"}, ParameterError, "'0-4x0' is no range"),
        ({"--matte": "out"}, ParameterError, "out"),
        ({"--params": "m.dfm"}, ParameterError, "m.dfm"),
    ],
)
def test_bad_input_is_one_clear_error(job, change, error, says):
    words = {"clip": "plates", "out": "out", "--model": "m.dfm", "--faces": "faces", **change}
    flags = [
        part
        for name, value in words.items()
        if name.startswith("--")
        for part in (name, value if name == "--frames" else job / value)
    ]
    done = facegraft("merge", job / words["clip"], job / words["out"], *flags)
    assert isinstance(done.exception, error) and isinstance(done.exception, FacegraftError)
    assert says in str(done.exception)
    assert not (job / "out").exists()


def test_a_value_outside_its_limits_is_a_usage_error(job):
    done = facegraft("merge", job / "plates", "out", "--model", job / "m.dfm", "--erode", 900)
    assert done.exit_code == 2
    assert "-400 to 400" in done.output
