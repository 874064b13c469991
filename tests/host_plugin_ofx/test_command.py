"""`facegraft ofx`: the bundle gets to where hosts find it, and the check names what is wrong."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from facegraft_cli.ofx import NAME, NOTE
from tests.host_plugin_ofx.tools import build_ofx_bundle

COMMAND = [sys.executable, "-c", "from facegraft_cli.main import main; main()", "ofx"]


def run(*arguments: object, **environment: str) -> subprocess.CompletedProcess:
    kept = {k: v for k, v in os.environ.items() if k not in ("FACEGRAFT_PYTHON", "OFX_PLUGIN_PATH")}
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        capture_output=True, text=True, timeout=300, env={**kept, **environment},
    )  # fmt: skip


@pytest.fixture(scope="module")
def installed(bundle, tmp_path_factory) -> Path:
    """An installed bundle whose note names this Python."""
    folder = tmp_path_factory.mktemp("plugins")
    result = run("install", bundle, "--folder", folder)
    assert result.returncode == 0, result.stderr
    assert f"OFX_PLUGIN_PATH={folder}" in result.stdout and "/usr/OFX/Plugins" in result.stdout
    return folder / NAME


def test_installing_copies_the_library_and_notes_this_python(installed, bundle):
    """Nothing else is left in the folder; installing again replaces it."""
    library = build_ofx_bundle.LIBRARY
    assert (installed / library).read_bytes() == (bundle / library).read_bytes()
    assert json.loads((installed / NOTE).read_text())["python"] == sys.executable
    (installed / "stale").write_text("of an older release")
    assert run("install", bundle, "--folder", installed.parent).returncode == 0
    assert not (installed / "stale").exists() and list(installed.parent.iterdir()) == [installed]


def test_the_check_starts_the_engine_that_the_bundle_s_note_names(installed):
    """With no other hint than the note; the bundle is found through OFX_PLUGIN_PATH."""
    result = run("check", OFX_PLUGIN_PATH=str(installed.parent), XDG_DATA_HOME="/nowhere")
    assert result.returncode == 0, result.stderr
    assert "loaded, 44 parameters" in result.stdout and "engine started" in result.stdout


def test_the_check_names_an_engine_that_is_missing(installed):
    result = run("check", installed, FACEGRAFT_PYTHON="/no/such/python")
    assert result.returncode == 1
    assert "/no/such/python" in result.stderr and "install.py env" in result.stderr


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
