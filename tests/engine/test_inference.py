"""SwapModel opens every .dfm, of whatever maker, and says what is wrong with what is none."""

import hashlib
import json
import logging
import sys
from dataclasses import replace
from pathlib import Path
from subprocess import run

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from facegraft.errors import FutureVersion, ModelError, NotAModel, ParameterError
from facegraft.inference import SwapModel
from facegraft.model_spec import METADATA_KEY, RECORD_KEY, FaceType, ModelSpec

SIDE = 8
SPEC = ModelSpec("df-ud", SIDE, FaceType.HEAD, 32, 16, 16, 16)
GAIN = np.array([0.25, 0.5, 1.0], np.float32)  # per channel in the file's order: blue, green, red
FACE = ("in_face:0", TensorProto.FLOAT, ["batch", SIDE, SIDE, 3])
MORPH = ("morph_value:0", TensorProto.FLOAT, [1])
MASK, OTHER = ["batch", SIDE, SIDE, 1], ["batch", SIDE, SIDE, 3]
OUTPUTS = [("out_face_mask:0", MASK), ("out_celeb_face:0", OTHER), ("out_celeb_face_mask:0", MASK)]


def write(
    path: Path,
    inputs=(FACE,),
    outputs=OUTPUTS,
    nchw_masks: bool = False,
    metadata: dict[str, str] | None = None,
    scale: float = 1.0,
) -> Path:
    """A file as another program would make it, with nothing of ours.

    Face: input times GAIN, times morph where there is one. Dst mask: the blue plane of the input.
    Mask: the red one. So a wrong order of channels or outputs shows.
    """
    face_in = inputs[0][0]
    gain = GAIN if inputs[0][2][-1] == 3 else np.ones(1, np.float32)
    weights = {"gain": gain * np.float32(scale), "blue": np.array([0]), "red": np.array([2])}
    nodes = [
        helper.make_node("Cast", [face_in], ["x"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["x", "gain"], ["tinted"]),
        helper.make_node("Gather", ["x", "blue"], ["dst"], axis=3),
        helper.make_node("Gather", ["x", "red"], ["prd"], axis=3),
    ]
    if len(inputs) > 1:
        nodes.append(helper.make_node("Cast", [inputs[1][0]], ["m"], to=TensorProto.FLOAT))
        nodes.append(helper.make_node("Mul", ["tinted", "m"], ["morphed"]))
    else:
        nodes.append(helper.make_node("Identity", ["tinted"], ["morphed"]))
    sources = ["dst", "morphed", "prd", "prd"]
    for (name, shape), source in zip(outputs, sources, strict=False):
        source = "morphed" if shape and shape[-1] == 3 and source != "morphed" else source
        source = "prd" if shape and shape[-1] == 1 and source == "morphed" else source
        if nchw_masks and source != "morphed":
            nodes.append(helper.make_node("Transpose", [source], [name], perm=[0, 3, 1, 2]))
        else:
            nodes.append(helper.make_node("Identity", [source], [name]))
    graph = helper.make_graph(
        nodes,
        "foreign",
        [helper.make_tensor_value_info(*i) for i in inputs],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in outputs],
        [numpy_helper.from_array(v, k) for k, v in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 12)])
    model.ir_version = 7
    if metadata:
        helper.set_model_props(model, metadata)
    onnx.save(model, str(path))
    return path


def aligned(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((SIDE, SIDE, 3), dtype=np.float32)


def check(model: SwapModel, face: np.ndarray, morph: float = 1.0) -> None:
    """The closed form of `write`'s graph, in RGB."""
    prediction = model.predict(face, morph_value=morph)
    gain = GAIN[::-1] * (morph if model.has_morph else 1)
    np.testing.assert_allclose(prediction.face, face * gain, rtol=1e-6)
    np.testing.assert_array_equal(prediction.mask, face[..., 0])  # red
    np.testing.assert_array_equal(prediction.dst_mask, face[..., 2])  # blue
    for array in (prediction.face, prediction.mask, prediction.dst_mask):
        assert array.flags.c_contiguous and array.dtype == np.float32


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("plain.dfm", {}),
        ("suffix.onnx", {}),
        ("none", {}),
        ("morph.dfm", {"inputs": (FACE, MORPH)}),
        ("batch1.dfm", {"inputs": (("in_face:0", TensorProto.FLOAT, [1, SIDE, SIDE, 3]),)}),
        ("bare_name.dfm", {"inputs": (("in_face", TensorProto.FLOAT, ["N", SIDE, SIDE, 3]),)}),
        (
            "nchw.dfm",
            {
                "nchw_masks": True,
                "outputs": [
                    ("a", ["batch", 1, SIDE, SIDE]),
                    ("b", ["batch", SIDE, SIDE, 3]),
                    ("c", ["batch", 1, SIDE, SIDE]),
                ],
            },
        ),
        ("open_sizes.dfm", {"outputs": [(n, [None, None, None, s[3]]) for n, s in OUTPUTS]}),
    ],
)
def test_foreign_files_open_and_compute(name, options, tmp_path):
    """With and without morph, fixed batch, other names, NCHW masks, sizes left open, any suffix."""
    path = write(tmp_path / name, **options)
    model = SwapModel.open(path)
    assert SIDE == model.resolution
    assert model.spec is None and model.record is None
    assert (len(options.get("inputs", (FACE,))) == 2) == model.has_morph
    check(model, aligned(), morph=0.4)


def test_digest_is_the_sha256_of_the_file(tmp_path):
    """It keys caches, so a changed file is another model."""
    path = write(tmp_path / "a.dfm")
    assert hashlib.sha256(path.read_bytes()).hexdigest() == SwapModel.open(path).digest


@pytest.mark.parametrize("batch", ["batch", 1])
def test_a_batch_equals_its_faces_one_by_one(batch, tmp_path):
    """Also where the file takes only one at a time, and for no face at all."""
    inputs = (("in_face:0", TensorProto.FLOAT, [batch, SIDE, SIDE, 3]),)
    model = SwapModel.open(write(tmp_path / "a.dfm", inputs=inputs))
    faces = np.stack([aligned(seed) for seed in range(3)])
    together = model.predict_batch(faces)
    assert len(together) == 3
    for face, prediction in zip(faces, together, strict=True):
        alone = model.predict(face)
        np.testing.assert_array_equal(alone.face, prediction.face)
        np.testing.assert_array_equal(alone.mask, prediction.mask)
    assert [] == model.predict_batch(faces[:0])


def test_outputs_are_clipped_to_the_unit_range(tmp_path):
    """Foreign graphs need not end in a sigmoid."""
    model = SwapModel.open(write(tmp_path / "a.dfm", scale=8.0))
    face = model.predict(aligned()).face
    assert face.max() == 1.0 and face.min() >= 0


def test_numbers_that_are_none_are_an_error(tmp_path):
    """A NaN face must not become a silently wrong frame."""
    model = SwapModel.open(write(tmp_path / "a.dfm", scale=float("nan")))
    with pytest.raises(ModelError, match="NaN"):
        model.predict(aligned())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"inputs": (("image", TensorProto.FLOAT, FACE[2]),)}, ["in_face:0", "image"]),
        ({"inputs": (MORPH[:1] + FACE[1:], FACE)}, ["in_face:0", "morph_value:0"]),
        ({"inputs": (FACE, ("gain:0", *MORPH[1:]))}, ["gain:0", "morph_value:0"]),
        ({"inputs": (FACE, MORPH, ("third", *MORPH[1:]))}, ["3 inputs", "third", "at most 2"]),
        ({"inputs": (("in_face:0", TensorProto.FLOAT16, FACE[2]),)}, ["float16", "float32"]),
        ({"inputs": (("in_face:0", TensorProto.FLOAT, ["N", "H", "W", 3]),)}, ["no fixed number"]),
        ({"inputs": (("in_face:0", TensorProto.FLOAT, ["N", 8, 6, 3]),)}, ["6x8", "square"]),
        (
            {
                "inputs": (("in_face:0", TensorProto.FLOAT, ["N", 3, 8, 8]),),
                "outputs": [(name, None) for name, _ in OUTPUTS],
            },
            ["['N', 3, 8, 8]", "[batch, R, R, 3]"],
        ),
        ({"inputs": (("in_face:0", TensorProto.FLOAT, [4, SIDE, SIDE, 3]),)}, ["4 faces"]),
        ({"outputs": OUTPUTS[:2]}, ["2 outputs", "3 are wanted"]),
        ({"outputs": [*OUTPUTS, ("extra", MASK)]}, ["4 outputs", "extra"]),
        ({"outputs": [OUTPUTS[1], OUTPUTS[0], OUTPUTS[2]]}, ["out_celeb_face:0", "order"]),
    ],
)
def test_an_onnx_file_that_is_no_dfm_is_refused_by_what_is_wrong(options, words, tmp_path):
    """The message names the file, the fault and the next step."""
    path = write(tmp_path / "other.dfm", **options)
    with pytest.raises(NotAModel) as caught:
        SwapModel.open(path)
    for word in ["other.dfm", "facegraft export", *words]:
        assert word in str(caught.value)


def test_outputs_of_unknown_shape_are_checked_when_they_come(tmp_path):
    """Sizes that hang on the data are known to nobody before the first prediction."""
    path = write(tmp_path / "a.dfm", outputs=[(n, None) for n in ("a", "b", "c")])
    model = onnx.load(str(path))
    graph = model.graph
    graph.initializer.extend(
        numpy_helper.from_array(np.array([v]), k) for k, v in (("start", 0), ("rows", 1))
    )
    graph.node.extend(
        [
            helper.make_node("ReduceMax", ["x"], ["top"], keepdims=0),
            helper.make_node("Cast", ["top"], ["whole"], to=TensorProto.INT64),  # 0 below 1.0
            helper.make_node("Reshape", ["whole", "rows"], ["end"]),
            helper.make_node("Slice", ["morphed", "start", "end", "rows"], ["cut"]),
        ]
    )
    next(n for n in graph.node if "b" in n.output).input[0] = "cut"
    nodes = [n for n in graph.node if "b" not in n.output]
    nodes += [n for n in graph.node if "b" in n.output]
    del graph.node[:]
    graph.node.extend(nodes)
    onnx.save(model, str(path))
    opened = SwapModel.open(path)
    with pytest.raises(NotAModel, match=r"answers with shapes .*\(1, 0, 8, 3\)"):
        opened.predict(aligned())


def test_files_that_are_no_onnx_are_refused(tmp_path):
    """Missing, a folder, empty, text, and a model cut short."""
    whole = write(tmp_path / "whole.dfm").read_bytes()
    contents = {
        "empty": b"",
        "text": b"not a model at all\n" * 40,
        "short": whole[: -len(whole) // 3],
    }
    expected = {"empty": "is not an ONNX file", "text": "is not an ONNX file", "short": "cut short"}
    for name, data in contents.items():
        path = tmp_path / f"{name}.dfm"
        path.write_bytes(data)
        with pytest.raises(NotAModel, match=expected[name]):
            SwapModel.open(path)
    with pytest.raises(NotAModel, match="cannot read .*missing.dfm"):
        SwapModel.open(tmp_path / "missing.dfm")
    with pytest.raises(NotAModel, match="cannot read"):
        SwapModel.open(tmp_path)


def test_our_metadata_is_read(tmp_path):
    """Spec and record in the file's metadata."""
    metadata = {METADATA_KEY: SPEC.to_json(), RECORD_KEY: json.dumps({"author": "A", "new": 1})}
    model = SwapModel.open(write(tmp_path / "a.dfm", metadata=metadata))
    assert SPEC == model.spec
    assert model.record is not None and model.record.author == "A"


def test_a_spec_of_a_newer_version_is_refused(tmp_path):
    """Its meaning is unknown, so guessing would frame the face wrongly."""
    newer = json.dumps({**json.loads(SPEC.to_json()), "version": 99})
    path = write(tmp_path / "a.dfm", metadata={METADATA_KEY: newer})
    with pytest.raises(FutureVersion, match="99.*update FaceGraft"):
        SwapModel.open(path)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "5", "{}", replace(SPEC, resolution=64).to_json(), '{"version": "x"}']
)
def test_malformed_metadata_is_ignored_with_a_line_in_the_log(text, tmp_path, caplog):
    """The graph itself says all that is needed to run it."""
    path = write(tmp_path / "a.dfm", metadata={METADATA_KEY: text, RECORD_KEY: "5"})
    with caplog.at_level(logging.WARNING):
        model = SwapModel.open(path)
    assert model.spec is None and model.record is None
    assert ["spec is ignored" in r.message for r in caplog.records] == [True, False]
    assert "record is ignored" in caplog.records[1].message
    check(model, aligned())


def test_wrong_calls_are_refused(tmp_path):
    """Shape, morph value and provider, each by name."""
    path = write(tmp_path / "a.dfm")
    model = SwapModel.open(path, threads=1)
    with pytest.raises(ParameterError, match=r"\(4, 8, 3\).*\(8, 8, 3\)"):
        model.predict(np.zeros((4, 8, 3), np.float32))
    with pytest.raises(ParameterError, match="morph_value is 2.*0 to 1"):
        model.predict(aligned(), morph_value=2)
    with pytest.raises(ParameterError, match="'Abacus'.*CPUExecutionProvider"):
        SwapModel.open(path, providers=["Abacus"])


def test_inference_needs_neither_torch_nor_onnx(tmp_path):
    """Hosts install the runtime only."""
    path = write(tmp_path / "a.dfm")
    code = (
        "import sys\n"
        "sys.modules.update(torch=None, onnx=None)\n"
        "from facegraft.inference import SwapModel\n"
        f"print(SwapModel.open({str(path)!r}))\n"
    )
    done = run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (0, f"SwapModel(a.dfm, foreign, {SIDE} px)\n") == (done.returncode, done.stdout)


def test_the_foreign_files_of_this_test_run_by_themselves(tmp_path):
    """The reference: onnxruntime alone gives the closed form in BGR, so `check` proves the RGB."""
    session = onnxruntime.InferenceSession(str(write(tmp_path / "a.dfm")))
    bgr = aligned()[None]
    dst_mask, face, mask = session.run(None, {"in_face:0": bgr})
    np.testing.assert_allclose(np.asarray(face), bgr * GAIN, rtol=1e-6)
    np.testing.assert_array_equal(np.asarray(dst_mask)[..., 0], bgr[..., 0])
    np.testing.assert_array_equal(np.asarray(mask)[..., 0], bgr[..., 2])
