"""`facegraft weights` as a user meets it."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from facegraft import weights
from facegraft.errors import BadWeights
from facegraft_cli.weights import weights as command
from tests.weights_fixture import needs_weights


def test_list_shows_every_file_with_its_state_and_licence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FACEGRAFT_DATA", str(tmp_path))
    result = CliRunner().invoke(command, ["list"])
    assert result.exit_code == 0
    for file in weights.WEIGHTS:
        assert file.name in result.output
    assert result.output.count("licence:") == len(weights.WEIGHTS)
    assert result.output.count(" missing ") >= 2


@needs_weights
def test_verify_fails_on_a_damaged_network_and_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("manifest.json", "face_det_full.onnx", "face_mesh_attn.onnx"):
        (tmp_path / name).write_bytes((weights.data_folder() / name).read_bytes())
    monkeypatch.setenv("FACEGRAFT_DATA", str(tmp_path))
    assert CliRunner().invoke(command, ["verify"]).exit_code == 0
    (tmp_path / "face_mesh_attn.onnx").write_bytes(b"short")
    result = CliRunner().invoke(command, ["verify"])
    assert isinstance(result.exception, BadWeights)
    assert str(tmp_path / "face_mesh_attn.onnx") in str(result.exception)


@needs_weights
def test_fetch_does_nothing_where_the_networks_are_installed() -> None:
    result = CliRunner().invoke(command, ["fetch"])
    assert result.exit_code == 0
    assert result.output.count(".onnx") == 2
