"""The converter against LiteRT, which runs the original files, and closed forms.

LiteRT cannot run the mesh's three custom operators, so the mesh is cut around them: LiteRT runs
every other operator of it, and the three are held to numpy.
"""

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from flatbuffers.table import Table

from facegraft import weights
from facegraft.errors import BadWeights
from facegraft.weights import custom_ops
from facegraft.weights.convert import Converter, convert_detector, convert_mesh
from facegraft.weights.onnx_graph import OnnxGraph
from facegraft.weights.tflite import Graph, read_graph
from tests.weights_fixture import needs_weights, portrait

ORIGINALS = weights.data_folder() / "originals"
DETECTOR = ORIGINALS / "face_detection_full_range_sparse.tflite"
MESH = ORIGINALS / "face_landmark_with_attention.tflite"
PARITY = 5e-6  # of the largest output: float32 sums in another order


def litert(content: bytes, image: np.ndarray) -> list[np.ndarray]:
    interpreter: Any = pytest.importorskip("ai_edge_litert.interpreter")
    runner: Any = interpreter.Interpreter(model_content=content, num_threads=1)
    runner.allocate_tensors()
    runner.set_tensor(runner.get_input_details()[0]["index"], image)
    runner.invoke()
    return [
        np.asarray(runner.get_tensor(output["index"])) for output in runner.get_output_details()
    ]


def run(model: Any, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    session: Any = onnxruntime.InferenceSession(model.SerializeToString())
    return session.run(None, dict(inputs))


def run_graph(out: OnnxGraph, output: str, image: np.ndarray, shape: Sequence[Any]) -> np.ndarray:
    return run(out.model("test", image.shape, {"result": (output, shape)}), {"image": image})[0]


def nchw(image: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(image.transpose(0, 3, 1, 2))


def assert_parity(found: np.ndarray, expected: np.ndarray) -> None:
    difference = np.abs(found - expected.reshape(found.shape)).max()
    assert difference <= PARITY * np.abs(expected).max()


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(7).standard_normal(shape).astype(np.float32)


@needs_weights
@pytest.mark.parametrize("content", ["noise", "portrait"])
def test_detector_computes_what_litert_computes(content: str) -> None:
    image = noise(1, 192, 192, 3)
    if content == "portrait":
        image = portrait()[None, 30:222, 120:312].astype(np.float32) / 127.5 - 1
    expected = {output.shape[-1]: output for output in litert(DETECTOR.read_bytes(), image)}
    boxes, scores = run(convert_detector(DETECTOR), {"image": nchw(image)})
    assert_parity(boxes, expected[16])
    assert_parity(scores, expected[1])


@needs_weights
def test_detector_takes_any_size_and_batch() -> None:
    model = convert_detector(DETECTOR)
    images = noise(2, 3, 64, 160)
    boxes, scores = run(model, {"image": images})
    assert boxes.shape == (2, 16 * 40, 16) and scores.shape == (2, 16 * 40, 1)
    for i in range(2):
        np.testing.assert_allclose(
            run(model, {"image": images[i : i + 1]})[0][0], boxes[i], 0, 1e-3
        )


@needs_weights
@pytest.mark.parametrize("part", ["trunk", "lips", "right eye", "left eye"])
def test_mesh_computes_what_litert_computes_around_the_custom_operators(part: str) -> None:
    graph = read_graph(MESH)
    source, outputs = parts_of_mesh(graph)[part]
    kept = operators_between(graph, source, outputs)
    height, width, channels = graph.tensors[source].shape[1:]
    image = noise(1, height, width, channels)
    if part == "trunk":
        image = portrait()[None, 50:242, 130:322].astype(np.float32) / 255
    expected = litert(cut(MESH.read_bytes(), kept, source, outputs), image)
    piece = Graph(graph.tensors, [graph.operators[i] for i in kept], (source,), tuple(outputs))
    converter = Converter(piece, MESH, free_size=False)
    converter.run()
    shapes = {f"o{i}": (converter.names[i], (None,) * 4) for i in outputs}
    found = run(
        converter.out.model("piece", (1, channels, height, width), shapes), {"image": nchw(image)}
    )
    assert len(kept) > 50
    for ours, theirs in zip(found, expected, strict=True):
        assert_parity(ours if theirs.size == ours.size and ours.shape[2] == 1 else
                      ours.transpose(0, 2, 3, 1), theirs)  # fmt: skip


@needs_weights
def test_the_parts_cover_every_built_in_operator_of_the_mesh() -> None:
    graph = read_graph(MESH)
    covered = set()
    for source, outputs in parts_of_mesh(graph).values():
        covered |= set(operators_between(graph, source, outputs))
    left = {op.name for i, op in enumerate(graph.operators) if i not in covered}
    # what stands between or behind the custom operators: changes of shape and constant factors
    assert left == {
        "Landmarks2TransformMatrix", "TransformTensorBilinear", "TransformLandmarks",
        "RESHAPE", "MUL", "STRIDED_SLICE", "DEQUANTIZE",
    }  # fmt: skip


def parts_of_mesh(graph: Graph) -> dict[str, tuple[int, list[int]]]:
    """Name to input tensor and output tensors: before the custom operators, and each branch."""
    sampled = [op for op in graph.operators if op.name == "TransformTensorBilinear"]
    made = {output: op for op in graph.operators for output in op.outputs}
    vectors = [i for i in graph.outputs if graph.tensors[i].shape == (1, 1, 1, 1)]  # the flag
    mesh = next(i for i in graph.outputs if graph.tensors[i].shape[-1] == 1404)
    parts = {
        "trunk": (graph.inputs[0], [made[mesh].inputs[0], sampled[0].inputs[0], vectors[0]]),
        "lips": (sampled[0].outputs[0], []),
        "right eye": (sampled[1].outputs[0], []),
        "left eye": (sampled[2].outputs[0], []),
    }
    for op in graph.operators:
        if op.name == "TransformLandmarks":
            vector = made[op.inputs[0]].inputs[0]
            for name in ("lips", "right eye", "left eye"):
                if operators_between(graph, parts[name][0], [vector], reach=True):
                    parts[name][1].append(vector)
    return parts


def operators_between(
    graph: Graph, source: int, outputs: Sequence[int], reach: bool = False
) -> list[int]:
    """Numbers of the operators that lead from `source` to `outputs`, constants included; with
    `reach`, nothing if `source` is not on the way.
    """
    made = {output: i for i, op in enumerate(graph.operators) for output in op.outputs}
    kept: set[int] = set()
    wanted, reached = list(outputs), False
    while wanted:
        tensor = wanted.pop()
        reached |= tensor == source
        if tensor == source or tensor not in made or made[tensor] in kept:
            continue
        kept.add(made[tensor])
        wanted.extend(graph.operators[made[tensor]].inputs)
    return sorted(kept) if reached or not reach else []


def cut(content: bytes, kept: Sequence[int], source: int, outputs: Sequence[int]) -> bytes:
    """The file with fewer operators, another input and other outputs, written in place: vectors
    get shorter, and operators are named by offsets from where they stand in theirs.
    """
    data = bytearray(content)
    root = Table(data, struct.unpack_from("<I", data)[0])
    start = root.Vector(root.Offset(8))  # field 2: subgraphs
    graph = Table(data, root.Indirect(start))
    for field, values in ((6, [source]), (8, list(outputs))):
        place = graph.Vector(graph.Offset(field))
        struct.pack_into(f"<I{len(values)}i", data, place - 4, len(values), *values)
    place = graph.Vector(graph.Offset(10))  # operators
    targets = [graph.Indirect(place + 4 * i) for i in kept]
    struct.pack_into("<I", data, place - 4, len(kept))
    for i, target in enumerate(targets):
        struct.pack_into("<I", data, place + 4 * i, target - (place + 4 * i))
    return bytes(data)


OPTIONS = {
    "left_rotation_idx": 1, "right_rotation_idx": 4, "subset_idxs": [0, 2, 3, 5, 6],
    "output_width": 16, "output_height": 16, "scale_x": 1.5, "scale_y": 1.5,
}  # fmt: skip


def expected_matrix(points: np.ndarray) -> np.ndarray:
    """translate(centre) rotate(u) scale(1.5 size / 16) translate(-8), by its definition."""
    u = points[4] - points[1]
    angle = np.arctan2(u[1], u[0])
    rotate = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    turned = points[OPTIONS["subset_idxs"]] @ rotate  # rows times rotate: the inverse rotation
    low, high = turned.min(axis=0), turned.max(axis=0)
    center = rotate @ ((low + high) / 2)
    linear = rotate @ np.diag(1.5 * (high - low) / 16)
    return np.column_stack([linear, center - linear @ [8, 8]])


def test_transform_matrix_frames_the_subset_upright() -> None:
    points = noise(2, 7, 3) * 10 + 20
    out = OnnxGraph()
    found = run_graph(out, custom_ops.transform_matrix(out, "image", OPTIONS), points, (2, 2, 3))
    expected = np.stack([expected_matrix(p[:, :2].astype(np.float64)) for p in points])
    np.testing.assert_allclose(found, expected, atol=2e-4)
    # the output map's centre is the centre of the subset's box
    middle = found[0] @ [8, 8, 1]
    assert np.all(np.abs(middle - points[0, :, :2].mean(axis=0)) < np.ptp(points[0, :, :2], axis=0))


def test_sample_tensor_is_bilinear_and_zero_outside() -> None:
    tensor = noise(1, 3, 10, 12)
    matrix = np.array([[[0.6, 0.2, 1.0], [-0.3, 0.7, 2.0]]], np.float32)
    out = OnnxGraph()
    options = {"output_width": 9, "output_height": 7}
    name = custom_ops.sample_tensor(out, "image", out.floats(matrix), (10, 12), options)
    found = run_graph(out, name, tensor, (1, 3, 7, 9))
    outside = 0
    for y in range(7):
        for x in range(9):
            px, py = matrix[0] @ [x + 0.5, y + 0.5, 1] - 0.5
            if not (0 <= px <= 11 and 0 <= py <= 9):
                outside += 1
                assert not found[0, :, y, x].any()
                continue
            ix, iy = min(int(px), 10), min(int(py), 8)
            fx, fy = px - ix, py - iy
            corners = tensor[0, :, iy : iy + 2, ix : ix + 2]
            expected = (corners * np.outer([1 - fy, fy], [1 - fx, fx])).sum(axis=(1, 2))
            np.testing.assert_allclose(found[0, :, y, x], expected, atol=1e-5)
    assert 0 < outside < 63


def test_transform_landmarks_applies_the_matrix() -> None:
    points, matrix = noise(2, 5, 2), noise(2, 2, 3)
    out = OnnxGraph()
    name = custom_ops.transform_landmarks(out, "image", out.floats(matrix))
    found = run_graph(out, name, points, (2, 5, 2))
    expected = np.einsum("nij,npj->npi", matrix[..., :2], points) + matrix[:, None, :, 2]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_refined_points_take_the_place_of_the_rough_ones() -> None:
    mesh = noise(1, 3 * custom_ops.MESH_VERTICES)
    lips, iris = noise(1, 2, 2) + 50, noise(1, 5, 2) + 90
    out = OnnxGraph()
    refined = [(out.floats(lips), [400, 7]), (out.floats(iris), [])]
    found = run_graph(out, custom_ops.refined_points(out, "image", refined), mesh, (1, 473, 2))
    expected = mesh.reshape(468, 3)[:, :2].copy()
    expected[[400, 7]] = lips[0]
    np.testing.assert_array_equal(found[0], np.concatenate([expected, iris[0]]))


@needs_weights
def test_mesh_of_two_crops_equals_two_meshes() -> None:
    model = convert_mesh(MESH)
    crop = portrait()[50:242, 130:322].astype(np.float32).transpose(2, 0, 1) / 255
    images = np.stack([crop, crop[:, ::-1, ::-1]])
    points, flags = run(model, {"image": images})
    assert points.shape == (2, 478, 2) and flags[0] > 0.99
    np.testing.assert_allclose(run(model, {"image": images[:1]})[0][0], points[0], atol=1e-3)


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "not.tflite"
    path.write_bytes(b"PK\x03\x04 something else")
    with pytest.raises(BadWeights, match="not a TensorFlow Lite file"):
        read_graph(path)
