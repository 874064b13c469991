"""A small builder of ONNX graphs: add nodes, get names back, end with a checked model."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 17  # GridSample came with 16; 17 is read by every runtime since onnxruntime 1.12
IR_VERSION = 8  # goes with opset 17


class OnnxGraph:
    """Nodes and constants so far; values are known by generated names."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, values: np.ndarray) -> str:
        """A constant of the array's own type."""
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def floats(self, values: Any) -> str:
        return self.constant(np.asarray(values, np.float32))

    def indices(self, values: Any) -> str:
        return self.constant(np.asarray(values, np.int64))

    def add(self, kind: str, inputs: Sequence[str], **attributes: Any) -> str:
        """A node with one output; gives the output's name."""
        name = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def reshape(self, name: str, shape: Sequence[int]) -> str:
        """0 keeps a dimension, -1 takes the rest."""
        return self.add("Reshape", [name, self.indices(shape)])

    def depthwise(self, name: str, weights: np.ndarray) -> str:
        """Channel c times weights[c], (C, 1, 1, 1), as a convolution."""
        return self.add(
            "Conv", [name, self.floats(weights)], kernel_shape=(1, 1), group=len(weights)
        )

    def model(
        self,
        name: str,
        image_shape: Sequence[int | str],
        outputs: Mapping[str, tuple[str, Sequence[int | str | None]]],
    ) -> onnx.ModelProto:
        """The finished model: input "image", `outputs` as public name to (value, shape)."""
        for public, (value, _) in outputs.items():
            self.nodes.append(helper.make_node("Identity", [value], [public]))
        graph = helper.make_graph(
            self.nodes,
            name,
            [helper.make_tensor_value_info("image", TensorProto.FLOAT, image_shape)],
            [
                helper.make_tensor_value_info(public, TensorProto.FLOAT, shape)
                for public, (_, shape) in outputs.items()
            ],
            self.constants,
        )
        model = helper.make_model(
            graph,
            producer_name="facegraft",
            ir_version=IR_VERSION,
            opset_imports=[helper.make_opsetid("", OPSET)],
        )
        onnx.checker.check_model(model)
        return model
