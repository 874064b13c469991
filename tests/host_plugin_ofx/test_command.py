"""`facegraft ofx`: the bundle gets to where hosts find it, and the check names what is wrong."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import onnx
import pytest
from click.testing import CliRunner

from facegraft import weights
from facegraft.errors import SourceNotFound, WriteError
from facegraft.files import write_error
from facegraft_cli import ofx_folders
from facegraft_cli.main import cli
from facegraft_cli.ofx import CHECK_MODEL
from facegraft_cli.ofx_folders import EFFECT, EFFECT_NAME, NAME, NOTE
from tests.engine.tiny_dfm import write_dfm
from tests.host_plugin_ofx.tools import build_ofx_bundle, ofx_header
from tests.weights_fixture import needs_weights

COMMAND = [sys.executable, "-c", "from facegraft_cli.main import main; main()", "ofx"]


def run(*arguments: object, **environment: object) -> subprocess.CompletedProcess:
    kept = {k: v for k, v in os.environ.items() if k not in ("FACEGRAFT_PYTHON", "OFX_PLUGIN_PATH")}
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        capture_output=True, text=True, timeout=300,
        env={**kept, **{name: str(value) for name, value in environment.items()}},
    )  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """A user's data folder with the detector's networks and no note of an engine."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "facegraft").mkdir()
    (folder / "facegraft" / "weights").symlink_to(weights.list_weights()[0].path.parent)
    return folder


@pytest.fixture(scope="module")
def installed(bundle, data, tmp_path_factory) -> Path:
    """An installed bundle whose note names this Python."""
    folder = tmp_path_factory.mktemp("plugins")
    result = run("install", bundle, "--folder", folder, XDG_DATA_HOME=data)
    assert result.returncode == 0, result.stderr
    assert f"OFX_PLUGIN_PATH={folder}\n" in result.stdout
    return folder / NAME


def test_installing_copies_the_library_and_notes_this_python(installed, bundle, data):
    """Nothing else is left in the folder; installing again replaces it."""
    library = build_ofx_bundle.LIBRARY
    assert (installed / library).read_bytes() == (bundle / library).read_bytes()
    assert json.loads((installed / NOTE).read_text())["python"] == sys.executable
    (installed / "stale").write_text("of an older release")
    again = run("install", bundle, "--folder", installed.parent, XDG_DATA_HOME=data)
    assert again.returncode == 0
    assert not (installed / "stale").exists() and list(installed.parent.iterdir()) == [installed]


def test_installing_puts_kdenlive_s_effect_where_kdenlive_looks_and_says_so(bundle, tmp_path):
    to, data = tmp_path / "plugins", tmp_path / "data"
    said = run("install", bundle, "--folder", to, XDG_DATA_HOME=data).stdout
    effect = data / "kdenlive" / "effects" / EFFECT_NAME
    assert str(effect) in said and effect.read_bytes() == (bundle / EFFECT).read_bytes()
    assert "Flatpak" not in said
    flatpak = tmp_path / ".var" / "app" / "org.kde.kdenlive"
    flatpak.mkdir(parents=True)
    said = run("install", bundle, "--folder", to, XDG_DATA_HOME=data, HOME=tmp_path).stdout
    assert str(flatpak / "data" / "kdenlive" / "effects") in said
    (data / "kdenlive" / "effects").rename(data / "moved")
    (data / "kdenlive" / "effects").write_text("no folder")
    result = run("install", bundle, "--folder", to, XDG_DATA_HOME=data)
    assert result.returncode != 0 and str(effect) in result.stderr


def test_without_a_bundle_it_is_told_how_to_get_one(monkeypatch, tmp_path):
    """The wheel or the builder; of the wheel's own bundle another file tells."""
    monkeypatch.setattr(ofx_folders, "sources", lambda: [tmp_path / "dist" / NAME])
    with pytest.raises(SourceNotFound, match="dist.* wheel facegraft-ofx .*build_ofx_bundle.py"):
        ofx_folders.built()


def test_a_system_folder_that_is_not_ours_asks_for_root(monkeypatch, bundle):
    """Where another folder is not to be written, nothing but that is told."""

    def refuse(bundle: Path, target: Path) -> None:
        raise write_error(target, PermissionError(errno.EACCES, "Permission denied"))

    monkeypatch.setattr(ofx_folders, "put", refuse)
    for place, is_root_needed in (("--system", True), ("--folder=/elsewhere", False)):
        told = CliRunner().invoke(cli, ["ofx", "install", str(bundle), place])
        assert isinstance(told.exception, WriteError)
        assert ("; run: sudo " in str(told.exception)) == is_root_needed
        assert ("/usr/OFX/Plugins" if is_root_needed else "/elsewhere") in str(told.exception)


@needs_weights
def test_the_check_starts_the_engine_that_the_bundle_s_note_names(installed, data):
    """With no other hint than the note; the bundle is found through OFX_PLUGIN_PATH."""
    result = run("check", OFX_PLUGIN_PATH=installed.parent, XDG_DATA_HOME=data)
    assert result.returncode == 0, result.stderr
    count = len(ofx_header.node_rows())
    assert f"loaded, {count} parameters" in result.stdout
    assert "a frame was rendered" in result.stdout


def test_the_check_tells_which_hosts_find_the_node(installed, data):
    """Those that read the variable; what else is wrong is told after it."""
    lines = run("check", OFX_PLUGIN_PATH=installed.parent, XDG_DATA_HOME=data).stdout.splitlines()
    by_host = {line.split("  ")[1]: line for line in lines if line.startswith("  ")}
    for host in ("melt, Kdenlive, Shotcut", "Natron", "Nuke"):
        assert by_host[host].endswith(f"yes, in {installed.parent}")
    assert "install --system" in by_host["DaVinci Resolve"]
    alone = run("check", installed, XDG_DATA_HOME=data).stdout
    assert "Natron" in alone and "nor in the folders of OFX_PLUGIN_PATH" in alone


def test_the_check_names_an_engine_that_is_missing(installed):
    result = run("check", installed, FACEGRAFT_PYTHON="/no/such/python")
    assert result.returncode == 1
    assert "/no/such/python" in result.stderr and "install.py env" in result.stderr


def test_the_check_names_networks_that_are_missing(installed, tmp_path):
    result = run("check", installed, XDG_DATA_HOME=tmp_path)
    assert result.returncode == 1, result.stderr
    assert "facegraft weights fetch" in result.stderr


def test_the_check_s_model_is_the_one_that_changes_nothing(tmp_path):
    """Made by tests/engine/tiny_dfm.py's write_dfm, of 16 pixels."""
    made = onnx.load(str(write_dfm(tmp_path / "made.dfm", 16)))
    assert onnx.load(str(CHECK_MODEL)) == made


def test_a_folder_that_is_no_bundle_is_refused(tmp_path):
    for arguments in (("install", tmp_path, "--folder", tmp_path / "to"), ("check", tmp_path)):
        result = run(*arguments)
        assert result.returncode == 3 and "holds no" in result.stderr
    assert not (tmp_path / "to").exists()


def test_a_library_of_another_system_is_named(installed, tmp_path):
    broken = tmp_path / NAME
    library = broken / build_ofx_bundle.LIBRARY
    library.parent.mkdir(parents=True)
    library.write_bytes(b"MZ")
    result = run("check", broken)
    assert result.returncode == 1 and "cannot be loaded" in result.stderr


def test_a_missing_compiler_is_named(tmp_path):
    with pytest.raises(RuntimeError, match="no C compiler"):
        build_ofx_bundle.build(tmp_path, [])
    with pytest.raises(RuntimeError, match="could not build"):
        build_ofx_bundle.build(tmp_path, ["false"])
    assert not list(tmp_path.rglob("*.part"))
