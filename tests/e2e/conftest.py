"""Hosts for tests that need more than one of them, and a worker that tells what they asked."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.host_plugin.conftest import blender as blender
from tests.host_plugin.conftest import bpy_python as bpy_python
from tests.host_plugin.conftest import extension_zip as extension_zip
from tests.host_plugin_ofx import mlt_host
from tests.host_plugin_ofx.conftest import bundle as bundle
from tests.host_plugin_ofx.conftest import compiler as compiler
from tests.host_plugin_ofx.mlt_run import Mlt

Recorder = Callable[[str], "Recording"]


class Recording:
    """A program that hosts take for the engine's Python, and what it was asked."""

    def __init__(self, folder: Path, name: str) -> None:
        self.program = folder / f"{name}.sh"
        self._log = folder / f"{name}.jsonl"
        worker = Path(__file__).with_name("recording_worker.py")
        self.program.write_text(
            f"#!/bin/sh\nshift 3  # -P -m facegraft.worker\n"
            f'exec "{sys.executable}" -P "{worker}" "{self._log}" "$@"\n'
        )
        self.program.chmod(0o700)

    def values(self) -> dict[int, dict[str, Any]]:
        """The merge parameters of each frame."""
        lines = map(json.loads, self._log.read_text().splitlines())
        return {line["frame"]: line["params"] for line in lines}


@pytest.fixture
def recorder(tmp_path: Path) -> Recorder:
    return lambda name: Recording(tmp_path, name)


@pytest.fixture(scope="session")
def mlt(tmp_path_factory, compiler, bundle) -> Mlt:
    try:
        return Mlt(tmp_path_factory.mktemp("mlt"), compiler, bundle)
    except mlt_host.Unavailable as error:
        pytest.skip(f"no MLT with OpenFX: {error}")
