"""The bpy environment, and the extension installed into a profile of its own."""

from pathlib import Path

import pytest

from tests.host_plugin import run_blender
from tests.host_plugin.run_blender import Blender as Blender
from tests.host_plugin.shots import Shot, make_shot


@pytest.fixture(scope="session")
def bpy_python() -> Path:
    found = run_blender.find_bpy()
    if found is None:
        pytest.skip(
            "no bpy environment: install.py makes .venv-blender, or set FACEGRAFT_BLENDER_PYTHON"
        )
    return found


@pytest.fixture(scope="session")
def extension_zip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_blender.build_extension(tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="session")
def blender(
    bpy_python: Path, extension_zip: Path, tmp_path_factory: pytest.TempPathFactory
) -> Blender:
    """Run a command of in_blender.py with the extension installed from its zip."""
    return run_blender.start(bpy_python, extension_zip, tmp_path_factory.mktemp("profile"))


@pytest.fixture
def shot(tmp_path: Path) -> Shot:
    return make_shot(tmp_path / "shot")
