"""A real OpenFX host without root: MLT with its OpenFX module and `melt`, from Debian's packages.

The packages (about 90 MB) of a suite that has MLT 7.42 or later are fetched from the archive that
this machine's apt already uses, unpacked below `build/` and kept there.
"""

import os
import subprocess
from functools import cache
from pathlib import Path

from tests.host_plugin_ofx.debian import LIBRARIES, Unavailable, check_libraries, fetch, loader

REPOSITORY = Path(__file__).parents[2]
KEPT = REPOSITORY / "build" / "mlt-host"
SUITES = ("forky", "sid")
# the last is loaded by the compatibility library that melt is bound to
PACKAGES = ("melt", "libmlt7", "libmlt-data", "libsdl3-0")
# libmlt7 depends on what any of its modules needs; these are the ones of MODULES
NEEDED = ("libc6", "libgcc", "libstdc++", "libav", "libsw", "libglib2", "libgomp", "libxml2")
MELT = Path("usr/bin/melt-7")
MODULES = ("libmltcore.so", "libmltopenfx.so", "libmltavformat.so", "libmltxml.so")


@cache
def host_root() -> Path:
    """The folder with the unpacked packages. Raises: Unavailable."""
    reasons = []
    for suite in SUITES:
        kept = KEPT / f"{suite}-melt"
        if (kept / MELT).exists():
            return kept
        try:
            return fetch(suite, PACKAGES, _wanted, kept, _check)
        except (Unavailable, OSError, subprocess.SubprocessError) as error:
            reasons.append(f"{suite}: {error}")
    raise Unavailable("; ".join(reasons))


def command(root: Path, program: Path) -> list[str]:
    """Runs a program with the host's libraries; its children use the system's again."""
    return loader(root, program)


def environment(root: Path, modules: Path, plugins: Path) -> dict[str, str]:
    """modules: an empty folder for links to the modules that are needed; the others want displays
    and services. plugins: folder with OpenFX bundles."""
    for name in MODULES:
        (modules / name).symlink_to(root / LIBRARIES / "mlt-7" / name)
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("MLT_", "LD_"))}
    data = root / "usr/share/mlt-7"
    return {
        **kept,
        "MLT_REPOSITORY": str(modules),
        "MLT_DATA": str(data),
        "MLT_PROFILES_PATH": str(data / "profiles"),
        "MLT_PRESETS_PATH": str(data / "presets"),
        "OFX_PLUGIN_PATH": str(plugins),
    }


def _wanted(package: str, name: str) -> bool:
    return package != "libmlt7" or name.startswith(NEEDED)


def _check(root: Path) -> None:
    """Raises: Unavailable where melt or a module lacks something."""
    modules = [root / LIBRARIES / "mlt-7" / name for name in MODULES]
    if not all(module.is_file() for module in modules):
        raise Unavailable("its libmlt7 has no OpenFX module")
    check_libraries(root, [root / MELT, *modules])
