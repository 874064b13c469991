"""Build the Blender extension: the add-on, and a wheel of the engine's client and option table.

    python install/build_blender_extension.py [--output dist]

Writes `facegraft-VERSION.zip`, which Blender installs from its preferences (Get Extensions, Install
from Disk) or by `blender --command extension install-file`. The wheel is pure Python and bundled
in `wheels/`, because an extension may not fetch anything when it is installed. Standard library
only, besides calling pip.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from importlib.util import find_spec
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
ADDON = REPOSITORY / "host_plugin" / "facegraft_blender"
_WHEELS_LINE = re.compile(r"^wheels = \[\]$", re.MULTILINE)
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the oldest date a zip can state: same input, same file


def build(output: Path) -> Path:
    """Build the zip into the folder `output` and give its path.

    Raises: RuntimeError saying what is wrong and what to do.
    """
    version = _common_version()
    output.mkdir(parents=True, exist_ok=True)
    target = output / f"facegraft-{version}.zip"
    with tempfile.TemporaryDirectory(prefix="facegraft-build-") as folder:
        wheel = _build_wheel(Path(folder))
        unfinished = Path(folder) / target.name
        with zipfile.ZipFile(unfinished, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in sorted(ADDON.iterdir()):
                if path.suffix == ".py":
                    _add(archive, path.name, path.read_bytes())
            manifest = (ADDON / "blender_manifest.toml").read_text(encoding="utf-8")
            _add(archive, "blender_manifest.toml", _with_wheel(manifest, wheel.name).encode())
            _add(archive, "LICENSE", (ADDON / "LICENSE").read_bytes())
            _add(archive, "LICENSE-engine", (REPOSITORY / "LICENSE").read_bytes())
            _add(archive, f"wheels/{wheel.name}", wheel.read_bytes())
        partial = target.with_suffix(".part")  # in the same folder, so that replacing is one step
        partial.write_bytes(unfinished.read_bytes())
        os.replace(partial, target)
    return target


def _common_version() -> str:
    """The version that project and manifest both state."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    manifest = tomllib.loads((ADDON / "blender_manifest.toml").read_text(encoding="utf-8"))
    version = project["project"]["version"]
    if manifest["version"] != version:
        raise RuntimeError(
            f"pyproject.toml has version {version}, blender_manifest.toml {manifest['version']}; "
            "make them equal"
        )
    return version


def _build_wheel(folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--quiet"]
    command += ["--disable-pip-version-check", "--wheel-dir", str(folder), str(REPOSITORY)]
    if find_spec("hatchling") is not None:
        command.append("--no-build-isolation")  # no download where the build tool is installed
    result = subprocess.run(command, capture_output=True, text=True)
    wheels = list(folder.glob("facegraft-*-py3-none-any.whl"))
    if result.returncode != 0 or len(wheels) != 1:
        raise RuntimeError(
            f"pip could not build the wheel:\n{result.stderr.strip()}\n"
            f"Install hatchling into {sys.executable}, or connect to the network"
        )
    return wheels[0]


def _with_wheel(manifest: str, wheel: str) -> str:
    text, count = _WHEELS_LINE.subn(f'wheels = ["./wheels/{wheel}"]', manifest)
    if count != 1:
        raise RuntimeError("blender_manifest.toml must hold the line `wheels = []` once")
    return text


def _add(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    entry = zipfile.ZipInfo(name, _EPOCH)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = 0o644 << 16
    archive.writestr(entry, data)


def main() -> int:
    parser = argparse.ArgumentParser(description="Build the Blender extension.")
    parser.add_argument(
        "--output", type=Path, default=REPOSITORY / "dist", help="folder for the zip (default dist)"
    )
    arguments = parser.parse_args()
    try:
        print(build(arguments.output))
    except RuntimeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
