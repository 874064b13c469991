"""Build the OpenFX bundle: the node's C sources into FaceGraft.ofx.bundle.

    python install/build_ofx_bundle.py [--output dist] [--sanitize]

A C compiler is all it needs (the environment variable CC, cc, gcc or clang); on Debian as root, gcc
is fetched through apt where there is none. Standard library only. Linux on x86-64: the node's
processes, sockets and shared memory are written for it, and no other system was tried.
"""

import argparse
import os
import platform
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
SOURCES = REPOSITORY / "host_plugin" / "ofx"
BUNDLE = "FaceGraft.ofx.bundle"
LIBRARY = Path("Contents") / "Linux-x86-64" / "FaceGraft.ofx"
EFFECT = Path("Contents") / "Resources" / "kdenlive.xml"
SANITIZE = ("-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined")


def find_compiler() -> list[str]:
    """The command of a C compiler; empty where there is none."""
    chosen = shlex.split(os.environ.get("CC", ""))
    if chosen:
        return chosen
    return next(([name] for name in ("cc", "gcc", "clang") if shutil.which(name)), [])


def build(output: Path, compiler: list[str], sanitize: bool = False) -> Path:
    """Build the bundle into the folder `output` and give its path. sanitize: with checks of memory
    and undefined behaviour, for tests.

    Raises: RuntimeError saying what is wrong and what to do.
    """
    machine = f"{platform.system()} {platform.machine()}"
    if machine != "Linux x86_64":
        raise RuntimeError(f"the OpenFX node runs on Linux x86_64; this is {machine}")
    if not compiler:
        raise RuntimeError("no C compiler was found; install gcc or clang, or name one in CC")
    bundle = output / BUNDLE
    library = bundle / LIBRARY
    library.parent.mkdir(parents=True, exist_ok=True)
    fresh = library.with_suffix(".part")  # a host that has the old one loaded keeps it whole
    command = [*compiler, *flags("compile"), "-Werror", *(SANITIZE if sanitize else ())]
    command += ["-shared", "-o", str(fresh), *(str(path) for path in sorted(SOURCES.glob("*.c")))]
    command += flags("link")
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode != 0:
        fresh.unlink(missing_ok=True)
        raise RuntimeError(f"{compiler[0]} could not build the node:\n{result.stderr.strip()}")
    os.replace(fresh, library)
    (bundle / EFFECT).parent.mkdir(exist_ok=True)
    shutil.copyfile(SOURCES / EFFECT.name, bundle / EFFECT)
    return bundle


def flags(step: str) -> list[str]:
    """Of `compile` or `link`, from the file that CMake reads too."""
    return (SOURCES / f"{step}_flags.txt").read_text(encoding="utf-8").split()


def fetch_compiler() -> None:
    """Install gcc where apt can. Raises: RuntimeError where it cannot."""
    apt = shutil.which("apt-get")
    if apt is None or os.geteuid() != 0:
        return  # build() says what is missing
    command = [apt, "install", "-y", "-qq", "--no-install-recommends", "gcc", "libc6-dev"]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode != 0:
        raise RuntimeError(f"apt-get could not install gcc:\n{result.stderr.strip()}")


def main() -> int:
    parser = argparse.ArgumentParser(description="Build the OpenFX bundle.")
    parser.add_argument(
        "--output", type=Path, default=REPOSITORY / "dist", help="folder for it (default dist)"
    )
    parser.add_argument("--sanitize", action="store_true", help="with run-time checks, for tests")
    arguments = parser.parse_args()
    try:
        if not find_compiler():
            fetch_compiler()
        print(build(arguments.output, find_compiler(), arguments.sanitize))
    except RuntimeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
