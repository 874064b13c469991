"""The bpy environment, and the extension installed into a profile of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.host_plugin.shots import Shot, make_shot

REPOSITORY = Path(__file__).resolve().parents[2]
_SCRIPT = Path(__file__).with_name("in_blender.py")
_LIMIT_S = 900  # a cold start of bpy on a loaded machine takes half a minute and more


@dataclass(frozen=True, slots=True)
class Run:
    """A finished Blender process."""

    exit_code: int
    log: str  # stdout and stderr
    answer: dict[str, Any]  # what the command returned; empty where it did not end well


Blender = Callable[..., Run]


@pytest.fixture(scope="session")
def bpy_python() -> Path:
    named = os.environ.get("FACEGRAFT_BLENDER_PYTHON")
    if named:
        return Path(named)
    for relative in ("bin/python", "Scripts/python.exe"):
        python = REPOSITORY / ".venv-blender" / relative
        if python.exists():
            return python
    pytest.skip(
        "no bpy environment: install.py makes .venv-blender, or set FACEGRAFT_BLENDER_PYTHON"
    )


@pytest.fixture(scope="session")
def extension_zip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The extension as the build script makes it."""
    result = subprocess.run(
        [sys.executable, REPOSITORY / "install" / "build_blender_extension.py", "--output"]
        + [str(tmp_path_factory.mktemp("dist"))],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return Path(result.stdout.strip())


@pytest.fixture(scope="session")
def blender(
    bpy_python: Path, extension_zip: Path, tmp_path_factory: pytest.TempPathFactory
) -> Blender:
    """Run a command of in_blender.py with the extension installed from its zip."""
    profile = tmp_path_factory.mktemp("profile")

    def run(command: str, **request: Any) -> Run:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
        environment["BLENDER_USER_RESOURCES"] = str(profile)
        environment["FACEGRAFT_PYTHON"] = request.pop("engine", sys.executable)
        result = subprocess.run(
            [bpy_python, _SCRIPT, command, json.dumps(request)],
            env=environment,
            capture_output=True,
            text=True,
            timeout=_LIMIT_S,
            check=False,
        )
        lines = result.stdout.strip().splitlines()
        answer = json.loads(lines[-1]) if result.returncode == 0 else {}
        return Run(result.returncode, result.stdout + result.stderr, answer)

    installed = run("install", zip=str(extension_zip))
    assert installed.answer.get("enabled"), installed.log
    return run


@pytest.fixture
def shot(tmp_path: Path) -> Shot:
    return make_shot(tmp_path / "shot")
