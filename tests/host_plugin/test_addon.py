"""The add-on's parts that need no Blender, and the extension file."""

import tomllib
import zipfile
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np
import pytest

from facegraft.controls import control, controls_of, plain_values
from facegraft.errors import BadAlignedImage, EmptyFaceset, ParameterError, SourceNotFound
from facegraft.merge.params import MergeParams
from facegraft_blender import exr
from facegraft_blender.faces import load_faces
from facegraft_blender.props import SOCKET_ROWS, panels, params_from, socket_row
from tests.host_plugin.run_blender import REPOSITORY


class Kind(StrEnum):
    SOFT = "soft"
    VERY_HARD = "very_hard"


@dataclass(frozen=True, slots=True)
class Grown:
    """A table to which a row of an earlier group was appended."""

    amount: float = control(0.5, label="Amount", help="How much", hard=(0, 1), group="Merge")
    kind: Kind = control(Kind.VERY_HARD, label="Kind", help="Which", group="Mask")
    count: int = control(3, label="Count", help="How many", hard=(1, 9), soft=(1, 5), group="Merge")


GROWN = [socket_row(row) for row in controls_of(Grown)]


def test_every_row_of_the_table_is_a_socket_in_table_order():
    rows = controls_of(MergeParams)
    assert [spec.row for spec in SOCKET_ROWS] == list(rows)
    assert {spec.name for spec in SOCKET_ROWS} == {row.control.label for row in rows}


def test_untouched_sockets_give_the_tables_defaults():
    assert params_from([spec.default for spec in SOCKET_ROWS]) == plain_values(MergeParams())


def test_a_choice_is_a_number_whose_names_the_description_lists():
    kind = GROWN[1]
    assert (kind.socket_type, kind.default, kind.slider) == ("NodeSocketInt", 1, (0, 1))
    assert kind.description == "Which. 0 soft, 1 very hard"
    assert [kind.value_of(v) for v in (-3, 0, 1, 7)] == ["soft", "soft", "very_hard", "very_hard"]


def test_values_are_held_to_the_hard_range_and_may_leave_the_slider():
    count = GROWN[2]
    assert count.slider == (1, 5)
    assert [count.value_of(v) for v in (0, 7, 30)] == [1, 7, 9]
    assert GROWN[0].value_of(1.25) == 1.0


def test_a_row_appended_to_an_earlier_group_opens_a_second_panel_behind_the_others():
    shown = [(group, [spec.name for spec in run]) for group, run in panels(GROWN)]
    assert shown == [("Merge", ["Amount"]), ("Mask", ["Kind"]), ("Merge", ["Count"])]


def test_extension_states_one_version_bundles_its_wheel_and_carries_both_licences(
    extension_zip: Path,
):
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    with zipfile.ZipFile(extension_zip) as archive:
        names = set(archive.namelist())
        manifest = tomllib.loads(archive.read("blender_manifest.toml").decode())
        assert "GNU GENERAL PUBLIC LICENSE" in archive.read("LICENSE").decode()
        assert "Apache License" in archive.read("LICENSE-engine").decode()
    assert manifest["version"] == project["version"]
    assert [wheel.removeprefix("./") in names for wheel in manifest["wheels"]] == [True]
    sources = {path.name for path in (REPOSITORY / "host_plugin/facegraft_blender").glob("*.py")}
    assert sources <= names


def test_extension_asks_for_each_permission_with_a_reason(extension_zip: Path):
    with zipfile.ZipFile(extension_zip) as archive:
        manifest = tomllib.loads(archive.read("blender_manifest.toml").decode())
    assert manifest["permissions"].keys() == {"files"}  # nothing is fetched, so no network
    assert all(0 < len(text) <= 64 and text[-1] != "." for text in manifest["permissions"].values())


def test_a_file_that_is_no_exr_is_refused_by_name(tmp_path: Path):
    path = tmp_path / "x.exr"
    for content in (b"", b"v/1\x01", b"not an image at all", b"v/1\x01\x02\0\0\0" + b"a" * 40):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="x.exr"):
            exr.read_rgba(path)


def test_faces_come_by_frame_and_scale_with_the_render(shot):
    table = load_faces(shot.faces)
    (stored,) = table.at(1, 160, 96)
    (half,) = table.at(1, 80, 48)
    assert np.array(stored["landmarks"]).shape == (68, 2)
    assert np.allclose(np.array(half["landmarks"]) * 2, stored["landmarks"])
    assert table.at(4, 160, 96) == []  # the last frame has no face
    with pytest.raises(ParameterError, match="160x96 clip and the picture is 100x100"):
        table.at(1, 100, 100)


def test_a_folder_without_usable_faces_is_named(tmp_path: Path, shot):
    with pytest.raises(SourceNotFound, match="nowhere"):
        load_faces(tmp_path / "nowhere")
    with pytest.raises(EmptyFaceset, match=tmp_path.name):
        load_faces(tmp_path)
    (tmp_path / "cut.png").write_bytes(next(shot.faces.glob("*.png")).read_bytes()[:900])
    with pytest.raises(BadAlignedImage, match="cut.png"):
        load_faces(tmp_path)
