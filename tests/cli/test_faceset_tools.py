"""The set tools on the command line: what a user types works, and what goes wrong is a sentence."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result

from facegraft.errors import FacegraftError, ParameterError
from facegraft.faces.faceset import Faceset
from facegraft.media.images import read_image_file
from facegraft_cli.faceset import COMMANDS, faceset
from tests.engine.set_faces import file_bytes, write_set
from tests.engine.test_enhance import write as write_network


def run(*arguments: object) -> Result:
    result = CliRunner().invoke(faceset, [str(a) for a in arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result


@pytest.fixture
def folder(tmp_path) -> Path:
    return write_set(tmp_path / "två faces", 4)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_there_and_explains_itself(name):
    output = run(name, "--help").output
    assert f"faceset {name} " in output or f"{name} [OPTIONS]" in output
    assert "facegraft faceset" in output  # an example to type


def test_a_set_is_packed_read_as_a_pack_and_unpacked(folder, tmp_path):
    assert "4 faces packed" in run("pack", folder).output
    pack = tmp_path / "två faces.facepack"
    assert run("tracks", pack).output == run("tracks", folder).output
    run("sheet", pack, tmp_path / "sheet.png")
    assert read_image_file(tmp_path / "sheet.png")[0].shape == (144, 4 * 128, 3)
    run("unpack", pack, tmp_path / "out")
    assert file_bytes(tmp_path / "out") == file_bytes(folder)


def test_a_set_is_resized_in_place_numbered_and_brought_back_step_by_step(folder):
    before = file_bytes(folder)
    run("resize", folder, "--size", 48, "--face-type", "full", "--in-place")
    small = file_bytes(folder)
    assert "4 of 4 faces would be renamed" in run("names", folder, "--number", "--dry-run").output
    assert file_bytes(folder) == small
    order = folder.parent / "order.txt"
    order.write_text("00003_0.png\n00001_0.png\n")
    run("names", folder, "--order", order)
    assert file_bytes(folder)["00000.png"] == small["00003_0.png"]
    listed = run("undo", folder, "--list").output.splitlines()
    assert "number, 4 files" in listed[0] and "resize to full 48 px, 4 files" in listed[1]
    assert "taken back: number" in run("undo", folder).output
    assert "taken back: resize" in run("undo", folder).output
    assert file_bytes(folder) == before
    assert "no change of" in run("undo", folder, "--list").output


def test_original_names_come_back_and_forgetting_makes_that_final(folder):
    before = file_bytes(folder)
    run("names", folder, "--number")
    run("names", folder)
    assert file_bytes(folder) == before
    assert "2 changes can no longer be taken back" in run("undo", folder, "--forget").output
    with pytest.raises(ParameterError, match="nothing to undo"):
        run("undo", folder)


def test_metadata_survives_an_image_editor(folder):
    run("metadata", "save", folder)
    cv2.imwrite(str(folder / "00001_0.png"), np.full((50, 50, 3), 99, np.uint8))
    (folder / "00002_0.png").unlink()
    output = run("metadata", "restore", folder).output
    assert "1 faces have their metadata back, 1 of them at another size; 2 were not" in output
    assert "00002_0.png is gone" in output
    with pytest.raises(ParameterError, match="--overwrite"):
        run("metadata", "save", folder)
    assert "3 faces" in run("metadata", "save", folder, "--overwrite").output
    assert Faceset.open(folder)[1].size == 50


def test_a_set_is_enhanced_into_a_new_folder(folder, tmp_path):
    network = write_network(tmp_path / "net.onnx", enlarge=2)
    output = run("enhance", folder, tmp_path / "out", "--network", network, "--size", 64).output
    assert "4 faces of 64 px" in output
    assert {face.size for face in Faceset.open(folder)} == {96}


def test_a_split_set_is_merged_again(folder, tmp_path):
    output = run("split", folder, tmp_path / "parts", "--share", 0.5).output
    assert "first: 2 faces" in output and "rest: 2 faces" in output
    run("merge", tmp_path / "parts" / "first", tmp_path / "parts" / "rest", tmp_path / "whole")
    assert file_bytes(tmp_path / "whole") == file_bytes(folder)
    again = run("merge", folder, tmp_path / "whole").output
    assert "4 were there already" in again


def test_landmarks_are_drawn_into_copies(folder, tmp_path):
    before = file_bytes(folder)
    assert "4 faces drawn" in run("overlay", folder, tmp_path / "drawn").output
    assert file_bytes(folder) == before and len(file_bytes(tmp_path / "drawn")) == 4


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["resize", "{}", "{}2"], "--size PX"),
        (["resize", "{}", "--size", "64"], "--in-place"),
        (["resize", "{}", "{}2", "--size", "64", "--in-place"], "--in-place"),
        (["resize", "{}", "{}2", "--size", "5"], "32 to 4096"),
        (["resize", "{}", "{}", "--size", "5000", "--in-place"], "name a folder OUT"),
        (["split", "{}", "{}2"], "--by track"),
        (["split", "{}", "{}2", "--share", "0"], "without faces"),
        (["names", "{}", "--order", "{}/none.txt"], "cannot read the order"),
        (["metadata", "restore", "{}"], "metadata save"),
        (["unpack", "{}/00000_0.png", "{}2"], "no packed faceset"),
        (["pack", "{}", "{}.zip"], "NAME.facepack"),
        (["overlay", "{}", "{}"], "not empty"),
        (["sheet", "{}-none", "x.png"], "facegraft extract"),
        (["undo", "{}"], "nothing to undo"),
    ],
)
def test_wrong_use_is_told_and_changes_nothing(folder, arguments, reason):
    before = file_bytes(folder)
    with pytest.raises(FacegraftError, match=reason):
        run(*(argument.format(folder) for argument in arguments))
    assert file_bytes(folder) == before
