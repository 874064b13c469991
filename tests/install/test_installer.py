"""The installer: what it decides, what it leaves alone, and what it says when it cannot go on."""

import importlib.metadata
import os
import re
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from facegraft.files import user_data_folder
from facegraft.worker.launch import find_engine
from tests.install.conftest import REPOSITORY, Load

LOCK = REPOSITORY / "install" / "lock"


def _pins(name: str) -> dict[str, str]:
    lines = (LOCK / name).read_text(encoding="utf-8").splitlines()
    pairs = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {_normal(package): version for package, version in pairs}


def _normal(package: str) -> str:
    return re.sub(r"[-_.]+", "-", package).lower()


def test_every_dependency_of_the_project_is_locked_to_one_version() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = [*project["dependencies"]]
    for extra in project["optional-dependencies"].values():
        lines += extra
    names = {_normal(re.split(r"[\[<>=!~; ]", line)[0]) for line in lines}
    assert names - set(_pins("constraints.txt")) == set()


def test_the_lock_agrees_with_the_environment_that_runs_this_test() -> None:
    pins = _pins("constraints.txt")
    differing = {
        name: (pins[name], found.version)
        for found in importlib.metadata.distributions()
        if (name := _normal(found.name)) in pins and found.version.split("+")[0] != pins[name]
    }
    assert differing == {}


def test_the_lock_names_no_address() -> None:
    for file in LOCK.iterdir():
        assert "//" not in file.read_text(encoding="utf-8"), file


def test_the_engine_is_found_where_the_installer_notes_it(
    load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("XDG_DATA_HOME", "LOCALAPPDATA", "HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.delenv("FACEGRAFT_PYTHON", raising=False)
    environment = load("environment")
    environment._note_engine(Path(sys.executable))
    assert environment.user_data_folder() == user_data_folder()
    assert find_engine()[0] == sys.executable


def test_a_gpu_counts_only_if_its_driver_answers(
    load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = load("environment")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not environment.find_gpu().found
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 'Card 1, 999.1'\n")
    tool.chmod(0o755)
    found = environment.find_gpu()
    assert found.found and "Card 1, 999.1" in found.reason
    tool.write_text("#!/bin/sh\nexit 9\n")
    assert not environment.find_gpu().found


def test_an_environment_with_a_matching_stamp_is_left_alone(
    load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = load("environment")
    commands: list[str] = []
    monkeypatch.setattr(environment, "run", lambda c, *_: commands.append(" ".join(map(str, c))))
    monkeypatch.setattr(environment, "VENV", tmp_path)
    monkeypatch.setattr(environment, "_note_engine", lambda _python: None)
    python = environment.python_of(tmp_path)
    python.parent.mkdir()
    python.symlink_to(sys.executable)
    environment.ensure(cpu=True)
    assert any("install" in line and "[cpu,train" in line for line in commands)
    commands.clear()
    environment.ensure(cpu=True)
    assert [line for line in commands if "pip" in line] == []


def test_a_stage_runs_again_only_when_its_inputs_changed_or_its_output_is_gone(
    load: Load, tmp_path: Path
) -> None:
    demo_run = load("demo_run")
    given, made = tmp_path / "given", tmp_path / "made"
    given.write_text("a")
    runs: list[int] = []

    def make(_command: object) -> None:
        runs.append(1)
        made.write_text("b")

    def do() -> int:
        stages = demo_run.Stages(tmp_path / "stages.json")
        stages.do("stage", [given], [made], [], make)
        return len(runs)

    assert [do(), do()] == [1, 1]
    given.write_text("c")
    assert do() == 2
    made.unlink()
    assert [do(), do()] == [3, 3]


def test_a_stage_that_makes_nothing_is_an_error(load: Load, tmp_path: Path) -> None:
    given = tmp_path / "given"
    given.write_text("a")
    stages = load("demo_run").Stages(tmp_path / "stages.json")
    with pytest.raises(load("environment").InstallError, match="without making"):
        stages.do("stage", [given], [tmp_path / "made"], [], lambda _command: None)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no Ctrl-C for one process")
def test_training_is_asked_to_save_and_stop_when_its_time_is_over(
    load: Load, tmp_path: Path
) -> None:
    saved = tmp_path / "saved"
    script = (  # a background shell hands Ctrl-C down as ignored; training takes it all the same
        "import signal, time\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "try:\n signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})\n time.sleep(600)\n"
        f"except KeyboardInterrupt:\n open({str(saved)!r}, 'w').close()"
    )
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # the child inherits it, so
    try:  # that a Ctrl-C which comes while a slow machine still starts Python waits
        load("demo_run").run_limited([sys.executable, "-c", script], limit_s=1)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    assert saved.exists()


def test_missing_system_libraries_are_named_with_their_packages(load: Load) -> None:
    names = load("blender").packages_of(["libX11.so.6", "libSM.so.6", "libX11.so.6"])
    assert names == ["libsm6", "libx11-6"]


def test_a_failing_check_is_named_and_changes_the_exit_code(
    load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    checks = load("checks")
    monkeypatch.setattr(load("environment"), "find_python", lambda _version: None)
    outcomes = {"pyright": None, "pytest": " (7 passed)"}
    monkeypatch.setattr(checks, "_step", lambda name, *_, **__: outcomes.get(name, ""))
    assert checks.run_all(tmp_path) == 1
    assert "FAILED: pyright" in capsys.readouterr().out
    outcomes["pyright"] = ""
    assert checks.run_all(tmp_path) == 0
    assert "pytest (7 passed)" in capsys.readouterr().out


def test_the_counts_of_pytest_are_read_from_its_last_line(load: Load) -> None:
    checks = load("checks")
    said = checks._step("x", [sys.executable, "-c", "print('3 passed, 1 skipped in 0.10s')"])
    assert said == " (3 passed, 1 skipped)"
    assert checks._step("x", [sys.executable, "-c", "raise SystemExit(1)"]) is None


def test_the_installer_answers_help_without_any_package(tmp_path: Path) -> None:
    script = REPOSITORY / "install" / "install.py"
    result = subprocess.run(
        [sys.executable, "-I", "-S", script, "--help"], capture_output=True, text=True, cwd=tmp_path
    )
    assert result.returncode == 0
    for command in ("demo", "test", "env", "blender", "doctor"):
        assert command in result.stdout


def test_a_script_that_fails_in_blender_is_reported_with_the_end_of_its_output(
    load: Load, tmp_path: Path
) -> None:
    host = load("blender").Host("a Python", (sys.executable,), {"SHOWN": "the variable"})
    script, log = tmp_path / "script.py", tmp_path / "render.log"
    script.write_text("import os, sys\nprint(os.environ['SHOWN'], *sys.argv[1:])\nsys.exit(3)")
    with pytest.raises(load("environment").InstallError, match="the variable a b[^$]*code 3"):
        host.run(log, script, "a", "b")
    script.write_text("")
    host.run(log, script)


def test_a_python_is_found_by_its_version_or_not_at_all(load: Load) -> None:
    environment = load("environment")
    own = ".".join(map(str, sys.version_info[:2]))
    assert environment.find_python(own) == Path(sys.executable)
    assert environment.find_python("2.99") is None


_FAILS_ONCE = """
from pathlib import Path

def test_once():
    was_there = Path("seen").exists()
    Path("seen").touch()
    assert was_there
"""


@pytest.fixture
def checks_of(load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The module `checks`, as if the project were a folder with these tests alone."""

    def make(tests: str):
        (tmp_path / "pytest.ini").write_text("[pytest]\n")
        (tmp_path / "test_it.py").write_text(tests)
        checks = load("checks")
        monkeypatch.setattr(checks, "REPOSITORY", tmp_path)
        return checks

    return make


def test_a_test_that_passes_only_at_a_second_try_is_named(checks_of) -> None:
    said = checks_of(_FAILS_ONCE)._test([sys.executable, "-m"])
    assert said.endswith("but only at a second try: test_it.py::test_once")


def test_a_test_that_fails_twice_fails_the_run(checks_of) -> None:
    assert checks_of("def test_it():\n    assert False\n")._test([sys.executable, "-m"]) is None


def test_many_failures_are_not_tried_again(checks_of, capfd: pytest.CaptureFixture[str]) -> None:
    tests = _FAILS_ONCE + "".join(f"\ndef test_{n}():\n    assert False\n" for n in range(3))
    assert checks_of(tests)._test([sys.executable, "-m"]) is None
    assert "alone" not in capfd.readouterr().out
