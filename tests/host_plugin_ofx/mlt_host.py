"""A real OpenFX host without root: libmlt with its OpenFX module, from Debian's packages.

Eight packages (6 MB) of a suite that has MLT 7.42 or later are fetched from the archive that this
machine's apt already uses, unpacked below `build/` and kept there. A program is run with them by
their own dynamic loader, so that nothing of the system changes.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
KEPT = REPOSITORY / "build" / "mlt-host"
SUITES = ("forky", "sid")
PACKAGES = (
    "libmlt7", "libmlt-data", "libc6", "libglib2.0-0t64", "libgomp1", "libpcre2-8-0", "libatomic1",
    "libgcc-s1",
)  # fmt: skip
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
LIBRARIES = Path("usr/lib/x86_64-linux-gnu")
MODULES = ("libmltcore.so", "libmltopenfx.so")
APT_S = 120


class Unavailable(Exception):
    """Its text says why this machine cannot have the host."""


def host_root() -> Path:
    """The folder with the unpacked packages. Raises: Unavailable."""
    reasons = []
    for suite in SUITES:
        kept = KEPT / suite
        if (kept / LIBRARIES / "mlt-7" / MODULES[1]).is_file():
            return kept
        try:
            return _fetch(suite, kept)
        except (Unavailable, OSError, subprocess.SubprocessError) as error:
            reasons.append(f"{suite}: {error}")
    raise Unavailable("; ".join(reasons))


def command(root: Path, program: Path) -> list[str]:
    """Runs a program with the host's libraries; its children use the system's again."""
    libraries = root / LIBRARIES
    return [str(libraries / "ld-linux-x86-64.so.2"), "--library-path", str(libraries), str(program)]


def environment(root: Path, modules: Path, plugins: Path) -> dict[str, str]:
    """modules: an empty folder for links to the modules that are needed; the others want displays
    and services. plugins: folder with OpenFX bundles."""
    for name in MODULES:
        (modules / name).symlink_to(root / LIBRARIES / "mlt-7" / name)
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("MLT_", "LD_"))}
    return {
        **kept,
        "MLT_REPOSITORY": str(modules),
        "MLT_DATA": str(root / "usr/share/mlt-7"),
        "OFX_PLUGIN_PATH": str(plugins),
    }


def _fetch(suite: str, kept: Path) -> Path:
    missing = [tool for tool in ("apt-get", "dpkg-deb") if shutil.which(tool) is None]
    if missing or not KEYRING.is_file():
        raise Unavailable(f"{', '.join(missing) or KEYRING} is missing; this is no Debian")
    kept.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=kept.parent, prefix=".fetch-") as folder:
        root = Path(folder) / "root"
        root.mkdir()
        for package in _download(suite, Path(folder)):
            _run(["dpkg-deb", "-x", str(package), str(root)])
        if not (root / LIBRARIES / "mlt-7" / MODULES[1]).is_file():
            raise Unavailable("its libmlt7 has no OpenFX module")
        try:
            root.rename(kept)  # whole or not at all
        except OSError:
            if not kept.is_dir():  # else another run was quicker
                raise
    return kept


def _download(suite: str, folder: Path) -> list[Path]:
    """The packages as files; apt works in `folder` alone."""
    lines = _run(["apt-get", "indextargets", "--format", "$(REPO_URI)"]).splitlines()
    archive = next((line for line in lines if line.rstrip("/").endswith("/debian")), None)
    if archive is None:
        raise Unavailable("apt uses no Debian archive")
    for name in ("lists/partial", "cache/archives/partial", "etc/apt.conf.d", "etc/preferences.d"):
        (folder / name).mkdir(parents=True)
    (folder / "status").touch()
    sources = folder / "etc" / "sources.list"
    sources.write_text(f"deb [signed-by={KEYRING}] {archive} {suite} main\n")
    options = {
        "Dir::State": folder,
        "Dir::State::lists": folder / "lists",
        "Dir::State::status": folder / "status",
        "Dir::Cache": folder / "cache",
        "Dir::Etc": folder / "etc",
        "Dir::Etc::sourcelist": sources,
        "Dir::Etc::sourceparts": "/dev/null",
        "APT::Architecture": "amd64",
        "APT::Sandbox::User": "",
        "Debug::NoLocking": 1,
        "Acquire::Check-Valid-Until": "false",  # of archives that are copied now and then
    }
    apt = ["apt-get", *(f"-o{name}={value}" for name, value in options.items())]
    _run([*apt, "update", "-qq"])
    _run([*apt, "download", *PACKAGES], folder)
    return sorted(folder.glob("*.deb"))


def _run(arguments: Sequence[str], folder: Path | None = None) -> str:
    result = subprocess.run(
        arguments, cwd=folder, capture_output=True, text=True, timeout=APT_S
    )  # fmt: skip
    if result.returncode != 0:
        raise Unavailable(f"{' '.join(arguments[-2:])}: {result.stderr.strip()[-300:]}")
    return result.stdout
