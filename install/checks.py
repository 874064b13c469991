"""The project's tests in one run: style, types, contracts, pytest, and Blender's newer Python.

Standard library only. Every step runs, whatever the ones before it gave; the last line printed says
which failed.
"""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import environment
from environment import LOCK, REPOSITORY, VENV, InstallError, digest_of, pip, python_of, say

VENV_313 = REPOSITORY / ".venv-313"
_SCRIPT_313 = """
from facegraft.controls import controls_of
from facegraft.merge.params import MergeParams
from facegraft.training.params import TrainParams
from facegraft.worker.client import WorkerClient
from facegraft_blender import exr, faces, props
assert [s.row.name for s in props.SOCKET_ROWS] == [r.name for r in controls_of(MergeParams)]
print("add-on, client and tables import on", __import__("sys").version.split()[0])
"""
_TESTS_313 = ["tests/engine/test_worker_protocol.py"]  # numpy and pytest are all they need
MOST_AGAIN = 3  # failed tests that are tried alone; more than that is no accident
_COUNTS = re.compile(r"^=*\s*(\d+ (?:passed|failed|skipped|error).*?) in [\d.]+s")


def run_all(bpy_python: Path) -> int:
    """0 where everything passed, else 1."""
    start = time.monotonic()
    python = python_of(VENV)
    module = [str(python), "-m"]
    results: dict[str, str | None] = {}  # what to say where it passed, None where it failed
    results["ruff"] = _step("ruff", [*module, "ruff", "check", "."])
    results["format"] = _step("format", [*module, "ruff", "format", "--check", "."])
    results["pyright"] = _step("pyright", [*module, "pyright"])
    contracts = [str(environment.tool_of(VENV, "lint-imports"))]
    results["contracts"] = _step("contracts", contracts)
    results["pytest"] = _test(module, FACEGRAFT_BLENDER_PYTHON=str(bpy_python))
    newer = environment.find_python("3.13")
    if newer is None:
        print("[python 3.13] not checked: no Python 3.13 was found", flush=True)
    else:
        results["python 3.13"] = _check_313(newer)
    failed = [name for name, said in results.items() if said is None]
    minutes = (time.monotonic() - start) / 60
    passed = ", ".join(f"{name}{said}" for name, said in results.items() if said is not None)
    if failed:
        print(f"FAILED: {', '.join(failed)}; passed: {passed}; {minutes:.1f} min")
        return 1
    print(f"all passed: {passed}; {minutes:.1f} min")
    return 0


def _test(module: list[str], **variables: str) -> str | None:
    """All tests; a few that failed once more, since a loaded machine can starve a process.

    A test that only passes alone is named in the last line: it wants mending, and hides nothing.
    """
    pytest = [*module, "pytest", "-q", "-m", "", "-rsfE"]
    said = _step("pytest", [*pytest, "--durations=10"], **variables)
    if said is not None:
        return said
    failed = _last_failed()
    if not 0 < len(failed) <= MOST_AGAIN:
        return None
    again = _step("pytest: what failed, alone", [*pytest, *failed], **variables)
    return None if again is None else f"{again}, but only at a second try: {', '.join(failed)}"


def _last_failed() -> list[str]:
    """Ids of the tests that failed in the last run, from pytest's own cache."""
    try:
        text = (REPOSITORY / ".pytest_cache/v/cache/lastfailed").read_text(encoding="utf-8")
    except OSError:
        return []
    return sorted(json.loads(text))


def _step(name: str, command: list[str], **variables: str) -> str | None:
    """Run and show; the counts of pytest's last line or '' where it passed, None where not."""
    print(f"[{name}]", flush=True)
    process = subprocess.Popen(
        command,
        cwd=REPOSITORY,
        env={**os.environ, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
    )
    assert process.stdout is not None
    counts = ""
    for line in process.stdout:
        print(line, end="", flush=True)
        match = _COUNTS.match(line)
        counts = f" ({match[1]})" if match else counts
    return counts if process.wait() == 0 else None


def _check_313(program: Path) -> str | None:
    """What runs inside Blender 5.1 and later, on its Python."""
    python = python_of(VENV_313)
    lock = LOCK / "python313.txt"
    stamp = {"lock": digest_of(lock)}
    try:
        if environment.read_stamp(VENV_313) != stamp:
            environment.make_venv(VENV_313, program)
            pip(python, "-r", lock)
            environment.write_stamp(VENV_313, stamp)
    except InstallError as error:
        say(f"error: {error}")
        return None
    folders = [str(REPOSITORY / name) for name in ("engine", "cli", "host_plugin")]
    path = {"PYTHONPATH": os.pathsep.join(folders)}
    imported = _step("python 3.13: imports", [str(python), "-c", _SCRIPT_313], **path)
    tests = [str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", *_TESTS_313]
    tested = _step("python 3.13: tests", tests, **path)
    return None if imported is None else tested


if __name__ == "__main__":
    sys.exit("run: python3 install/install.py test")
