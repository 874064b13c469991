"""Brings weight files onto this machine: out of a pinned wheel, or from a file the user has.

The detector's networks are two TensorFlow Lite files inside MediaPipe's wheel, Apache-2.0. pip
fetches the wheel with its hash pinned, we read the two files, check them and convert them; the
wheel itself is neither installed nor kept.
"""

import hashlib
import json
import subprocess
import sys
import tempfile
import urllib.request
import zipfile
from collections.abc import Mapping
from pathlib import Path

from facegraft.errors import BadWeights, Cancelled, MissingExtra, MissingWeights
from facegraft.files import write_atomic
from facegraft.progress import Progress, Silent
from facegraft.weights import registry
from facegraft.weights.registry import State, WeightFile, sha256_of

WHEEL = "mediapipe==0.10.21"  # the last release that carries its models
WHEEL_SHA256 = "05dc4a9e593655a79558d05d6227d31018c2537a4bd3362b51e230cf22aecfe3"
# the models are the same in every wheel; this one is named so that the hash fits on any machine
_WHEEL_TAGS = ("--python-version", "3.11", "--platform", "manylinux_2_28_x86_64")
_TIMEOUT_S = 30.0  # without a byte: the address is not reachable
_CHUNK = 1 << 18  # bytes between two looks at Ctrl-C
ORIGINALS = "originals"  # folder of the .tflite files, kept so that a new converter needs no wheel


def fetch(
    wheel: Path | None = None,
    folder: Path | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> list[Path]:
    """Install the detector's networks into `folder` (default `data_folder()`); gives their paths.

    Does nothing when they are there and whole, unless `force`. Without `wheel`, pip fetches it.
    Raises: MissingWeights if the wheel cannot be had, BadWeights if a digest differs,
    MissingExtra if onnx or flatbuffers are not installed, WriteError.
    """
    progress = progress or Silent()
    folder = folder or registry.data_folder()
    files = [file for file in registry.WEIGHTS if file.is_converted]
    paths = [registry.path_of(file, folder) for file in files]
    states = [s.state for s in registry.verify(folder) if s.file.is_converted]
    if not force and wheel is None and all(state is State.INSTALLED for state in states):
        progress.note(f"the detector's networks are installed in {folder}")
        return paths
    originals = [folder / ORIGINALS / Path(file.original).name for file in files]
    if wheel is not None or force or not all(map(_is_original, files, originals)):
        _take_originals(files, originals, wheel, progress)
    progress.start(len(files), "networks")
    entries = {}
    for file, original, path in zip(files, originals, paths, strict=True):
        write_atomic(path, _convert(file, original))
        entries[file.name] = {
            "file": file.file_name,
            "sha256": sha256_of(path),
            "source": f"{WHEEL}: {file.original}",
            "original_sha256": file.digest,
            "converter": registry.CONVERTER_VERSION,
            "licence": file.licence,
        }
        progress.advance(note=file.file_name)
    _write_manifest(folder, entries)
    return paths


def fetch_published(name: str, progress: Progress | None = None) -> Path:
    """Download a file from its authors' address, on the user's word only; gives its path.

    Does nothing when it is there and whole. Raises: MissingWeights if there is no such row or the
    address cannot be reached, BadWeights if the digest differs, Cancelled, WriteError.
    """
    progress = progress or Silent()
    file = registry.find(name)
    target = registry.path_of(file)
    if target.is_file() and sha256_of(target).startswith(file.digest):
        progress.note(f"{file.file_name} is installed in {target.parent}")
        return target
    progress.note(f"{file.url} (licence: {file.licence})")
    content = bytearray()
    try:
        with urllib.request.urlopen(file.url, timeout=_TIMEOUT_S) as answer:
            progress.start(int(answer.headers.get("Content-Length", file.size)), "bytes")
            while chunk := answer.read(_CHUNK):
                content += chunk
                progress.advance(len(chunk))
                if progress.cancelled:
                    raise Cancelled(f"{file.file_name} was not installed")
    except OSError as error:
        raise MissingWeights(
            f"{file.url} cannot be fetched ({error}). Get it on a machine that can, then run: "
            f"facegraft weights import {file.file_name}"
        ) from error
    _check_digest(bytes(content), file.digest, file.url)
    write_atomic(target, bytes(content))
    return target


def import_file(path: Path) -> Path:
    """Copy a weight file of the face-alignment library to where it looks; gives the new path.

    Raises: MissingWeights if there is no such file or it is not one we know, BadWeights if its
    content does not fit the digits in its name, WriteError.
    """
    if not path.is_file():
        raise MissingWeights(f"no such file: {path}")
    known = {file.file_name: file for file in registry.WEIGHTS if not file.is_converted}
    file = known.get(path.name)
    if file is None:
        raise MissingWeights(
            f"{path.name} is not a weight file that FaceGraft uses; it knows {', '.join(known)}. "
            "Keep the original name; a MediaPipe wheel goes to: facegraft weights fetch --wheel"
        )
    content = path.read_bytes()
    _check_digest(content, registry.digits_in_name(path.name), path)
    target = registry.path_of(file)
    write_atomic(target, content)
    return target


def _check_digest(content: bytes, digits: str, source: Path | str) -> None:
    found = hashlib.sha256(content).hexdigest()
    if not found.startswith(digits):
        raise BadWeights(
            f"{source} is damaged or renamed: its sha256 starts with {found[: len(digits)]}, "
            f"its name says {digits}. Get it again"
        )


def _is_original(file: WeightFile, path: Path) -> bool:
    return path.is_file() and sha256_of(path) == file.digest


def _take_originals(
    files: list[WeightFile], targets: list[Path], wheel: Path | None, progress: Progress
) -> None:
    with tempfile.TemporaryDirectory(prefix="facegraft-") as scratch:
        if wheel is None:
            progress.note(f"pip fetches {WHEEL} (36 MB) for two files inside it")
            wheel = _download(Path(scratch))
        if not wheel.is_file():
            raise MissingWeights(f"no such wheel: {wheel}")
        if (found := sha256_of(wheel)) != WHEEL_SHA256:
            raise BadWeights(
                f"{wheel} is not the wheel of {WHEEL} that is pinned: sha256 {found}, "
                f"expected {WHEEL_SHA256}. Get it with: {' '.join(_pip_command(Path('.')))}"
            )
        with zipfile.ZipFile(wheel) as archive:
            for file, target in zip(files, targets, strict=True):
                content = archive.read(file.original)
                if hashlib.sha256(content).hexdigest() != file.digest:
                    raise BadWeights(f"{file.original} in {wheel} has not the sha256 {file.digest}")
                write_atomic(target, content)


def _pip_command(target: Path) -> list[str]:
    return [
        sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:",
        *_WHEEL_TAGS, "--disable-pip-version-check", "--dest", str(target), WHEEL,
    ]  # fmt: skip


def _download(scratch: Path) -> Path:
    requirements = scratch / "requirements.txt"
    requirements.write_text(f"{WHEEL} --hash=sha256:{WHEEL_SHA256}\n", encoding="utf-8")
    command = [*_pip_command(scratch)[:-1], "--require-hashes", "--requirement", str(requirements)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = list(scratch.glob("*.whl"))
    if done.returncode != 0 or not wheels:
        said = (done.stderr.strip().splitlines() or ["pip said nothing"])[-1]
        raise MissingWeights(
            f"pip could not fetch {WHEEL}: {said}. On a machine that can, run: "
            f"pip {' '.join(_pip_command(Path('.'))[3:])} ; "
            "then here: facegraft weights fetch --wheel FILE"
        )
    return wheels[0]


def _convert(file: WeightFile, original: Path) -> bytes:
    try:  # onnx and flatbuffers are wanted only here, once
        from facegraft.weights import convert
    except ImportError as error:
        raise MissingExtra(
            f"converting weights needs the package {error.name}; "
            "run: pip install 'facegraft[weights]'"
        ) from error
    steps = {"face_det_full": convert.convert_detector, "face_mesh_attn": convert.convert_mesh}
    return steps[file.name](original).SerializeToString(deterministic=True)


def _write_manifest(folder: Path, entries: Mapping[str, Mapping[str, object]]) -> None:
    content = {"version": registry.MANIFEST_VERSION, "files": entries}
    write_atomic(folder / registry.MANIFEST, (json.dumps(content, indent=2) + "\n").encode())
