"""Real .dfm files of a few kilobytes whose answer is known in closed form, built with onnx.helper.

The face is `gain * input + offset` per RGB channel; both masks are given pictures or constants.
"""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from facegraft.model_spec import METADATA_KEY, ModelSpec

OUTPUTS = ("out_face_mask:0", "out_celeb_face:0", "out_celeb_face_mask:0")


def write_dfm(
    path: Path,
    resolution: int = 64,
    gain: tuple[float, float, float] = (1, 1, 1),
    offset: tuple[float, float, float] = (0, 0, 0),
    mask: np.ndarray | float = 1.0,
    dst_mask: np.ndarray | float = 1.0,
    spec: ModelSpec | None = None,
) -> Path:
    """Write the model and return its path. The identity with full masks by default."""
    side = resolution
    constants = {
        "gain": np.array(gain[::-1], np.float32),  # .dfm is BGR
        "offset": np.array(offset[::-1], np.float32),
        "zero": np.zeros((1,), np.float32),
        "mask": np.broadcast_to(np.float32(mask), (side, side))[None, :, :, None],
        "dst_mask": np.broadcast_to(np.float32(dst_mask), (side, side))[None, :, :, None],
    }
    nodes = [
        helper.make_node("Mul", ["in_face:0", "gain"], ["scaled"]),
        helper.make_node("Add", ["scaled", "offset"], [OUTPUTS[1]]),
        # an all-zero plane that has the input's batch size
        helper.make_node("ReduceMean", ["in_face:0"], ["mean"], axes=[3], keepdims=1),
        helper.make_node("Mul", ["mean", "zero"], ["plane"]),
        helper.make_node("Add", ["plane", "dst_mask"], [OUTPUTS[0]]),
        helper.make_node("Add", ["plane", "mask"], [OUTPUTS[2]]),
    ]
    shapes = {OUTPUTS[0]: 1, OUTPUTS[1]: 3, OUTPUTS[2]: 1}
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("in_face:0", TensorProto.FLOAT, ["N", side, side, 3])],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", side, side, channels])
            for name, channels in shapes.items()
        ],
        [numpy_helper.from_array(np.ascontiguousarray(v), k) for k, v in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 12)])
    model.ir_version = 7  # what opset 12 came with
    if spec is not None:
        helper.set_model_props(model, {METADATA_KEY: spec.to_json()})
    onnx.save(model, str(path))
    return path
