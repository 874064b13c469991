"""The node's library, built once for all tests of it; they skip where no compiler is."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from facegraft_cli.ofx_host import OK, OfxHost
from tests.host_plugin_ofx.face_clip import FaceClip, make_face_clip
from tests.host_plugin_ofx.scene import Scene, make_scene, render
from tests.host_plugin_ofx.tools import build_ofx_bundle

COMPILER = build_ofx_bundle.find_compiler()


@pytest.fixture(scope="session")
def compiler() -> list[str]:
    """The command of a C compiler."""
    if not COMPILER:
        pytest.skip("no C compiler is installed; install gcc to test the OpenFX node")
    return COMPILER


@pytest.fixture(scope="session")
def bundle(tmp_path_factory, compiler) -> Path:
    """The bundle as users get it."""
    try:
        return build_ofx_bundle.build(tmp_path_factory.mktemp("bundle"), compiler)
    except RuntimeError as error:
        if "runs on Linux" in str(error):
            pytest.skip(str(error))
        raise


@pytest.fixture(scope="session")
def library(bundle) -> Path:
    """The bundle's library; those who load it share one engine."""
    return bundle / build_ofx_bundle.LIBRARY


@pytest.fixture
def fresh_library(library, tmp_path) -> Path:
    """A copy that the process loads beside others, with an engine of its own."""
    return Path(shutil.copy(library, tmp_path / "Fresh.ofx"))


@pytest.fixture(autouse=True)
def engine(monkeypatch) -> None:
    """The node finds this very Python."""
    monkeypatch.setenv("FACEGRAFT_PYTHON", sys.executable)


@pytest.fixture(scope="session")
def compiled(tmp_path_factory, compiler) -> Callable[[str, list[str]], Path]:
    """Build a C text with more arguments for the compiler, and give the file."""
    folder = tmp_path_factory.mktemp("compiled")

    def build(text: str, arguments: list[str]) -> Path:
        source = folder / "test.c"
        target = folder / "test.out"
        source.write_text(text)
        command = [*compiler, "-std=c11", "-Wall", "-Wextra", "-Werror", str(source)]
        command += ["-I", str(build_ofx_bundle.SOURCES), "-o", str(target), *arguments]
        subprocess.run(command, check=True, capture_output=True, text=True)
        return target

    return build


@pytest.fixture(scope="session")
def scene(tmp_path_factory) -> Scene:
    return make_scene(tmp_path_factory.mktemp("scene"))


@pytest.fixture(scope="session")
def face_clip(tmp_path_factory) -> FaceClip:
    return make_face_clip(tmp_path_factory.mktemp("face clip"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Iterator[Path]:
    """Where the engines' folders are made, so that what is left over shows."""
    folder = tmp_path_factory.mktemp("t")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(folder))
        yield folder


@pytest.fixture(scope="module")
def host(library, folder, scene, tmp_path_factory) -> OfxHost:
    """With an engine of its own that runs in that folder; every test leaves it able to work."""
    copy = tmp_path_factory.mktemp("own") / "Own.ofx"
    host = OfxHost(Path(shutil.copy(library, copy)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FACEGRAFT_PYTHON", sys.executable)
        assert render(host, scene.values())[0] == OK
    return host


@pytest.fixture
def own_folder(monkeypatch, tmp_path) -> Path:
    """The same for one test, whose engines are no other's."""
    folder = tmp_path / "t"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    return folder
