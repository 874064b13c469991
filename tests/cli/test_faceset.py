"""`facegraft faceset tracks` and `check`."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from facegraft.media.images import read_image_file
from facegraft_cli.faceset import faceset
from tests.engine.merge_clips import FACELESS, frames_with_faces, make_faceset, write_sequence


@pytest.fixture(scope="module")
def clip_and_faces(tmp_path_factory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("check")
    clip = write_sequence(folder / "plates", frames_with_faces(6))
    return clip, make_faceset(clip, folder / "faces")


def test_tracks_are_printed_and_drawn(clip_and_faces, tmp_path):
    sheet = tmp_path / "tracks.png"
    result = CliRunner().invoke(faceset, ["tracks", str(clip_and_faces[1]), "--sheet", str(sheet)])
    assert result.exit_code == 0, result.output
    assert "track 0: 5 frames, shot.1001 to shot.1006" in result.output
    assert read_image_file(sheet)[0].ndim == 3


def test_what_to_look_at_is_told_by_frame_and_written(clip_and_faces, tmp_path):
    clip, faces = clip_and_faces
    json_path, sheet = tmp_path / "look.json", tmp_path / "look.png"
    arguments = ["check", str(faces), str(clip), "--json", str(json_path), "--sheet", str(sheet)]
    result = CliRunner().invoke(faceset, arguments)
    assert result.exit_code == 0, result.output
    assert f"No face in frame shot.{1001 + FACELESS}" in result.output
    assert "1 place to look at in 6 frames" in result.output
    assert json.loads(json_path.read_text())["suspicious"][0]["first"] == FACELESS
    assert sheet.exists()
    held = CliRunner().invoke(faceset, [*arguments[:3], "--hold", "1"])
    assert "held" in held.output and "No face" not in held.output


def test_help_has_the_tables_sections():
    output = CliRunner().invoke(faceset, ["check", "--help"]).output
    assert "Report:" in output and "--report-jump" in output
