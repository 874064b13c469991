"""The wheel facegraft-ofx: built by CMake, found and checked by `facegraft ofx`, as users do."""

import os
import shutil
import subprocess
import sys
import zipfile
from email.parser import Parser
from importlib.util import find_spec
from pathlib import Path

import pytest

from facegraft import __version__
from facegraft_cli.ofx_folders import EFFECT, LIBRARY, NAME
from tests.host_plugin_ofx.tools import build_ofx_bundle
from tests.weights_fixture import needs_weights

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        find_spec("scikit_build_core") is None or find_spec("cmake") is None,
        reason="scikit-build-core and cmake are not installed; run: install.py env",
    ),
]
IN_WHEEL = Path("facegraft_ofx") / NAME


@pytest.fixture(scope="module")
def wheel(tmp_path_factory, bundle) -> Path:
    """Built from a copy of the sources; `bundle` is asked for since it skips where none can be."""
    folder = tmp_path_factory.mktemp("wheel")
    sources = shutil.copytree(build_ofx_bundle.SOURCES, folder / "ofx")
    command = [sys.executable, "-m", "pip", "wheel", "--disable-pip-version-check", "-q"]
    command += ["--no-build-isolation", "--no-deps", "-w", str(folder), str(sources)]
    tools = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    built = subprocess.run(
        command, capture_output=True, text=True, timeout=300, env={**os.environ, "PATH": tools}
    )
    assert built.returncode == 0, built.stdout + built.stderr
    (found,) = folder.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def site(wheel, tmp_path_factory) -> Path:
    """A folder of packages with the wheel alone in it."""
    folder = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def test_the_wheel_is_for_every_python_and_holds_the_bundle(wheel, site, bundle):
    assert wheel.name == f"facegraft_ofx-{__version__}-py3-none-linux_x86_64.whl"
    (about,) = site.glob("*.dist-info/METADATA")
    fields = Parser().parsestr(about.read_text())
    assert fields["Version"] == __version__ and fields["License-Expression"] == "Apache-2.0"
    names = {path.relative_to(site / IN_WHEEL) for path in (site / IN_WHEEL).rglob("*.*")}
    assert {LIBRARY, EFFECT} <= names
    assert (site / IN_WHEEL / EFFECT).read_bytes() == (bundle / EFFECT).read_bytes()


def test_both_builds_need_the_same_libraries_and_show_the_same_names(site, bundle):
    """One list of sources and flags: the two builders differ in nothing else."""
    if shutil.which("readelf") is None:
        pytest.skip("readelf is not installed")
    assert symbols(site / IN_WHEEL / LIBRARY) == symbols(bundle / LIBRARY)


@needs_weights
def test_the_command_installs_the_wheel_s_bundle_and_its_check_renders(site, tmp_path):
    found = facegraft("install", "--folder", tmp_path, site=site, data=tmp_path / "data")
    assert f"installed {tmp_path / NAME}" in found
    library = (tmp_path / NAME / LIBRARY).read_bytes()
    assert library == (site / IN_WHEEL / LIBRARY).read_bytes()
    said = facegraft("check", tmp_path / NAME, site=site)
    assert "a frame was rendered" in said


def facegraft(*arguments: object, site: Path, data: Path | None = None) -> str:
    kept = {k: v for k, v in os.environ.items() if k != "FACEGRAFT_PYTHON"}
    if data is not None:
        kept["XDG_DATA_HOME"] = str(data)
    result = subprocess.run(
        [sys.executable, "-m", "facegraft_cli", "ofx", *map(str, arguments)],
        capture_output=True, text=True, timeout=300, env={**kept, "PYTHONPATH": str(site)},
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    return result.stdout


def symbols(library: Path) -> set[str]:
    """Names that a library needs or gives, with their versions, and the libraries it asks for."""
    read = ["readelf", "--wide", "--dynamic", "--dyn-syms", str(library)]
    lines = subprocess.run(read, capture_output=True, text=True, check=True).stdout.splitlines()
    asked = {line.split("[")[1] for line in lines if "(NEEDED)" in line}
    return asked | {line.split()[7] for line in lines if line.count(":") == 1 and "GLOBAL" in line}
