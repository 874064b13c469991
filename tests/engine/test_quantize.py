"""The 8-bit twin of a model: the same contract, nearly the same picture, and honest figures."""

import json

import numpy as np
import onnx
import pytest
from click.testing import CliRunner

from facegraft.errors import NotAModel, ParameterError
from facegraft.faces.faceset import Faceset
from facegraft.inference import SwapModel
from facegraft.model_spec import FaceType, ModelRecord, ModelSpec
from facegraft.models.export import export_dfm
from facegraft.quantize import QUANTIZED_KEY, model_crops, quantize_model
from facegraft_cli.main import cli
from tests.engine.tiny_dfm import write_dfm
from tests.engine.tiny_nets import lively, tiny
from tests.engine.training_faces import write_faceset

RECORD = ModelRecord(name="Ada", consent="film X", iterations=3)


def crops(count: int = 8) -> np.ndarray:
    return np.random.default_rng(5).random((count, 64, 64, 3), dtype=np.float32)


@pytest.fixture(scope="module", params=["df-ud", "amp"])
def twins(request, tmp_path_factory):
    """Original, 8-bit twin and what its making told."""
    folder = tmp_path_factory.mktemp("quantize")
    source, out = folder / "ada.dfm", folder / "ada_int8.dfm"
    export_dfm(lively(request.param), tiny(request.param), RECORD, source, crops(2))
    report, picture = quantize_model(source, out, crops())
    return SwapModel.open(source), SwapModel.open(out), report, picture


def test_the_twin_answers_nearly_as_the_original(twins):
    original, quantized, report, _ = twins
    fresh = np.random.default_rng(6).random((64, 64, 3), dtype=np.float32)
    a, b = original.predict(fresh, 0.5), quantized.predict(fresh, 0.5)
    assert a.face.std() > 0.05, "a flat face proves nothing"
    assert np.abs(a.face - b.face).mean() < 0.02
    assert np.abs(a.mask - b.mask).mean() < 0.02


def test_names_order_spec_and_record_stay(twins):
    original, quantized, *_ = twins
    assert (quantized.spec, quantized.record) == (original.spec, original.record)
    names = [
        [value.name for value in (*graph.input, *graph.output)]
        for graph in (onnx.load(model.path).graph for model in (original, quantized))
    ]
    assert names[0] == names[1]


def test_most_of_the_arithmetic_is_in_8_bit(twins):
    _, quantized, report, _ = twins
    graph = onnx.load(quantized.path).graph
    makers = {name: node.op_type for node in graph.node for name in node.output}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    assert convolutions
    for node in convolutions:
        assert [makers.get(name) for name in node.input] == ["DequantizeLinear"] * 3
    assert report.bytes < 0.5 * report.original_bytes


def test_the_report_is_what_a_count_by_hand_gives(twins):
    original, quantized, report, _ = twins
    morph = 0.75
    gaps = [
        np.abs(original.predict(c, morph).face - quantized.predict(c, morph).face)
        for c in crops()[1::2]
    ]
    assert report.faces == 4
    assert report.face_mean == pytest.approx(np.mean(gaps), rel=1e-4)
    assert report.face_max == pytest.approx(np.max(gaps), rel=1e-4)
    stored = json.loads(quantized.metadata[QUANTIZED_KEY])
    assert stored["face_mean"] == report.face_mean


def test_the_picture_shows_original_twin_and_difference(twins):
    *_, picture = twins
    assert picture.shape == (3 * 64, 4 * 64, 3)
    difference = 0.5 + 16 * (picture[64:128] - picture[:64])
    np.testing.assert_allclose(picture[128:], np.clip(difference, 0, 1), atol=1e-6)


def test_a_twin_has_no_twin(twins, tmp_path):
    _, quantized, *_ = twins
    with pytest.raises(ParameterError, match="8-bit already"):
        quantize_model(quantized.path, tmp_path / "again.dfm", crops())


def test_too_few_faces_are_refused_and_nothing_is_written(tmp_path):
    source = write_dfm(tmp_path / "a.dfm")
    with pytest.raises(ParameterError, match="3 faces are too few"):
        quantize_model(source, tmp_path / "out.dfm", crops(3))
    assert not (tmp_path / "out.dfm").exists()


def test_a_file_that_is_no_model_is_refused(tmp_path):
    (tmp_path / "a.dfm").write_bytes(b"no model")
    with pytest.raises(NotAModel):
        quantize_model(tmp_path / "a.dfm", tmp_path / "out.dfm", crops())


def test_crops_are_the_faces_as_the_model_frames_them(tmp_path):
    write_faceset(tmp_path / "faces", 3, skin=(200, 40, 40))
    spec = ModelSpec("df-ud", 64, FaceType.HALF, 32, 16, 16, 16)
    model = SwapModel.open(write_dfm(tmp_path / "a.dfm", spec=spec))
    found = model_crops(Faceset.open(tmp_path / "faces"), model, 2)
    assert found.shape == (2, 64, 64, 3) and found.min() >= 0 and found.max() <= 1
    np.testing.assert_allclose(found[:, 40, 24], [[200 / 255, 40 / 255, 40 / 255]] * 2, atol=0.02)


def test_the_command_tells_size_time_and_difference(tmp_path):
    source = tmp_path / "ada.dfm"
    export_dfm(lively("df"), tiny("df"), RECORD, source, crops(2))
    write_faceset(tmp_path / "faces", 6)
    arguments = [source, tmp_path / "int8.dfm", "--faces", tmp_path / "faces"]
    sheet = ["--sheet", tmp_path / "sheet.png"]
    done = CliRunner().invoke(cli, ["model", "quantize", *map(str, arguments + sheet)])
    assert done.exit_code == 0, done.output
    assert "On 3 faces it differs by" in done.output and "dB" in done.output
    assert SwapModel.open(tmp_path / "int8.dfm").resolution == 64
    assert (tmp_path / "sheet.png").exists()
