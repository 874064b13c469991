"""Real segmentation files of a few kilobytes whose answer is known in closed form.

Every output channel is a linear map of the three input channels, pixel by pixel: `fed @ weights +
bias`, where `fed` is in the network's own colours. A mask network may end in a sigmoid.
"""

import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from facegraft.segment import METADATA_KEY


def write_segmenter(
    path: Path,
    weights: np.ndarray,
    bias: np.ndarray,
    size: int = 32,
    nchw: bool = False,
    sigmoid: bool = False,
    batch: int | str = "N",
    channel_axis: bool = True,
    said: dict | None = None,
) -> Path:
    """Write the file and return its path.

    weights (3, C), bias (C,). `channel_axis` False drops that axis from the answer; `said` is what
    the file says of itself in its metadata.
    """
    channels = weights.shape[1]
    # channels go last for the product, and back for NCHW
    nodes = (
        [helper.make_node("Transpose", ["picture"], ["last"], perm=[0, 2, 3, 1])] if nchw else []
    )
    nodes += [
        helper.make_node("MatMul", ["last" if nchw else "picture", "weights"], ["product"]),
        helper.make_node("Add", ["product", "bias"], ["sum"]),
        helper.make_node("Sigmoid" if sigmoid else "Identity", ["sum"], ["answer"]),
    ]
    if nchw:
        nodes.append(helper.make_node("Transpose", ["answer"], ["laid"], perm=[0, 3, 1, 2]))
    laid = "laid" if nchw else "answer"
    shape = [batch, channels, size, size] if nchw else [batch, size, size, channels]
    if not channel_axis:
        axes = "axes"
        nodes.append(helper.make_node("Squeeze", [laid, axes], ["flat"]))
        laid, shape = "flat", [batch, size, size]
    constants = {
        "weights": weights.astype(np.float32),
        "bias": bias.astype(np.float32),
        "axes": np.array([1 if nchw else 3], np.int64),
    }
    if channel_axis:
        del constants["axes"]
    picture = [batch, 3, size, size] if nchw else [batch, size, size, 3]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("picture", TensorProto.FLOAT, picture)],
        [helper.make_tensor_value_info(laid, TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    if said is not None:
        helper.set_model_props(model, {METADATA_KEY: json.dumps(said)})
    onnx.save(model, str(path))
    return path


def write_red_segmenter(path: Path, **options) -> Path:
    """XSeg's way: BGR in, the red channel out. What is red is face."""
    return write_segmenter(path, np.array([[0], [0], [1]]), np.zeros(1), **options)
