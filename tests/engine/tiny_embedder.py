"""A real, tiny face recognition network: the mean of each channel over the square."""

from pathlib import Path

import onnx
from onnx import TensorProto, helper

from facegraft.embedding import SIDE


def write_embedder(path: Path, shape=("N", 3, SIDE, SIDE)) -> Path:
    nodes = [
        helper.make_node("GlobalAveragePool", ["face"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["vector"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "embedder",
        [helper.make_tensor_value_info("face", TensorProto.FLOAT, list(shape))],
        [helper.make_tensor_value_info("vector", TensorProto.FLOAT, [shape[0], 3])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 12)])
    model.ir_version = 7
    onnx.save(model, str(path))
    return path
