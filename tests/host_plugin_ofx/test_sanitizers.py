"""The whole node under checks of memory, of undefined behaviour, and of races between threads."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.host_plugin_ofx.engine_watch import PATIENCE_S, children, left_over, wait_until
from tests.host_plugin_ofx.hard_use import MOST_S
from tests.host_plugin_ofx.scene import Scene
from tests.host_plugin_ofx.tools import build_ofx_bundle

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1]
# what threads share; the rest of the node knows its own frame alone
ENGINE = ("pool", "engine", "wire", "process", "find", "json", "text")


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """TMPDIR of the sanitized process, whose engines are known by it."""
    folder = tmp_path / "t"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setenv("FACEGRAFT_MERGE_TIMEOUT", "60")
    return folder


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
    sanitized, runtime, scene: Scene, folder
):
    """In every depth, layout and output, from many threads, with errors and lost engines."""
    environment = {
        **os.environ,
        "LD_PRELOAD": str(runtime),
        "ASAN_OPTIONS": "detect_leaks=0",  # of Python itself, and of its libraries
        "PYTHONPATH": str(REPOSITORY),
    }
    arguments = [sanitized, scene.model, scene.faceset, folder]
    result = subprocess.run(
        [sys.executable, "-m", "tests.host_plugin_ofx.hard_use", *map(str, arguments)],
        capture_output=True, text=True, timeout=MOST_S + 30, env=environment, cwd=REPOSITORY,
    )  # fmt: skip
    assert result.stdout == "done\n" and result.returncode == 0, result.stderr[-4000:]
    assert "runtime error" not in result.stderr and "Sanitizer" not in result.stderr
    assert not children(folder) and not left_over(folder)


@pytest.fixture
def many_frames(compiler, tmp_path) -> Path:
    """Eight threads in C alone: Python's own lock would put their frames in order."""
    program = tmp_path / "many_frames"
    command = [*compiler, "-std=c11", "-g", "-O1", "-fsanitize=thread", "-pthread"]
    command += ["-I", str(build_ofx_bundle.SOURCES), "-o", str(program)]
    command += [str(HERE / "many_frames.c")]
    command += [str(build_ofx_bundle.SOURCES / f"{name}.c") for name in ENGINE]
    built = subprocess.run([*command, "-ldl"], capture_output=True, text=True, timeout=300)
    if built.returncode != 0:
        pytest.skip(f"the compiler has no thread sanitizer: {built.stderr[-500:]}")
    tried = subprocess.run([str(program)], capture_output=True, text=True, timeout=60)
    if tried.returncode != 2:  # its own, for want of an argument
        pytest.skip(f"the thread sanitizer does not start here: {tried.stderr[-500:]}")
    return program


def test_the_thread_sanitizer_finds_nothing_and_no_frame_is_lost_with_an_engine(
    many_frames, scene: Scene, folder
):
    """One engine is killed while it works for all of them."""
    fields = {
        "color": "display",
        "model": str(scene.model),
        "faceset": str(scene.faceset),
        "frame_key": "nobody",
    }
    process = subprocess.Popen(
        [str(many_frames), "," + json.dumps(fields)[1:-1]],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        wait_until(lambda: list(folder.glob("facegraft-*/s")))
        (pid,) = children(folder)
        os.kill(pid, signal.SIGKILL)
        out, errors = process.communicate(timeout=2 * PATIENCE_S)
    finally:
        process.kill()
    assert (out, errors, process.returncode) == ("320 of 320\n", "", 0)
    assert not children(folder) and not left_over(folder)
