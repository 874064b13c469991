"""Programs of Debian's packages without root: fetched, unpacked into a folder, run from there.

The archive is the one that this machine's apt uses already; apt works in a folder of its own, so
nothing of the system changes. Of what a package depends on, libraries alone are taken: drivers,
fonts and daemons, most of it all, are left out.
"""

import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
LIBRARIES = Path("usr/lib/x86_64-linux-gnu")
APT_S = 180
UNPACKED_AT_ONCE = 2
DRIVERS = ("mesa-libgallium",)  # of graphics cards, with a compiler of 28 MB
LEFT_OUT = ("doc", "locale", "man", "lintian")  # below usr/share

# of a package and one that it depends on: whether that one is taken
Wanted = Callable[[str, str], bool]


class Unavailable(Exception):
    """Its text says why this machine cannot have the packages."""


def fetch(
    suite: str,
    packages: Sequence[str],
    wanted: Wanted,
    kept: Path,
    check: Callable[[Path], None],
) -> Path:
    """Unpack `packages` of a suite, and the libraries that they need, into the folder `kept`.

    check: looks at the unpacked folder and raises Unavailable where something lacks.
    Raises: Unavailable, OSError, subprocess.TimeoutExpired. `kept` is whole or not there.
    """
    missing = [tool for tool in ("apt-get", "dpkg-deb", "tar") if shutil.which(tool) is None]
    if missing or not KEYRING.is_file():
        raise Unavailable(f"{', '.join(missing) or KEYRING} is missing; this is no Debian")
    kept.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=kept.parent, prefix=".fetch-") as name:
        folder = Path(name)
        root = folder / "root"
        root.mkdir()
        options = _own_apt(suite, folder)
        _run(["apt-get", *options, "update", "-qq"])
        names = closure(packages, wanted, _run(["apt-cache", *options, "dumpavail"]))
        _run(["apt-get", *options, "download", "-qq", *names], folder)
        with ThreadPoolExecutor(UNPACKED_AT_ONCE) as pool:
            list(pool.map(lambda package: _unpack(package, root), folder.glob("*.deb")))
        check(root)
        try:
            root.rename(kept)
        except OSError:
            if not kept.is_dir():  # else another run was quicker
                raise
    return kept


def closure(packages: Iterable[str], wanted: Wanted, available: str) -> list[str]:
    """The packages and what they depend on, sorted; of alternatives the first.

    available: control stanzas of all packages, as `apt-cache dumpavail` prints them.
    """
    stanzas = {}
    for stanza in available.split("\n\n"):
        first, _, rest = stanza.partition("\n")
        stanzas[first.removeprefix("Package: ")] = rest
    found: set[str] = set()
    todo = list(packages)
    while todo:
        package = todo.pop()
        if package in found or package not in stanzas:  # some names are only provided by others
            continue
        found.add(package)
        todo += [
            name
            for name in _dependencies(stanzas[package])
            if "lib" in name and name not in DRIVERS and wanted(package, name)
        ]
    return sorted(found)


def loader(root: Path, program: Path) -> list[str]:
    """Runs a program with the folder's libraries; its children use the system's again."""
    libraries = root / LIBRARIES
    inner = (libraries, *(libraries / name for name in ("blas", "lapack", "pulseaudio")))
    path = ":".join(map(str, inner))
    return [str(libraries / "ld-linux-x86-64.so.2"), "--library-path", path, str(program)]


def check_libraries(root: Path, files: Iterable[Path]) -> None:
    """Raises: Unavailable naming a library that a file needs and that the folder lacks.

    The system's own would be taken instead, and fail later on a symbol's version.
    """
    for file in files:
        *start, program = loader(root, file)
        for line in _run([*start, "--list", program]).splitlines():
            name, _, place = line.strip().partition(" => ")
            if place and not place.startswith(str(root)):
                raise Unavailable(f"{file.name} needs {name}, which no package brought")


def _dependencies(stanza: str) -> list[str]:
    listed = ",".join(re.findall(r"^(?:Pre-)?Depends: (.*)$", stanza, re.MULTILINE)).split(",")
    names = [re.split(r"[ :|(]", entry.strip())[0] for entry in listed]
    return [name for name in names if name]


def _own_apt(suite: str, folder: Path) -> list[str]:
    """Options with which apt works in `folder` alone."""
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
        "Acquire::Languages": "none",
        "Debug::NoLocking": 1,
        "Acquire::Check-Valid-Until": "false",  # of archives that are copied now and then
    }
    return [f"-o{name}={value}" for name, value in options.items()]


def _unpack(package: Path, root: Path) -> None:
    out = [f"--exclude=./usr/share/{name}" for name in LEFT_OUT]
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", package], stdout=subprocess.PIPE) as deb:
        tar = ["tar", "-x", "-C", str(root), "--no-same-owner", *out]
        result = subprocess.run(tar, stdin=deb.stdout, capture_output=True, text=True)
    if result.returncode or deb.returncode:
        raise Unavailable(f"{package.name} could not be unpacked: {result.stderr.strip()[-300:]}")


def _run(arguments: Sequence[str], folder: Path | None = None) -> str:
    result = subprocess.run(arguments, cwd=folder, capture_output=True, text=True, timeout=APT_S)
    if result.returncode != 0:
        said = (result.stderr.strip() or result.stdout.strip())[-300:]
        raise Unavailable(f"{' '.join(map(str, arguments[-2:]))}: {said}")
    return result.stdout
