"""The .dfm contract to the letter, and that the file computes what the network computes."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from facegraft.errors import ParameterError, ParityError, WriteError
from facegraft.inference import SwapModel
from facegraft.model_spec import METADATA_KEY, RECORD_KEY, FaceType, ModelRecord, ModelSpec
from facegraft.models.build import build
from facegraft.models.export import export_dfm
from facegraft.models.stages import OPTIONS

ARCHITECTURES = [f"{f}{o}" for f in ("df", "liae") for o in ("", "-ud", f"-{OPTIONS}")]
RECORD = ModelRecord(name="Ada", consent="ada@example.org, film X, until 2030", iterations=3)


def spec_of(architecture: str) -> ModelSpec:
    return ModelSpec(architecture, 64, FaceType.WHOLE_FACE, 32, 16, 16, 16)


def untrained(architecture: str):
    """Biases away from 0 and steep heads, so that the outputs spread over 0..1."""
    torch.manual_seed(3)
    net = build(spec_of(architecture))
    with torch.no_grad():
        for name, p in net.named_parameters():
            if name.endswith("bias"):
                p.uniform_(-0.05, 0.05)
            elif "head" in name:
                p.mul_(20)
    return net


def crops(n: int = 2) -> np.ndarray:
    return np.random.default_rng(0).random((n, 64, 64, 3), dtype=np.float32)


@pytest.fixture(scope="module", params=ARCHITECTURES)
def exported(request, tmp_path_factory) -> tuple[str, Path, float]:
    path = tmp_path_factory.mktemp("dfm") / "ada.v1.dfm"
    architecture = request.param
    difference = export_dfm(untrained(architecture), spec_of(architecture), RECORD, path, crops())
    return architecture, path, difference


def declared(value: onnx.ValueInfoProto):
    tensor = value.type.tensor_type
    return value.name, tensor.elem_type, [d.dim_param or d.dim_value for d in tensor.shape.dim]


CONTRACT = {
    "inputs": [("in_face:0", onnx.TensorProto.FLOAT, ["batch", 64, 64, 3])],
    "outputs": [
        ("out_face_mask:0", onnx.TensorProto.FLOAT, ["batch", 64, 64, 1]),
        ("out_celeb_face:0", onnx.TensorProto.FLOAT, ["batch", 64, 64, 3]),
        ("out_celeb_face_mask:0", onnx.TensorProto.FLOAT, ["batch", 64, 64, 1]),
    ],
    "opsets": [("", 12)],
    "weights kept elsewhere": [],
    "operators of other domains": [],
}


def test_the_graph_keeps_the_contract(exported):
    """Names, order, types, static sizes, one symbolic batch, standard operators, weights inside."""
    model = onnx.load(str(exported[1]))
    graph = model.graph
    found = {
        "inputs": [declared(v) for v in graph.input],
        "outputs": [declared(v) for v in graph.output],
        "opsets": [(o.domain, o.version) for o in model.opset_import],
        "weights kept elsewhere": [
            t.name for t in graph.initializer if t.data_location == onnx.TensorProto.EXTERNAL
        ],
        "operators of other domains": [n.op_type for n in graph.node if n.domain],
    }
    assert CONTRACT == found
    onnx.checker.check_model(model, full_check=True)
    assert "DepthToSpace" in {n.op_type for n in graph.node}  # not five reshapes and transposes


def test_the_file_stands_alone_in_its_folder(exported):
    """Readers list every file of the folder as a model, so nothing else is left beside it."""
    assert [exported[1].name] == [p.name for p in exported[1].parent.iterdir()]


def test_spec_and_record_come_back_from_the_metadata(exported):
    """And SwapModel shows them, with no other key in the file."""
    architecture, path, _ = exported
    keys = {p.key for p in onnx.load(str(path)).metadata_props}
    assert {METADATA_KEY, RECORD_KEY} == keys
    model = SwapModel.open(path)
    assert spec_of(architecture) == model.spec
    assert RECORD == model.record


def test_the_file_computes_the_network(exported):
    """RGB in torch, BGR in the file; the outputs by position are dst mask, face, mask."""
    architecture, path, difference = exported
    assert difference < 1e-5
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    rgb = crops(3)
    outputs = session.run(None, {"in_face:0": np.ascontiguousarray(rgb[..., ::-1])})
    dst_mask, face, mask = map(np.asarray, outputs)
    with torch.no_grad():
        want = untrained(architecture).swap(torch.from_numpy(rgb).permute(0, 3, 1, 2))
    np.testing.assert_allclose(face[..., ::-1], want.src_dst.permute(0, 2, 3, 1), atol=1e-5)
    np.testing.assert_allclose(mask[..., 0], want.src_dst_mask[:, 0], atol=1e-5)
    np.testing.assert_allclose(dst_mask[..., 0], want.dst_dst_mask[:, 0], atol=1e-5)
    assert face.std() > 0.05  # a flat picture would agree with anything


def test_the_network_is_left_as_it_was(tmp_path):
    """Export in the middle of a run: training mode, layout and weights stay."""
    net = untrained("df-ud").train()
    net.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    before = {k: v.clone() for k, v in net.state_dict().items()}
    export_dfm(net, spec_of("df-ud"), RECORD, tmp_path / "a.dfm", crops(1))
    assert net.training
    for name, value in net.state_dict().items():
        assert torch.equal(before[name], value)
        assert before[name].stride() == value.stride()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_network_with_broken_weights_is_refused_and_nothing_is_written(value, tmp_path):
    """NaN compares as neither above nor below the limit and must not slip through."""
    net = untrained("df-ud")
    with torch.no_grad():
        next(net.parameters()).fill_(value)
    with pytest.raises(ParityError, match=r"broken\.dfm was not written"):
        export_dfm(net, spec_of("df-ud"), RECORD, tmp_path / "broken.dfm", crops(1))
    assert [] == list(tmp_path.iterdir())


def test_a_graph_that_computes_something_else_is_refused(tmp_path, monkeypatch):
    """One weight altered on its way into the file is enough; the older file stays."""
    path = tmp_path / "ada.dfm"
    path.write_bytes(b"older")
    real = onnx.load_from_string

    def altered(data: bytes) -> onnx.ModelProto:
        model = real(data)
        name = "net.decoder_src.face_heads.0.bias"
        bias = next(t for t in model.graph.initializer if t.name == name)
        values = onnx.numpy_helper.to_array(bias) + np.float32(0.02)
        bias.CopyFrom(onnx.numpy_helper.from_array(values, bias.name))
        return model

    monkeypatch.setattr(onnx, "load_from_string", altered)
    with pytest.raises(ParityError, match=r"differs from the network by 0\.00"):
        export_dfm(untrained("df-ud"), spec_of("df-ud"), RECORD, path, crops(1))
    assert path.read_bytes() == b"older"


@pytest.mark.parametrize("shape", [(0, 64, 64, 3), (1, 32, 64, 3), (64, 64, 3)])
def test_crops_of_another_shape_are_refused(shape, tmp_path):
    """The message holds the shape that is wanted."""
    with pytest.raises(ParameterError, match=r"\(N, 64, 64, 3\)"):
        export_dfm(
            untrained("df-ud"), spec_of("df-ud"), RECORD, tmp_path / "a.dfm", np.zeros(shape)
        )


def test_a_network_beyond_the_limit_of_one_file_is_refused_before_any_work(tmp_path):
    """liae-ud at 640 px with wide dims has more than 2 GiB of weights."""
    spec = ModelSpec("liae-ud", 640, FaceType.FULL, 512, 64, 64, 22)
    with torch.device("meta"):
        net = build(spec)
    with pytest.raises(ParameterError, match="at most 2 GiB"):
        export_dfm(net, spec, RECORD, tmp_path / "a.dfm", np.zeros((1, 640, 640, 3), np.float32))


def test_an_unwritable_place_is_a_write_error(tmp_path):
    """A file where the folder should be."""
    (tmp_path / "blocked").write_bytes(b"")
    with pytest.raises(WriteError):
        export_dfm(
            untrained("df-ud"), spec_of("df-ud"), RECORD, tmp_path / "blocked" / "a.dfm", crops(1)
        )


def test_the_file_names_no_folder_of_this_machine(exported):
    """Traced graphs can carry source paths in their doc strings."""
    assert str(Path(__file__).parents[2]).encode() not in exported[1].read_bytes()
