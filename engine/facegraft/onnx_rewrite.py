"""Graphs that compute the same, in a form that 8-bit kernels are quick with.

onnxruntime's 8-bit convolutions keep the channels last. Depth-to-space has no such form, so each
costs two transposes of the picture more; and a convolution to 3 channels takes as long as one to
16. Both rewrites are exact but for the order of sums. onnx is at hand beside training only; hosts
never come here.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper


def rewrite_for_8_bit(model: ModelProto) -> None:
    """Change `model` in place. It knows the shapes of all that flows, as onnx infers them."""
    _join_heads(model)
    _keep_channels_last(model)


def scalar_adds(model: ModelProto) -> list[str]:
    """Names of the nodes that add one number to everything, such as a division's epsilon: in 8 bits
    it vanishes, and what it is added to loses its small values."""
    single = {c.name for c in model.graph.initializer if int(np.prod(c.dims)) == 1}
    return [n.name for n in model.graph.node if n.op_type == "Add" and single & set(n.input)]


def _join_heads(model: ModelProto) -> None:
    """One convolution in place of several that read the same picture and are then concatenated."""
    graph = model.graph
    constants = {c.name: c for c in graph.initializer}
    makers = {name: node for node in graph.node for name in node.output}
    readers = Counter(name for node in graph.node for name in node.input)
    joined: dict[str, NodeProto] = {}  # by the name of what the concatenation gives
    gone: set[str] = set()
    for concat in graph.node:
        if concat.op_type != "Concat" or _options(concat)["axis"] != 1 or len(concat.input) < 2:
            continue
        heads = [makers.get(name) for name in concat.input]
        fit = [n for n in heads if n is not None and _keeps_size(n, constants)]
        alone = all(readers[name] == 1 for name in concat.input)
        if not alone or len(fit) < len(heads) or len({n.input[0] for n in fit}) > 1:
            continue
        joined[concat.output[0]] = _joined(fit, concat, model)
        gone |= set(concat.input)
    nodes = [joined.get(n.output[0], n) for n in graph.node if n.output[0] not in gone]
    _set_nodes(model, nodes)


def _keeps_size(node: NodeProto, constants: Mapping[str, TensorProto]) -> bool:
    """A convolution of a fixed odd kernel, padded so that the picture keeps its size."""
    if node.op_type != "Conv" or any(name not in constants for name in node.input[1:]):
        return False
    given, (height, width) = _options(node), constants[node.input[1]].dims[2:4]
    ones = [*given.get("strides", ()), *given.get("dilations", ()), given.get("group", 1)]
    if height != width or height % 2 == 0 or any(number != 1 for number in ones):
        return False
    if given.get("auto_pad", b"NOTSET") in (b"SAME_UPPER", b"SAME_LOWER"):
        return True
    return list(given.get("pads", [0] * 4)) == [height // 2] * 4


def _joined(heads: Sequence[NodeProto], concat: NodeProto, model: ModelProto) -> NodeProto:
    """All of `heads` in one; small kernels lie in the middle of zeros."""
    arrays = {c.name: numpy_helper.to_array(c) for c in model.graph.initializer}
    weights = [arrays[n.input[1]] for n in heads]  # each (out, in, side, side)
    biases = [
        arrays[n.input[2]] if len(n.input) > 2 else np.zeros(len(w), w.dtype)
        for n, w in zip(heads, weights, strict=True)
    ]
    side = max(w.shape[2] for w in weights)
    margins = [(side - w.shape[2]) // 2 for w in weights]
    padded = [
        np.pad(w, [(0, 0), (0, 0), (m, m), (m, m)]) for w, m in zip(weights, margins, strict=True)
    ]
    name = concat.output[0]
    inputs = [heads[0].input[0]]
    for part, values in (("weight", padded), ("bias", biases)):
        inputs.append(f"{name}/{part}")
        tensor = numpy_helper.from_array(np.concatenate(values), inputs[-1])
        model.graph.initializer.append(tensor)
    return helper.make_node(
        "Conv", inputs, [name], f"{name}/joined", kernel_shape=[side] * 2, pads=[side // 2] * 4
    )


def _keep_channels_last(model: ModelProto) -> None:
    """Depth-to-space by a transpose that moves whole rows of channels, between two more that cancel
    with those around the convolutions."""
    flowing = (*model.graph.input, *model.graph.value_info)
    sizes = {value.name: value.type.tensor_type.shape.dim for value in flowing}
    nodes: list[NodeProto] = []
    for node in model.graph.node:
        dims = [dim.dim_value for dim in sizes.get(node.input[0], ())] if node.input else []
        given: dict[str, Any] = {"mode": b"none"}
        if node.op_type == "DepthToSpace":
            given = _options(node)
        # unknown sizes, and the order that tears channels apart, stay as they are
        known = len(dims) == 4 and all(dims[1:]) and given.get("mode", b"DCR") == b"DCR"
        nodes += _spread(model, node, dims[1:], given["blocksize"]) if known else [node]
    _set_nodes(model, nodes)


def _spread(
    model: ModelProto, node: NodeProto, sizes: Sequence[int], block: int
) -> list[NodeProto]:
    """The nodes in place of one depth-to-space, whose input is (N, *sizes)."""
    channels, height, width = sizes
    depth, name = channels // block**2, node.output[0]
    apart = [0, height, width, block, block, depth]  # 0 keeps the batch
    whole = [0, height * block, width * block, depth]
    steps: list[tuple[str, list[int]]] = [
        ("Transpose", [0, 2, 3, 1]),
        ("Reshape", apart),
        ("Transpose", [0, 1, 3, 2, 4, 5]),
        ("Reshape", whole),
        ("Transpose", [0, 3, 1, 2]),
    ]
    nodes, flowing = [], node.input[0]
    for number, (kind, values) in enumerate(steps):
        out = name if number == len(steps) - 1 else f"{name}/{number}"
        if kind == "Reshape":
            shape = numpy_helper.from_array(np.array(values, np.int64), f"{out}/shape")
            model.graph.initializer.append(shape)
            made = helper.make_node(kind, [flowing, shape.name], [out], f"{out}/node")
        else:
            made = helper.make_node(kind, [flowing], [out], f"{out}/node", perm=values)
        nodes.append(made)
        flowing = out
    return nodes


def _set_nodes(model: ModelProto, nodes: Sequence[NodeProto]) -> None:
    """With the constants that they read, and no other."""
    graph = model.graph
    copies = [NodeProto.FromString(node.SerializeToString()) for node in nodes]
    read = {name for node in copies for name in node.input}
    kept = [c for c in graph.initializer if c.name in read]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(copies)
    graph.initializer.extend(kept)


def _options(node: NodeProto) -> dict[str, Any]:
    return {a.name: helper.get_attribute_value(a) for a in node.attribute}
