"""`facegraft faceset sort`, `report` and `copy`."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from facegraft.errors import ParameterError
from facegraft.media.images import read_image_file
from facegraft.sets.measures import MEASURES
from facegraft.sets.sort import SORTS
from facegraft_cli.faceset import faceset
from tests.engine.sorting_faces import blurred, texture, turned, write_face


@pytest.fixture
def faces(tmp_path) -> Path:
    """Four faces, sharpest first: c, a, d, b; b and d look right."""
    folder = tmp_path / "my faces é"
    for n, (name, sigma, yaw) in enumerate(
        (("c", 0, 0), ("a", 1, -20), ("d", 2, 40), ("b", 5, 40))
    ):
        picture = blurred(texture(n, 1.5), sigma)
        write_face(folder, f"{name}.png", picture, turned(yaw), frame=n)
    return folder


def run(*arguments: object) -> str:
    result = CliRunner().invoke(faceset, [str(a) for a in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_file())


def test_a_sort_without_flags_only_writes_the_order(faces):
    before = {path.name: path.read_bytes() for path in faces.glob("*.png")}
    output = run("sort", faces, "--by", "blur")
    assert output.startswith("4 faces by blur\n      0  c.png")
    rows = (faces / "_facegraft" / "orders" / "blur.csv").read_text().splitlines()
    assert [row.split(",")[1] for row in rows[1:]] == ["c.png", "a.png", "d.png", "b.png"]
    assert {path.name: path.read_bytes() for path in faces.glob("*.png")} == before
    assert not (faces / "_trash").exists()


def test_culled_faces_come_back_by_undo(faces):
    output = run("sort", faces, "--by", "blur", "--cull", "50%", "--rename")
    assert "2 of 4 faces moved to the trash" in output and "2 files renamed" in output
    assert names_in(faces) == ["00000.png", "00001.png"]
    assert names_in(faces / "_trash") == ["b.png", "d.png"]
    run("undo", faces)
    assert names_in(faces) == ["a.png", "b.png", "c.png", "d.png"]


def test_a_condition_limits_what_is_culled(faces):
    output = run(
        "sort", faces, "--by", "blur", "--cull", "all", "--where", "yaw>30 and sharpness<0.4"
    )
    assert "1 of 4 faces moved" in output
    assert names_in(faces / "_trash") == ["b.png"]


def test_a_choice_is_linked_and_its_rest_culled(faces, tmp_path):
    order = tmp_path / "order.csv"
    run("sort", faces, "--by", "final", "--count", 3, "--link", tmp_path / "chosen",
        "--link-as", "hardlink", "--cull", "rest", "--order-file", order)  # fmt: skip
    assert [name[6:] for name in names_in(tmp_path / "chosen")] == ["a.png", "c.png", "d.png"]
    assert names_in(faces) == ["a.png", "c.png", "d.png"]
    assert order.exists() and not (faces / "_facegraft" / "orders").exists()


def test_a_name_of_deepfacelabs_is_taken_for_ours(faces):
    assert "by yaw" in run("sort", faces, "--by", "face-yaw", "--reverse")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--by", "size"], "'size' is not one of"),
        (["--by", "blur", "--where", "yaw>3"], "give --cull all, or N"),
        (["--by", "blur", "--cull", "1", "--link", "x"], "second call"),
        (["--by", "blur", "--count", "0"], "--count"),
    ],
)
def test_what_does_not_go_together_is_refused_and_nothing_changed(faces, arguments, words):
    result = CliRunner().invoke(faceset, ["sort", str(faces), *arguments])
    assert result.exit_code == 2 and words in result.output
    assert names_in(faces) == ["a.png", "b.png", "c.png", "d.png"]


def test_a_mistake_in_an_expression_is_told_before_anything_is_done(faces, tmp_path):
    with pytest.raises(ParameterError, match="at character 12"):
        run("copy", faces, tmp_path / "new", "--where", "yaw>30 and sharpnes>0.4")
    with pytest.raises(ParameterError, match="no measure"):
        run("sort", faces, "--by", "blur", "--cull", "all", "--where", "yav>3")
    assert not (tmp_path / "new").exists() and not (faces / "_facegraft").exists()


def test_faces_that_match_are_copied(faces, tmp_path):
    output = run("copy", faces, tmp_path / "new", "--where", "yaw>30 and sharpness>0.4")
    assert output.startswith("1 of 4 faces copied")
    assert (tmp_path / "new" / "d.png").read_bytes() == (faces / "d.png").read_bytes()
    assert "0 of 4" in run("copy", faces, tmp_path / "new", "--where", "yaw>30 and sharpness>0.4")


def test_a_report_is_told_drawn_and_written(faces, tmp_path):
    write_face(tmp_path / "dst", "far.png", texture(9), turned(-60))
    sheet, json_path = tmp_path / "report.png", tmp_path / "report.json"
    output = run("report", faces, "--dst", tmp_path / "dst", "--sheet", sheet, "--json", json_path)
    assert "4 faces" in output and "0 % of dst has a src face of its pose" in output
    assert "- No src face looks further left than" in output
    assert read_image_file(sheet)[0].shape[1] == 1480
    assert json.loads(json_path.read_text())["dst"]["faces"] == 1


def test_the_help_names_every_order_and_every_measure():
    sort_help, copy_help = run("sort", "--help"), run("copy", "--help")
    assert all(f"    {key} " in sort_help for key in SORTS)
    assert all(f"    {name} " in copy_help for name in MEASURES)
