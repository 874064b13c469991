"""Where the OpenFX node comes from on this machine, and where its hosts look for it."""

import json
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from facegraft.errors import FacegraftError, SourceNotFound
from facegraft.files import write_atomic, write_error

NAME = "FaceGraft.ofx.bundle"
LIBRARY = Path("Contents") / "Linux-x86-64" / "FaceGraft.ofx"
NOTE = Path("Contents") / "Resources" / "engine.json"
EFFECT = Path("Contents") / "Resources" / "kdenlive.xml"
EFFECT_NAME = "openfx.org.facegraft.faceswap.xml"
SYSTEM_FOLDER = Path("/usr/OFX/Plugins")
VARIABLE = "OFX_PLUGIN_PATH"
PACKAGE = "facegraft_ofx"  # of the distribution facegraft-ofx
HOW_TO_GET = (
    "install the wheel facegraft-ofx into this Python, or in a checkout run "
    "python install/build_ofx_bundle.py"
)


@dataclass(frozen=True, slots=True)
class HostFolders:
    """Where some hosts look."""

    hosts: str
    folders: tuple[Path, ...]
    reads_variable: bool = True


HOSTS = (
    HostFolders("melt, Kdenlive, Shotcut", (SYSTEM_FOLDER, Path("/usr/local/OFX/Plugins"))),
    HostFolders("Natron", (SYSTEM_FOLDER, Path("/usr/OFX/Natron"))),
    HostFolders("Nuke", (SYSTEM_FOLDER, Path("/usr/OFX/Nuke"))),
    HostFolders("DaVinci Resolve", (SYSTEM_FOLDER,), reads_variable=False),
)


def default_folder() -> Path:
    """OpenFX has no folder for one user; this one is made known through the variable."""
    return Path.home() / "OFX" / "Plugins"


def listed() -> list[Path]:
    """The folders that the environment variable names."""
    return [Path(part) for part in os.environ.get(VARIABLE, "").split(os.pathsep) if part]


def seen_by(host: HostFolders) -> Path | None:
    """The folder in which a host that starts now finds the node first."""
    folders = [*host.folders, *(listed() if host.reads_variable else [])]
    return next((folder for folder in folders if (folder / NAME / LIBRARY).is_file()), None)


def built() -> Path:
    """The bundle to install: of the wheel facegraft-ofx, else of the checkout's `dist` folder.

    Raises: SourceNotFound where there is none.
    """
    places = list(sources())
    for place in places:
        if (place / LIBRARY).is_file():
            return place
    looked = f" (looked at {', '.join(map(str, places))})" if places else ""
    raise SourceNotFound(f"no {NAME} was found{looked}; {HOW_TO_GET}")


def installed() -> Path:
    """The bundle that hosts on this machine find first.

    Raises: SourceNotFound where there is none.
    """
    places = list(dict.fromkeys([SYSTEM_FOLDER, *listed(), default_folder()]))
    for place in places:
        if (place / NAME).is_dir():
            return place / NAME
    where = ", ".join(map(str, places))
    raise SourceNotFound(f"no {NAME} in {where}; run facegraft ofx install")


def put(bundle: Path, target: Path) -> None:
    """Copy the bundle with its note; the old one is replaced at the end, by two renames.

    Raises: SourceNotFound where `bundle` is none, WriteError.
    """
    if not (bundle / LIBRARY).is_file():
        raise SourceNotFound(f"{bundle} holds no {LIBRARY} and is no bundle; {HOW_TO_GET}")
    fresh, old = (target.with_suffix(f".{word}-{os.getpid()}") for word in ("new", "old"))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(bundle, fresh)
        write_atomic(fresh / NOTE, json.dumps({"python": sys.executable}).encode() + b"\n")
        if target.exists():
            target.rename(old)
        fresh.rename(target)
    except OSError as error:
        if isinstance(error, FacegraftError):
            raise
        raise write_error(target, error) from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def kdenlive_folder(system: bool) -> Path:
    """Where Kdenlive reads effect files, of all users or of this one."""
    if system:
        return Path("/usr/local/share/kdenlive/effects")
    data = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(data) / "kdenlive" / "effects"


def flatpak_folder() -> Path | None:
    """Where a Kdenlive of Flatpak reads them; None where this user has none."""
    own = Path.home() / ".var" / "app" / "org.kde.kdenlive"
    return own / "data" / "kdenlive" / "effects" if own.is_dir() else None


def put_effect(bundle: Path, folder: Path) -> Path | None:
    """Copy the bundle's effect file into the folder, and give its path; None where an older bundle
    has none. Raises: WriteError."""
    if not (bundle / EFFECT).is_file():
        return None
    target = folder / EFFECT_NAME
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise write_error(target, error) from error
    write_atomic(target, (bundle / EFFECT).read_bytes())
    return target


def sources() -> Iterator[Path]:
    """Where a bundle to install can be, the first one first."""
    spec = find_spec(PACKAGE)
    for folder in (spec.submodule_search_locations or []) if spec else []:
        yield Path(folder) / NAME
    checkout = Path(__file__).resolve().parents[2]
    if (checkout / "install" / "build_ofx_bundle.py").is_file():
        yield checkout / "dist" / NAME
