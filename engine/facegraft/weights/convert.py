"""Turns MediaPipe's face networks (TensorFlow Lite) into ONNX files that any runtime takes.

`convert_detector` and `convert_mesh` read a .tflite and give an onnx.ModelProto. Four-dimensional
NHWC values become NCHW and the batch becomes free; the detector's height and width too, since it
is fully convolutional. PReLU is written as a*x + (1-a)*relu(x) with two depthwise convolutions,
which onnxruntime keeps in its fast blocked layout (its own PReLU is three times slower).
The three custom operators of the mesh are in `custom_ops.py`.
"""

from pathlib import Path

import numpy as np
import onnx

from facegraft.errors import BadWeights
from facegraft.weights import custom_ops
from facegraft.weights.onnx_graph import OnnxGraph
from facegraft.weights.tflite import BOOL, INT8, Graph, Operator, read_graph

_SAME = 0  # enum Padding: SAME, else VALID
_RELU = 1  # enum ActivationFunctionType: NONE 0, RELU 1; the networks use no other
MESH_POINTS = 478  # 468 of the mesh, 5 of each iris


def convert_detector(path: Path) -> onnx.ModelProto:
    """BlazeFace full range: image (N, 3, H, W) -1..1, H and W multiples of 32, to
    boxes (N, H/4 * W/4, 16) in input pixels from the cell's centre and scores (.., 1) logits.
    """
    converter = Converter(read_graph(path), path, free_size=True)
    converter.run()
    by_width = {converter.graph.tensors[i].shape[-1]: i for i in converter.graph.outputs}
    outputs = {
        "boxes": (converter.names[by_width[16]], ("N", "cells", 16)),
        "scores": (converter.names[by_width[1]], ("N", "cells", 1)),
    }
    return converter.out.model("face_det_full", ("N", 3, "H", "W"), outputs)


def convert_mesh(path: Path) -> onnx.ModelProto:
    """Face mesh with attention: image (N, 3, 192, 192) 0..1 to points (N, 478, 2) in input pixels
    with lips, eyes and irises in their refined place, and flag (N, 1), the probability 0..1 that
    the crop shows a face.
    """
    converter = Converter(read_graph(path), path, free_size=False)
    converter.run()
    out, graph = converter.out, converter.graph
    width = {i: graph.tensors[i].shape[-1] for i in graph.outputs}
    mesh = next(i for i in graph.outputs if width[i] == 3 * custom_ops.MESH_VERTICES)
    flag = next(i for i in graph.outputs if width[i] == 1)
    points = custom_ops.refined_points(out, converter.names[mesh], converter.refined)
    presence = out.add("Sigmoid", [out.reshape(converter.names[flag], (0, 1))])
    outputs = {
        "points": (points, ("N", MESH_POINTS, 2)),
        "flag": (presence, ("N", 1)),
    }
    return out.model("face_mesh_attn", ("N", 3, 192, 192), outputs)


class Converter:
    """Walks the operators in order; `names` maps a tensor's number to its ONNX value."""

    def __init__(self, graph: Graph, path: Path, free_size: bool) -> None:
        self.graph = graph
        self.path = path
        self.free_size = free_size
        self.out = OnnxGraph()
        self.names: dict[int, str] = {graph.inputs[0]: "image"}
        self.constants = {t.index: t.data for t in graph.tensors if t.data is not None}
        self.subsets: dict[int, list[int]] = {}  # transform's tensor to its vertices
        self.refined: list[tuple[str, list[int]]] = []  # points (N, P, 2) and their vertices

    def run(self) -> None:
        steps = {
            "CONV_2D": self.convolution,
            "DEPTHWISE_CONV_2D": self.convolution,
            "MAX_POOL_2D": self.max_pool,
            "PRELU": self.prelu,
            "ADD": self.add,
            "MUL": self.multiply,
            "PAD": self.pad,
            "RESIZE_BILINEAR": self.resize,
            "DEPTH_TO_SPACE": self.depth_to_space,
            "RESHAPE": self.reshape,
            "STRIDED_SLICE": self.whole_slice,
            "Landmarks2TransformMatrix": self.transform_matrix,
            "TransformTensorBilinear": self.sample_tensor,
            "TransformLandmarks": self.transform_landmarks,
        }
        for step in self.graph.operators:
            if step.name in ("DEQUANTIZE", "DENSIFY"):
                self.constants[step.outputs[0]] = self.constant(step.inputs[0])
            elif step.name in steps:
                self.names[step.outputs[0]] = steps[step.name](step)
            else:
                raise BadWeights(f"{self.path} uses {step.name}, which the converter cannot write")

    def constant(self, tensor: int) -> np.ndarray:
        """A constant's values; float16 ones, stored so to halve the file, as float32."""
        values = self.constants[tensor]
        return values.astype(np.float32) if values.dtype == np.float16 else values

    def shape(self, tensor: int) -> tuple[int, ...]:
        return self.graph.tensors[tensor].shape

    def activate(self, name: str, activation: int) -> str:
        if activation not in (0, _RELU):
            raise BadWeights(f"{self.path} uses fused activation {activation}; only ReLU is known")
        return self.out.add("Relu", [name]) if activation == _RELU else name

    def convolution(self, step: Operator) -> str:
        depthwise = step.name == "DEPTHWISE_CONV_2D"
        source, kernel, bias = step.inputs
        weights = self.constant(kernel)  # (out, kh, kw, in), depthwise (1, kh, kw, out)
        weights = weights.transpose((3, 0, 1, 2) if depthwise else (0, 3, 1, 2))
        strides = (step.option(2), step.option(1))  # the file lists width first
        name = self.out.add(
            "Conv",
            [
                self.names[source],
                self.out.constant(weights),
                self.out.constant(self.constant(bias)),
            ],
            kernel_shape=weights.shape[2:],
            strides=strides,
            pads=self.same_pads(step, weights.shape[2:], strides),
            group=len(weights) if depthwise else 1,
        )
        return self.activate(name, step.option(4 if depthwise else 3, INT8))

    def same_pads(
        self, step: Operator, kernel: tuple[int, ...], strides: tuple[int, int]
    ) -> list[int]:
        """SAME pads so that the size is ceil(size / stride); an odd rest goes bottom and right."""
        if step.option(0, INT8) != _SAME:
            return [0, 0, 0, 0]
        if self.free_size and strides != (1, 1):
            raise BadWeights(f"{self.path}: SAME padding at a stride needs a fixed input size")
        begin, end = [], []
        for size, length, stride in zip(
            self.shape(step.inputs[0])[1:3], kernel, strides, strict=True
        ):
            total = max(0, (-(-size // stride) - 1) * stride + length - size)
            begin.append(total // 2)
            end.append(total - total // 2)
        return begin + end

    def max_pool(self, step: Operator) -> str:
        if step.option(0, INT8) == _SAME:
            raise BadWeights(f"{self.path}: max pooling with SAME padding is not supported")
        kernel, strides = (step.option(4), step.option(3)), (step.option(2), step.option(1))
        return self.out.add(
            "MaxPool", [self.names[step.inputs[0]]], kernel_shape=kernel, strides=strides
        )

    def prelu(self, step: Operator) -> str:
        slope = self.constant(step.inputs[1]).reshape(-1, 1, 1, 1)
        source = self.names[step.inputs[0]]
        both = self.out.depthwise(source, slope)
        positive = self.out.depthwise(self.out.add("Relu", [source]), 1 - slope)
        return self.out.add("Add", [both, positive])

    def add(self, step: Operator) -> str:
        name = self.out.add("Add", [self.names[i] for i in step.inputs])
        return self.activate(name, step.option(0, INT8))

    def multiply(self, step: Operator) -> str:
        factor = self.constant(step.inputs[1])
        if step.inputs[0] in self.subsets:  # a 4 x 4 matrix, of which we keep the 2 x 3 in use
            self.subsets[step.outputs[0]] = self.subsets[step.inputs[0]]
            factor = factor[:, :2, [0, 1, 3]]
        return self.out.add("Mul", [self.names[step.inputs[0]], self.out.constant(factor)])

    def pad(self, step: Operator) -> str:
        before_after = self.constant(step.inputs[1])[[0, 3, 1, 2]]  # NHWC to NCHW
        pads = self.out.constant(before_after.T.ravel().astype(np.int64))
        return self.out.add("Pad", [self.names[step.inputs[0]], pads])

    def resize(self, step: Operator) -> str:
        if step.option(2, BOOL) or not step.option(3, BOOL):
            raise BadWeights(f"{self.path}: resizing is known with half-pixel centres only")
        size = np.array(self.shape(step.inputs[0])[1:3])
        factor = self.constant(step.inputs[1]) / size
        scales = self.out.constant(np.array([1, 1, *factor], np.float32))
        return self.out.add(
            "Resize", [self.names[step.inputs[0]], "", scales],
            mode="linear", coordinate_transformation_mode="half_pixel",
        )  # fmt: skip

    def depth_to_space(self, step: Operator) -> str:
        return self.out.add(
            "DepthToSpace", [self.names[step.inputs[0]]], blocksize=step.option(0), mode="DCR"
        )

    def reshape(self, step: Operator) -> str:
        source, target = step.inputs[0], self.shape(step.outputs[0])
        name = self.names[source]
        if len(self.shape(source)) == 4:
            name = self.out.add("Transpose", [name], perm=(0, 2, 3, 1))
        if len(target) == 4:  # a flat vector spelled (1, 1, 1, n): its NCHW form is (N, n, 1, 1)
            return self.out.reshape(name, (0, target[3], 1, 1))
        return self.out.reshape(name, (0, -1, target[2]))

    def whole_slice(self, step: Operator) -> str:
        if self.shape(step.inputs[0]) != self.shape(step.outputs[0]):
            raise BadWeights(f"{self.path}: a slice that takes a part is not supported")
        return self.names[step.inputs[0]]

    def transform_matrix(self, step: Operator) -> str:
        self.subsets[step.outputs[0]] = step.custom["subset_idxs"]
        return custom_ops.transform_matrix(self.out, self.names[step.inputs[0]], step.custom)

    def sample_tensor(self, step: Operator) -> str:
        tensor, matrix = step.inputs
        _, height, width, _ = self.shape(tensor)
        return custom_ops.sample_tensor(
            self.out, self.names[tensor], self.names[matrix], (height, width), step.custom
        )

    def transform_landmarks(self, step: Operator) -> str:
        points, matrix = step.inputs
        name = custom_ops.transform_landmarks(self.out, self.names[points], self.names[matrix])
        subset, count = self.subsets[matrix], self.shape(points)[1]
        self.refined.append((name, subset if len(subset) == count else []))  # [] : an iris
        return name
