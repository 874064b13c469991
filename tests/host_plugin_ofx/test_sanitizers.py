"""The whole node under checks of memory, of undefined behaviour, and of races between threads."""

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
# by name: the library that a host which was not built for it loads first, and its options
RUNTIMES = {
    # leaks of Python itself and of its libraries are not ours to mend
    "address": ("libasan.so", "ASAN_OPTIONS=detect_leaks=0"),
    "thread": ("libtsan.so", "TSAN_OPTIONS=suppressions={folder}/others"),
}
OTHERS = "race:onnxruntime_pybind11_state\n"  # a library of the host's Python


def preloading(compiler: list[str], name: str, folder: Path) -> dict[str, str]:
    """The environment of such a host; skips where there is none, or where it does not start."""
    library, option = RUNTIMES[name]
    asked = [*compiler, f"-print-file-name={library}"]
    runtime = Path(subprocess.check_output(asked, text=True, timeout=60).strip())
    if not runtime.is_file():
        pytest.skip(f"{compiler[0]} names no {library}, which a Python host has to load first")
    (folder / "others").write_text(OTHERS)
    key, _, value = option.format(folder=folder).partition("=")
    environment = {**os.environ, "LD_PRELOAD": str(runtime.resolve()), key: value}
    tried = subprocess.run(
        [sys.executable, "-c", ""], capture_output=True, text=True, env=environment, timeout=60
    )
    if tried.returncode != 0:
        pytest.skip(f"Python does not start with {library}: {tried.stderr.strip()[:300]}")
    return environment


def sanitized(compiler: list[str], name: str, folder: Path) -> Path:
    """The node's library with these checks built in."""
    try:
        if name == "address":
            bundle = build_ofx_bundle.build(folder, compiler, sanitize=True)
        else:
            bundle = build_ofx_bundle.build(folder, [*compiler, "-g", "-fsanitize=thread"])
    except RuntimeError as error:
        pytest.skip(f"the compiler has no such sanitizer: {error}")
    return bundle / build_ofx_bundle.LIBRARY


@pytest.mark.parametrize("name", RUNTIMES)
def test_sanitizers_find_nothing(compiler, scene: Scene, tmp_path, name):
    """In every depth, layout and output, from many threads, with errors and lost engines."""
    folder = tmp_path / "t"
    folder.mkdir()
    environment = preloading(compiler, name, tmp_path)
    library = sanitized(compiler, name, tmp_path)
    environment |= {
        "PYTHONPATH": str(REPOSITORY),
        "TMPDIR": str(folder),
        "FACEGRAFT_MERGE_TIMEOUT": "60",
    }
    arguments = [library, scene.model, scene.faceset, folder]
    result = subprocess.run(
        [sys.executable, "-m", "tests.host_plugin_ofx.hard_use", *map(str, arguments)],
        capture_output=True, text=True, timeout=MOST_S + 30, env=environment, cwd=REPOSITORY,
    )  # fmt: skip
    assert result.stdout == "done\n" and result.returncode == 0, result.stderr[-4000:]
    assert "runtime error" not in result.stderr and "Sanitizer" not in result.stderr
    assert not children(folder) and not left_over(folder)
