"""The engine's environment: `.venv`, filled from the lock for the machine it is on.

Standard library only. `ensure()` does nothing where a stamp inside the environment says that it was
made from the present pyproject.toml and lock.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
VENV = REPOSITORY / ".venv"
LOCK = REPOSITORY / "install" / "lock"
CONSTRAINTS = LOCK / "constraints.txt"
OLDEST = (3, 11)
_STAMP = "facegraft-install.json"
_WINDOWS = os.name == "nt"
_TORCH_CPU_PYTHON = (3, 11)  # the pinned torch is known to exist as a CPU-only file for this one


class InstallError(Exception):
    """Its text says what is wrong and what to do."""


@dataclass(frozen=True, slots=True)
class Gpu:
    """`found` decides the packages; `reason` is told to the user."""

    found: bool
    reason: str


def check_python() -> None:
    """Raises: InstallError on a Python that is too old."""
    if sys.version_info < OLDEST:
        wanted = ".".join(map(str, OLDEST))
        raise InstallError(
            f"FaceGraft needs Python {wanted} or later; this is {sys.version.split()[0]} "
            f"({sys.executable}). Run the command with a newer one, for example python{wanted}"
        )


def python_of(venv: Path) -> Path:
    """The environment's interpreter, whether it exists or not."""
    return venv / ("Scripts/python.exe" if _WINDOWS else "bin/python")


def tool_of(venv: Path, name: str) -> Path:
    """A command that a package installed into the environment."""
    return venv / (f"Scripts/{name}.exe" if _WINDOWS else f"bin/{name}")


def user_data_folder() -> Path:
    """Where the add-on looks for the engine; the same rule as facegraft.worker.launch."""
    if _WINDOWS:
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Application Support"
    else:
        base = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return base / "facegraft"


def find_gpu() -> Gpu:
    """An NVIDIA GPU whose driver answers; nothing else is supported by the packages."""
    tool = shutil.which("nvidia-smi")
    if sys.platform == "darwin":
        return Gpu(False, "macOS has no CUDA")
    if tool is None:
        return Gpu(False, "no nvidia-smi, so no NVIDIA driver")
    query = [tool, "--query-gpu=name,driver_version", "--format=csv,noheader"]
    try:
        result = subprocess.run(query, capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired) as error:
        return Gpu(False, f"nvidia-smi does not answer ({error})")
    if result.returncode != 0 or not result.stdout.strip():
        return Gpu(False, "nvidia-smi finds no GPU")
    return Gpu(True, f"nvidia-smi reports {result.stdout.strip().splitlines()[0]}")


def ensure(fan: bool = False, cpu: bool = False) -> Path:
    """Make or complete `.venv`, the detector's networks and the note for the add-on.

    `fan` adds the face-alignment library, `cpu` leaves a GPU alone. Gives the environment's
    Python. Raises: InstallError.
    """
    check_python()
    gpu = Gpu(False, "you asked for the CPU") if cpu else find_gpu()
    kind = "cuda" if gpu.found else "cpu"
    python = python_of(VENV)
    wanted = {"digest": digest_of(REPOSITORY / "pyproject.toml", CONSTRAINTS), "kind": kind}
    stamp = read_stamp(VENV)
    wanted["fan"] = "yes" if fan or stamp.get("fan") == "yes" else "no"
    if python.exists() and stamp == wanted:
        say(f".venv is complete ({kind} packages)")
    else:
        say(f"{'GPU' if gpu.found else 'CPU'} packages: {gpu.reason}")
        _tell_sizes(gpu.found)
        make_venv(VENV, Path(sys.executable))
        if stamp.get("kind", kind) != kind:  # both runtimes install into one folder
            other = "onnxruntime" if gpu.found else "onnxruntime-gpu"
            run([python, "-m", "pip", "uninstall", "--yes", other])
        extras = f"{kind},train,weights,ocio,demo,dev"
        pip(python, "-c", CONSTRAINTS, "-e", f"{REPOSITORY}[{extras}]")
        if wanted["fan"] == "yes":
            pip(python, "-c", CONSTRAINTS, "-e", f"{REPOSITORY}[{extras},fan]")
            # it asks for opencv-python, which would overwrite opencv-python-headless
            pip(python, "-c", CONSTRAINTS, "--no-deps", "face-alignment")
        write_stamp(VENV, wanted)
    run([tool_of(VENV, "facegraft"), "weights", "fetch"])
    _note_engine(python)
    return python


def _tell_sizes(gpu: bool) -> None:
    if gpu:
        say("downloads about 3.5 GB (torch with CUDA), 8 GB on disk")
        return
    version = sys.version_info[:2]
    say("downloads about 0.5 GB, 1.5 GB on disk, where pip finds a CPU-only torch")
    if sys.platform == "linux" and version != _TORCH_CPU_PYTHON:
        say(
            f"note: for Python {version[0]}.{version[1]} pip may find only the torch that brings "
            "CUDA along (3 GB, works on a CPU too); Python 3.11 is the safe choice"
        )


def _note_engine(python: Path) -> None:
    """Write engine.json, by which the add-on finds this environment."""
    note = user_data_folder() / "engine.json"
    note.parent.mkdir(parents=True, exist_ok=True)
    part = note.with_suffix(".part")
    part.write_text(json.dumps({"python": str(python)}), encoding="utf-8")
    os.replace(part, note)


def find_python(version: str) -> Path | None:
    """An interpreter of exactly that version ("3.11"): this one, on the PATH, or pyenv's."""
    candidates = [[sys.executable], [f"python{version}"], ["py", f"-{version}"]]
    candidates += [[str(p)] for p in Path.home().glob(f".pyenv/versions/{version}.*/bin/python")]
    query = "import sys; print('%d.%d' % sys.version_info[:2], sys.executable)"
    for candidate in candidates:
        if shutil.which(candidate[0]) is None:
            continue
        result = subprocess.run([*candidate, "-c", query], capture_output=True, text=True)
        found, _, program = result.stdout.strip().partition(" ")
        if result.returncode == 0 and found == version:  # a pyenv shim may point to nothing
            return Path(program)
    return None


def make_venv(folder: Path, python: Path) -> None:
    """An environment of `python` in `folder`; one that exists and runs is kept."""
    own = python_of(folder)
    if own.exists():
        probe = subprocess.run([own, "-c", "import pip"], capture_output=True)
        if probe.returncode == 0:
            return
    run([python, "-m", "venv", "--clear", folder])


def pip(python: Path, *arguments: str | Path) -> None:
    """Errors are shown, warnings and progress are not. Raises: InstallError."""
    run([python, "-m", "pip", "install", "--disable-pip-version-check", "-qq", *arguments])


def run(
    command: Sequence[str | Path],
    environment: Mapping[str, str] | None = None,
    cwd: Path = REPOSITORY,
) -> None:
    """Run to the end, output shown. Raises: InstallError with the command."""
    try:
        result = subprocess.run(command, env=environment, cwd=cwd)
    except OSError as error:
        raise InstallError(f"cannot run {command[0]}: {error}") from error
    if result.returncode != 0:
        line = " ".join(map(str, command))
        raise InstallError(f"this failed with code {result.returncode}, see above: {line}")


def digest_of(*files: Path) -> str:
    content = hashlib.sha256()
    for file in files:
        content.update(file.read_bytes())
    return content.hexdigest()[:16]


def read_stamp(venv: Path) -> dict[str, str]:
    try:
        return json.loads((venv / _STAMP).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def write_stamp(venv: Path, values: Mapping[str, str]) -> None:
    (venv / _STAMP).write_text(json.dumps(values), encoding="utf-8")


def say(text: str) -> None:
    print(f"  {text}", flush=True)


@contextmanager
def stage(name: str) -> Iterator[None]:
    """Print the name before and the time after."""
    print(f"[{name}]", flush=True)
    start = time.monotonic()
    yield
    say(f"{name}: {time.monotonic() - start:.0f} s")
