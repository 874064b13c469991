"""Finds a Blender, or makes an environment with Blender as a Python module; installs the add-on.

Standard library only. `Host` is what runs a script with `bpy`, whichever of the two it is.
"""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from environment import (
    LOCK,
    REPOSITORY,
    InstallError,
    digest_of,
    find_python,
    make_venv,
    pip,
    python_of,
    read_stamp,
    run,
    say,
    write_stamp,
)

VENV_BLENDER = REPOSITORY / ".venv-blender"
EXTENSION = "bl_ext.user_default.facegraft"
_OLDEST = (4, 5)  # Blender's long-term release with the extension system we use
_BPY_PYTHON = "3.11"  # the bpy wheel exists for no other
_LOG_TAIL = 30  # lines shown of a run that failed: a traceback and what led to it
_SHIPPED = {".py", ".toml", ".json"}  # of the sources, what goes into the extension
_VERSION = re.compile(r"Blender (\d+)\.(\d+)")
# shared library -> Debian package; found by starting bpy on a minimal system
_PACKAGES = {
    "libX11.so.6": "libx11-6",
    "libXrender.so.1": "libxrender1",
    "libXfixes.so.3": "libxfixes3",
    "libXi.so.6": "libxi6",
    "libxkbcommon.so.0": "libxkbcommon0",
    "libSM.so.6": "libsm6",
    "libICE.so.6": "libice6",
    "libXext.so.6": "libxext6",
    "libGL.so.1": "libgl1",
}
# Blender keeps an unpacked wheel of the same version, so what is there goes first
_INSTALL = """
import os, sys, bpy
repos = bpy.context.preferences.extensions.repos
index, repo = next((i, r) for i, r in enumerate(repos) if r.module == "user_default")
if os.path.isdir(os.path.join(repo.directory, "facegraft")):
    bpy.ops.extensions.package_uninstall(repo_index=index, pkg_id="facegraft")
result = bpy.ops.extensions.package_install_files(
    filepath=sys.argv[1], repo="user_default", enable_on_install=True)
sys.exit(0 if "FINISHED" in result and sys.argv[2] in bpy.context.preferences.addons else 1)
"""


@dataclass(frozen=True, slots=True)
class Host:
    """A Blender program, or a Python that has bpy."""

    name: str
    command: tuple[str, ...]  # put a script's path behind it, then its arguments
    environment: dict[str, str] = field(default_factory=dict)

    def run(self, log: Path, script: Path, *arguments: str | Path) -> None:
        """Blender prints lines for every frame; they go into `log`. Raises: InstallError."""
        separator = ["--"] if "--python" in self.command else []
        command = [*self.command, script, *separator, *arguments]
        environment = {**os.environ, **self.environment}
        with log.open("w", encoding="utf-8") as output:
            result = subprocess.run(
                command, env=environment, stdout=output, stderr=subprocess.STDOUT
            )
        if result.returncode != 0:
            tail = log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LOG_TAIL:]
            raise InstallError(
                "\n".join(tail) + f"\n{script.name} failed with code {result.returncode} in "
                f"{self.name}; all of its output: {log}"
            )


def ensure(named: Path | None, engine: Path) -> Host:
    """The add-on in a Blender: the `named` one, else one found, else the bpy environment."""
    program = named or find_program()
    if program is None:
        say("no Blender found: using the bpy module in an environment of its own")
        return ensure_bpy(engine)
    version = _version_of(program)
    say(f"Blender {version[0]}.{version[1]}: {program}")
    if version < _OLDEST:
        raise InstallError(
            f"{program} is Blender {version[0]}.{version[1]}; FaceGraft needs 4.5 or later. Name a "
            "newer one with --blender PATH"
        )
    archive = build_extension(engine)
    install = [program, "--command", "extension", "install-file", "-r", "user_default"]
    run([*install, "--enable", archive])
    command = (str(program), "-b", "--python-exit-code", "1", "--python")
    return Host(f"Blender {version[0]}.{version[1]}", command)


def ensure_bpy(engine: Path) -> Host:
    """`.venv-blender` with the pinned bpy and the add-on in a profile of its own."""
    python = python_of(VENV_BLENDER)
    lock = LOCK / "bpy.txt"
    digest = digest_of(lock)
    stamp = read_stamp(VENV_BLENDER)
    if not python.exists() or stamp.get("lock") != digest:
        say("downloads about 350 MB (Blender as a module), 0.9 GB on disk")
        make_venv(VENV_BLENDER, _find_python())
        pip(python, "-r", lock)
    _require_libraries(python)
    profile = VENV_BLENDER / "profile"
    host = Host("bpy module", (str(python),), {"BLENDER_USER_RESOURCES": str(profile)})
    sources = _extension_sources()
    if stamp != {"lock": digest, "extension": sources}:
        archive = build_extension(engine)
        environment = {**os.environ, **host.environment}
        run([python, "-c", _INSTALL, archive, EXTENSION], environment)
        write_stamp(VENV_BLENDER, {"lock": digest, "extension": sources})
    say(f"bpy module with the add-on: {VENV_BLENDER}")
    return host


def build_extension(engine: Path) -> Path:
    script = REPOSITORY / "install" / "build_blender_extension.py"
    result = subprocess.run([engine, script], capture_output=True, text=True)
    if result.returncode != 0:
        raise InstallError(f"the add-on cannot be built:\n{result.stderr.strip()}")
    return Path(result.stdout.strip().splitlines()[-1])


def find_program() -> Path | None:
    """Blender on the PATH or where installers put it; the newest by name."""
    on_path = shutil.which("blender")
    if on_path:
        return Path(on_path)
    home = Path.home()
    if sys.platform == "darwin":
        places = [Path("/Applications"), home / "Applications"]
        found = [p for place in places for p in place.glob("Blender*.app/Contents/MacOS/Blender")]
    elif os.name == "nt":
        programs = Path(os.environ.get("PROGRAMFILES", "C:/Program Files"))
        found = list(programs.glob("Blender Foundation/Blender */blender.exe"))
    else:
        places = [Path("/opt"), Path("/usr/local"), home, home / "Applications"]
        found = [p for place in places for p in place.glob("blender*/blender") if p.is_file()]
        found += [p for p in [Path("/snap/bin/blender")] if p.is_file()]
    return max(found, key=lambda p: [int(n) for n in re.findall(r"\d+", str(p))], default=None)


def _version_of(program: Path) -> tuple[int, int]:
    try:
        result = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=120)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InstallError(f"{program} does not run ({error}); name one with --blender") from error
    match = _VERSION.search(result.stdout)
    if match is None:
        raise InstallError(f"{program} does not say which Blender it is:\n{result.stderr.strip()}")
    return int(match[1]), int(match[2])


def _find_python() -> Path:
    """A Python 3.11. Raises: InstallError."""
    found = find_python(_BPY_PYTHON)
    if found is None:
        raise InstallError(
            f"the bpy module needs Python {_BPY_PYTHON}, and there is none on the PATH. Install it "
            "(Debian: apt-get install python3.11 python3.11-venv), or install Blender 5 and run "
            "again"
        )
    return found


def missing_libraries(python: Path) -> list[str]:
    """Shared libraries that bpy needs and the system lacks; empty where it cannot be told."""
    if sys.platform != "linux":
        return []
    query = "import importlib.util as u; print(u.find_spec('bpy').submodule_search_locations[0])"
    folder = subprocess.run([python, "-c", query], capture_output=True, text=True).stdout.strip()
    missing: set[str] = set()
    for library in Path(folder or ".").glob("__init__*.so"):
        listed = subprocess.run(["ldd", library], capture_output=True, text=True).stdout
        missing |= set(re.findall(r"(\S+) => not found", listed))
    return sorted(missing)


def packages_of(libraries: list[str]) -> list[str]:
    """The Debian packages that hold them; an unknown library stays as it is."""
    return sorted({_PACKAGES.get(name, name) for name in libraries})


def _require_libraries(python: Path) -> None:
    """Install what bpy needs where we may, name it where we may not. Raises: InstallError."""
    missing = missing_libraries(python)
    if missing:
        command = ["apt-get", "install", "-y", "--no-install-recommends", *packages_of(missing)]
        say(f"system libraries are missing: {', '.join(missing)}")
        may_install = hasattr(os, "geteuid") and os.geteuid() == 0 and shutil.which("apt-get")
        if not may_install or any(name not in _PACKAGES for name in missing):
            raise InstallError(f"install them and run again: sudo {' '.join(command)}")
        run(["apt-get", "update", "-q"])
        run(command)
    probe = subprocess.run([python, "-c", "import bpy"], capture_output=True, text=True)
    if probe.returncode != 0:
        raise InstallError(f"bpy does not start:\n{probe.stderr.strip()}")


def _extension_sources() -> str:
    """Digest of everything that goes into the extension."""
    folders = [REPOSITORY / "host_plugin" / "facegraft_blender", REPOSITORY / "engine"]
    files = [p for f in folders for p in sorted(f.rglob("*")) if p.suffix in _SHIPPED]
    return digest_of(REPOSITORY / "pyproject.toml", *files)
