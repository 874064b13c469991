"""Graphs made for 8-bit kernels: the same numbers from fewer and other nodes."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from facegraft.model_spec import ModelRecord
from facegraft.models.export import export_dfm
from facegraft.onnx_rewrite import rewrite_for_8_bit, scalar_adds
from tests.engine.tiny_nets import lively, tiny

RNG = np.random.default_rng(3)


def answers(model: onnx.ModelProto, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
    data = model.SerializeToString()
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    return [np.asarray(x) for x in session.run(None, feeds)]


def kinds(model: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node]


def rewritten(model: onnx.ModelProto) -> onnx.ModelProto:
    copy = onnx.shape_inference.infer_shapes(model, data_prop=True)
    rewrite_for_8_bit(copy)
    onnx.checker.check_model(copy)
    return copy


def network(*nodes: onnx.NodeProto, outputs: tuple[str, ...], **constants: np.ndarray):
    """(N, 8, 6, 6) in as "x"; outputs of any shape."""
    graph = helper.make_graph(
        list(nodes),
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 8, 6, 6])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(v, k) for k, v in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def weights(out: int, side: int, into: int = 8) -> np.ndarray:
    return RNG.normal(size=(out, into, side, side)).astype(np.float32)


def conv(given: str, weight: str, out: str, *bias: str, **options) -> onnx.NodeProto:
    return helper.make_node("Conv", [given, weight, *bias], [out], **options)


@pytest.mark.parametrize("kind", ["df", "df-ud", "liae-udt", "amp"])
@pytest.mark.parametrize("batch", [1, 3])
def test_every_family_answers_as_before_at_every_batch(kind, batch, tmp_path):
    crops = RNG.random((1, 64, 64, 3), dtype=np.float32)
    export_dfm(lively(kind), tiny(kind), ModelRecord(), tmp_path / "a.dfm", crops)
    before = onnx.load(tmp_path / "a.dfm")
    after = rewritten(before)
    feeds = {"in_face:0": RNG.random((batch, 64, 64, 3), dtype=np.float32)}
    if kind == "amp":
        feeds["morph_value:0"] = np.array([0.4], np.float32)
    for a, b in zip(answers(before, feeds), answers(after, feeds), strict=True):
        np.testing.assert_allclose(b, a, atol=1e-5)
    assert "DepthToSpace" in kinds(before) and "DepthToSpace" not in kinds(after)


def test_the_four_heads_of_a_doubled_decoder_become_one(tmp_path):
    crops = RNG.random((1, 64, 64, 3), dtype=np.float32)
    for kind, fewer in (("df-ud", 3), ("df-u", 0)):
        export_dfm(lively(kind), tiny(kind), ModelRecord(), tmp_path / "a.dfm", crops)
        before = onnx.load(tmp_path / "a.dfm")
        after = rewritten(before)
        assert kinds(before).count("Conv") - kinds(after).count("Conv") == fewer


def test_kernels_of_two_sizes_and_a_missing_bias_are_joined_to_the_same_numbers():
    before = network(
        conv("x", "a", "p", pads=[2] * 4),
        conv("x", "b", "q", "c", auto_pad="SAME_UPPER"),
        helper.make_node("Concat", ["p", "q"], ["y"], axis=1),
        outputs=("y",),
        a=weights(3, 5), b=weights(2, 1), c=np.array([1, 2], np.float32),
    )  # fmt: skip
    after = rewritten(before)
    assert kinds(after) == ["Conv"]
    feeds = {"x": RNG.random((2, 8, 6, 6), dtype=np.float32)}
    np.testing.assert_allclose(answers(after, feeds)[0], answers(before, feeds)[0], atol=1e-5)


@pytest.mark.parametrize(
    ("first", "second", "outputs"),
    [
        (conv("x", "a", "p", pads=[1] * 4), conv("z", "a", "q", pads=[1] * 4), ("y",)),
        (conv("x", "a", "p"), conv("x", "a", "q"), ("y",)),
        (conv("x", "a", "p", pads=[1] * 4, strides=[2, 2]),
         conv("x", "a", "q", pads=[1] * 4, strides=[2, 2]), ("y",)),
        (conv("x", "even", "p", auto_pad="SAME_UPPER"),
         conv("x", "even", "q", auto_pad="SAME_UPPER"), ("y",)),
    ],
    ids=["two pictures", "shrinking", "strided", "even kernel"],
)  # fmt: skip
def test_what_cannot_be_one_convolution_stays(first, second, outputs):
    before = network(
        helper.make_node("Neg", ["x"], ["z"]), first, second,
        helper.make_node("Concat", ["p", "q"], ["y"], axis=1),
        outputs=outputs, a=weights(2, 3), even=weights(2, 2),
    )  # fmt: skip
    assert kinds(rewritten(before)) == ["Neg", "Conv", "Conv", "Concat"]


def test_a_head_that_something_else_reads_stays():
    before = network(
        conv("x", "a", "p", pads=[1] * 4), conv("x", "a", "q", pads=[1] * 4),
        helper.make_node("Concat", ["p", "q"], ["y"], axis=1),
        helper.make_node("Neg", ["p"], ["n"]),
        outputs=("y", "n"), a=weights(2, 3),
    )  # fmt: skip
    assert kinds(rewritten(before)).count("Conv") == 2


@pytest.mark.parametrize(("mode", "stays"), [("DCR", False), ("CRD", True)])
def test_depth_to_space_is_rewritten_in_the_order_that_keeps_channels_together(mode, stays):
    before = network(
        helper.make_node("DepthToSpace", ["x"], ["y"], blocksize=2, mode=mode), outputs=("y",)
    )
    after = rewritten(before)
    assert (kinds(after) == ["DepthToSpace"]) is stays
    feeds = {"x": RNG.random((2, 8, 6, 6), dtype=np.float32)}
    np.testing.assert_array_equal(answers(after, feeds)[0], answers(before, feeds)[0])


def test_an_addition_of_one_number_is_named_and_one_of_a_bias_is_not():
    model = network(
        helper.make_node("Add", ["x", "epsilon"], ["z"], "one number"),
        helper.make_node("Add", ["z", "bias"], ["y"], "a bias"),
        outputs=("y",),
        epsilon=np.array(1e-6, np.float32),
        bias=np.ones((1, 8, 1, 1), np.float32),
    )
    assert scalar_adds(model) == ["one number"]
