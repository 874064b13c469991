"""Presets of the merge: shipped, saved, loaded, and refused by name."""

import ast
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from facegraft.controls import parse_values
from facegraft.errors import FutureVersion, ParameterError
from facegraft.merge import presets
from facegraft.merge.params import MaskMode, MergeParams
from facegraft.merge.presets import (
    SHIPPED,
    delete_preset,
    load_preset,
    preset_names,
    save_preset,
)

REPOSITORY = Path(__file__).parents[2]
NAMES = sorted(path.stem for path in SHIPPED.glob("*.json"))


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A user's folder of this test alone."""
    monkeypatch.setattr(presets, "user_data_folder", lambda: tmp_path)
    return tmp_path / "merge_presets"


@pytest.mark.parametrize("name", NAMES)
def test_every_shipped_preset_loads_and_says_what_it_is_for(name):
    preset = load_preset(name)
    assert preset.is_shipped and preset.name == name
    assert json.loads((SHIPPED / f"{name}.json").read_text())["name"] == name
    assert 30 < len(preset.about) < 110 and preset.values
    parse_values(MergeParams, preset.values)
    # what it needs must be there for everybody: no second network, no host's matte
    masks = {MaskMode.HOST.value, *(mode.value for mode in MaskMode if "xseg" in mode.value)}
    assert preset.values.get("mask_mode") not in masks | {MaskMode.ALL_PRODUCT.value}
    assert not preset.values.get("super_resolution")


def test_shipped_presets_differ_from_one_another():
    looks = [parse_values(MergeParams, load_preset(name).values) for name in NAMES]
    assert len(set(looks)) == len(looks) >= 5


def test_a_saved_preset_comes_back_with_the_rows_it_was_given_alone(folder):
    path = save_preset("my look 2", {"erode": 12.5, "mode": "hist-match"}, "for the car scene")
    assert path == folder / "my look 2.json"
    preset = load_preset("my look 2")
    assert preset.values == {"erode": 12.5, "mode": "hist_match"}
    assert (preset.about, preset.is_shipped) == ("for the car scene", False)
    assert preset_names() == [*NAMES, "my look 2"]


def test_a_name_is_replaced_only_when_asked():
    save_preset("mine", {"erode": 1})
    with pytest.raises(ParameterError, match="already"):
        save_preset("mine", {"erode": 2})
    save_preset("mine", {"erode": 2}, replace=True)
    assert load_preset("mine").values == {"erode": 2}


def test_a_deleted_preset_is_gone_and_a_shipped_one_stays():
    save_preset("mine", {"erode": 1})
    delete_preset("mine")
    assert "mine" not in preset_names()
    with pytest.raises(ParameterError, match="not one of your presets"):
        delete_preset("natural")
    with pytest.raises(ParameterError, match="no preset 'mine'"):
        delete_preset("mine")


@pytest.mark.parametrize("name", ["", "../x", "a/b", " x", "x ", ".x", "a" * 80])
def test_a_name_that_leaves_the_folder_or_is_no_file_is_refused(name, tmp_path):
    with pytest.raises(ParameterError, match="cannot be called"):
        save_preset(name, {})
    assert list(tmp_path.rglob("*.json")) == []


@pytest.mark.parametrize(
    ("name", "values", "says"),
    [
        ("natural", {}, "ships with FaceGraft"),
        ("x", {"erode": 999}, "erode is 999; the limits are -400 to 400"),
        ("x", {"erodes": 1}, "unknown option erodes"),
    ],
)
def test_what_cannot_be_saved_is_refused(name, values, says):
    with pytest.raises(ParameterError, match=says):
        save_preset(name, values)


def test_an_unknown_preset_names_those_that_there_are():
    with pytest.raises(ParameterError, match="no preset 'nature'; there are .*natural"):
        load_preset("nature")


def test_a_preset_may_be_given_as_a_file(tmp_path):
    path = tmp_path / "look.json"
    path.write_text(json.dumps({"version": 1, "params": {"blur": 9}}))
    assert load_preset(str(path)).values == {"blur": 9}


@pytest.mark.parametrize(
    ("values", "error", "says"),
    [
        ({"version": 9, "params": {"glow": 1}}, FutureVersion, "sets glow.*update FaceGraft"),
        ({"version": 2, "params": {"glow": 1}}, ParameterError, "unknown option glow"),
        ({"version": 2, "params": {"mix": {"keys": [[0, 1]]}}}, ParameterError, "over time"),
        ({"version": 2, "params": {"mix": 7}}, ParameterError, "limits are 0 to 1"),
        ([], ParameterError, "params"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_whole(folder, values, error, says):
    folder.mkdir()
    (folder / "odd.json").write_text(json.dumps(values))
    with pytest.raises(error, match=rf"odd\.json: .*{says}"):
        load_preset("odd")


def test_a_host_reads_presets_without_any_package():
    code = (
        "import sys; from facegraft.merge.presets import load_preset; load_preset('natural')\n"
        "top = {name.partition('.')[0] for name in sys.modules}\n"
        "print(sorted(top - set(sys.stdlib_module_names) - {'facegraft', '__main__'}))"
    )
    text = subprocess.check_output([sys.executable, "-I", "-c", code], text=True)
    assert [name for name in ast.literal_eval(text) if not name.startswith("_")] == []


@pytest.mark.slow
def test_the_wheel_holds_the_shipped_presets(tmp_path):
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    held = {Path(name).stem for name in zipfile.ZipFile(wheel).namelist() if "preset_files" in name}
    assert held == set(NAMES)
