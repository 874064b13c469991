"""The whole node under the checks of memory and of undefined behaviour."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.host_plugin_ofx.engine_watch import children, left_over
from tests.host_plugin_ofx.hard_use import MOST_S
from tests.host_plugin_ofx.scene import Scene
from tests.host_plugin_ofx.tools import build_ofx_bundle

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def sanitized(compiler, tmp_path) -> Path:
    try:
        bundle = build_ofx_bundle.build(tmp_path, compiler, sanitize=True)
    except RuntimeError as error:
        pytest.skip(f"the compiler has no sanitizers: {error}")
    return bundle / build_ofx_bundle.LIBRARY


@pytest.fixture
def runtime(compiler) -> Path:
    """What a host that was not built for it has to load first."""
    asked = [*compiler, "-print-file-name=libasan.so"]
    found = Path(subprocess.check_output(asked, text=True, timeout=60).strip())
    if not found.is_file():
        pytest.skip(f"{compiler[0]} names no libasan.so, which a Python host has to load first")
    return found.resolve()


def test_address_and_undefined_behaviour_sanitizers_find_nothing(
    sanitized, runtime, scene: Scene, tmp_path
):
    """In every depth, layout and output, from many threads, with errors and lost engines."""
    folder = tmp_path / "t"
    folder.mkdir()
    environment = {
        **os.environ,
        "LD_PRELOAD": str(runtime),
        "ASAN_OPTIONS": "detect_leaks=0",  # of Python itself, and of its libraries
        "PYTHONPATH": str(REPOSITORY),
        "TMPDIR": str(folder),
        "FACEGRAFT_MERGE_TIMEOUT": "60",
    }
    arguments = [sanitized, scene.model, scene.faceset, folder]
    result = subprocess.run(
        [sys.executable, "-m", "tests.host_plugin_ofx.hard_use", *map(str, arguments)],
        capture_output=True, text=True, timeout=MOST_S + 30, env=environment, cwd=REPOSITORY,
    )  # fmt: skip
    assert result.stdout == "done\n" and result.returncode == 0, result.stderr[-4000:]
    assert "runtime error" not in result.stderr and "Sanitizer" not in result.stderr
    assert not children(folder) and not left_over(folder)
