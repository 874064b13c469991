"""MediaPipe's three custom operators of the attention mesh, written with plain ONNX nodes.

The network finds a rough mesh, cuts a small upright map around lips and eyes out of its own
features, refines the points there and puts them back. The matrices are affine; where MediaPipe
carries 4 x 4 we keep the (N, 2, 3) that is in use: columns x, y and translation.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from facegraft.weights.onnx_graph import OnnxGraph

MESH_VERTICES = 468
IRIS_POINTS = 5


def transform_matrix(out: OnnxGraph, points: str, options: Mapping[str, Any]) -> str:
    """Landmarks2TransformMatrix: points (N, P, 3) to a matrix (N, 2, 3).

    With u the unit vector from the left to the right point: the box around the subset is taken in
    axes turned so that u is horizontal; the matrix maps the output map's pixels onto that box,
    enlarged by the scale, back in the points' space:
    translate(centre) rotate(u) scale(s * size / output) translate(-output / 2).
    """
    size = np.array([options["output_width"], options["output_height"]], np.float32)
    scale = np.array([options["scale_x"], options["scale_y"]], np.float32)
    flat = out.add(
        "Slice", [points, out.indices([0]), out.indices([2]), out.indices([2])]
    )  # x and y
    ends = [options["left_rotation_idx"], options["right_rotation_idx"]]
    left = out.add("Gather", [flat, out.indices([ends[0]])], axis=1)  # (N, 1, 2)
    right = out.add("Gather", [flat, out.indices([ends[1]])], axis=1)
    along = out.add("Sub", [right, left])
    length = out.add("ReduceL2", [along], axes=[2], keepdims=1)
    u = out.add("Div", [along, length])  # (N, 1, 2): the new x axis
    # the new y axis is (-uy, ux)
    swapped = out.add("Gather", [u, out.indices([1, 0])], axis=2)
    v = out.add("Mul", [swapped, out.floats([-1, 1])])
    axes = out.add("Concat", [u, v], axis=1)  # (N, 2, 2), rows are the new axes
    columns = out.add("Transpose", [axes], perm=(0, 2, 1))
    subset = out.add("Gather", [flat, out.indices(options["subset_idxs"])], axis=1)
    turned = out.add("MatMul", [subset, columns])  # (N, S, 2) in the new axes
    low = out.add("ReduceMin", [turned], axes=[1], keepdims=1)
    high = out.add("ReduceMax", [turned], axes=[1], keepdims=1)
    extent = out.add("Sub", [high, low])  # (N, 1, 2)
    middle = out.add("Mul", [out.add("Add", [low, high]), out.floats(0.5)])
    center = out.add("MatMul", [middle, axes])  # back in the points' axes, (N, 1, 2)
    factors = out.add("Mul", [extent, out.floats(scale / size)])
    linear = out.add("Mul", [columns, factors])  # column j of the rotation times factor j
    half = out.add("MatMul", [linear, out.floats(size[:, None] / 2)])  # (N, 2, 1)
    origin = out.add("Sub", [out.add("Transpose", [center], perm=(0, 2, 1)), half])
    return out.add("Concat", [linear, origin], axis=2)


def sample_tensor(
    out: OnnxGraph,
    tensor: str,
    matrix: str,
    source_size: tuple[int, int],
    options: Mapping[str, Any],
) -> str:
    """TransformTensorBilinear: the (N, C, H, W) map seen through a matrix, (N, C, h, w).

    Output pixel (x, y) reads the map at matrix * (x + 1/2, y + 1/2) - 1/2, bilinearly; a position
    outside the pixel centres gives 0 altogether.
    """
    height, width = options["output_height"], options["output_width"]
    last = np.array([source_size[1] - 1, source_size[0] - 1], np.float32)
    x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    grid = np.stack([x.ravel(), y.ravel(), np.ones(width * height)])
    place = out.add("MatMul", [matrix, out.floats(grid)])  # (N, 2, h * w)
    place = out.add("Sub", [out.add("Transpose", [place], perm=(0, 2, 1)), out.floats(0.5)])
    place = out.reshape(place, (0, height, width, 2))
    normal = out.add(
        "Sub", [out.add("Mul", [place, out.floats(2 / last)]), out.floats(1.0)]
    )  # -1..1 between the outer pixel centres
    sampled = out.add(
        "GridSample", [tensor, normal], mode="bilinear", padding_mode="border", align_corners=1
    )
    inside = out.add(
        "And",
        [
            out.add("GreaterOrEqual", [place, out.floats(0.0)]),
            out.add("LessOrEqual", [place, out.floats(last)]),
        ],
    )
    both = out.add(
        "ReduceMin", [out.add("Cast", [inside], to=1)], axes=[3], keepdims=0
    )  # 1 is FLOAT
    return out.add("Mul", [sampled, out.add("Unsqueeze", [both, out.indices([1])])])


def transform_landmarks(out: OnnxGraph, points: str, matrix: str) -> str:
    """TransformLandmarks: (N, P, 2) points of the small map into the space the matrix leads to."""
    columns = out.add("Transpose", [matrix], perm=(0, 2, 1))  # (N, 3, 2)
    linear = out.add("Slice", [columns, out.indices([0]), out.indices([2]), out.indices([1])])
    origin = out.add("Slice", [columns, out.indices([2]), out.indices([3]), out.indices([1])])
    return out.add("Add", [out.add("MatMul", [points, linear]), origin])


def refined_points(out: OnnxGraph, mesh: str, refined: Sequence[tuple[str, list[int]]]) -> str:
    """The mesh's (N, 1404, ..) as (N, 478, 2), refined points in the place of the rough ones.

    `refined`: values (N, P, 2) with the vertices they replace; an empty list is an iris, which
    is appended behind the 468 in the order given.
    """
    rough = out.reshape(mesh, (0, MESH_VERTICES, 3))
    flat = out.add("Slice", [rough, out.indices([0]), out.indices([2]), out.indices([2])])
    source = list(range(MESH_VERTICES))  # where each of the 478 points is found in the whole list
    count = MESH_VERTICES
    for _, vertices in refined:
        for k, vertex in enumerate(vertices):
            source[vertex] = count + k
        if not vertices:
            source.extend(range(count, count + IRIS_POINTS))
        count += len(vertices) or IRIS_POINTS
    everything = out.add("Concat", [flat, *(name for name, _ in refined)], axis=1)
    return out.add("Gather", [everything, out.indices(source)], axis=1)
