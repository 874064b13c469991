"""Blender as a Python module, with the extension from its zip in a profile of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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


def find_bpy() -> Path | None:
    """The Python that has bpy: FACEGRAFT_BLENDER_PYTHON, else the installer's environment."""
    named = os.environ.get("FACEGRAFT_BLENDER_PYTHON")
    if named:
        return Path(named)
    found = [REPOSITORY / ".venv-blender" / p for p in ("bin/python", "Scripts/python.exe")]
    return next((python for python in found if python.exists()), None)


def build_extension(folder: Path) -> Path:
    """The extension's zip as the build script makes it."""
    script = REPOSITORY / "install" / "build_blender_extension.py"
    result = subprocess.run(
        [sys.executable, script, "--output", folder], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    return Path(result.stdout.strip())


def start(bpy_python: Path, extension_zip: Path, profile: Path) -> Blender:
    """Runs commands of in_blender.py with the extension. profile: an empty folder."""

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
