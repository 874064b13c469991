"""Frames, faces and small real networks for tests of the merge."""

from pathlib import Path

import cv2
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from facegraft.enhance import Enhancer
from facegraft.faces.face import Face
from facegraft.faces.landmarks import MEAN_FACE
from facegraft.inference import SwapModel
from facegraft.segment import Segmenter
from tests.engine.tiny_dfm import write_dfm
from tests.engine.tiny_segmenter import write_red_segmenter


def make_face(x: float, y: float, size: float, angle: float = 0.1) -> Face:
    """A mean face whose brows-to-chin box is `size` px wide, with its centre at x, y."""
    points = np.zeros((68, 2))
    points[17:] = MEAN_FACE
    jaw = np.linspace(np.pi, 0, 17)
    points[:17] = np.stack([0.5 + 0.6 * np.cos(jaw), 0.3 + 0.75 * np.sin(jaw)], axis=-1)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    points = ((points - 0.5) * size) @ turn + (x, y)
    points = points.astype(np.float32)
    (x0, y0), (x1, y1) = points.min(axis=0), points.max(axis=0)
    return Face(points, (float(x0), float(y0), float(x1), float(y1)), 1.0)


def make_image(height: int = 240, width: int = 320, grain: float = 6.0) -> np.ndarray:
    """(H, W, 3) float32 soft noise in 0.2..0.8: nothing that resampling would lose."""
    noise = np.random.default_rng(3).normal(size=(height, width, 3)).astype(np.float32)
    noise = cv2.GaussianBlur(noise, (0, 0), grain)
    return (0.2 + 0.6 * (noise - noise.min()) / np.ptp(noise)).astype(np.float32)


def write_models(folder: Path) -> dict[str, SwapModel]:
    """Networks of known answer: the identity, a tint in an oval, and two flat colours."""
    oval = np.zeros((96, 96), np.float32)
    cv2.ellipse(oval, (48, 50), (26, 34), 0, 0, 360, (1.0,), -1)
    oval = cv2.GaussianBlur(oval, (0, 0), 1.5)
    made = {
        "identity": write_dfm(folder / "identity.dfm", 128),
        "tint": write_dfm(folder / "tint.dfm", 96, (0.6, 0.9, 1), (0.3, 0, -0.1), oval, oval),
        "dark": write_dfm(folder / "dark.dfm", 64, (0, 0, 0), (0.25, 0.25, 0.25)),
        "white": write_dfm(folder / "white.dfm", 64, (0, 0, 0), (1, 1, 1)),
    }
    return {name: SwapModel.open(path) for name, path in made.items()}


def red_segmenter(folder: Path) -> Segmenter:
    """What is red is face."""
    return Segmenter.open(write_red_segmenter(folder / "red.onnx"))


def inverting_enhancer(folder: Path) -> Enhancer:
    """Gives the negative of its picture, twice as large: every pixel repeated."""
    constants = {
        "gain": np.full((1, 3, 1, 1), -1, np.float32),
        "offset": np.ones((1, 3, 1, 1), np.float32),
        "roi": np.zeros(0, np.float32),
        "scales": np.array([1, 1, 2, 2], np.float32),
    }
    nodes = [
        helper.make_node("Mul", ["picture", "gain"], ["minus"]),
        helper.make_node("Add", ["minus", "offset"], ["negative"]),
        helper.make_node("Resize", ["negative", "roi", "scales"], ["result"], mode="nearest"),
    ]
    shape = ["batch", 3, "height", "width"]
    graph = helper.make_graph(
        nodes,
        "enhancer",
        [helper.make_tensor_value_info("picture", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("result", TensorProto.FLOAT, ["batch", 3, None, None])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    onnx.save(model, str(folder / "enhancer.onnx"))
    return Enhancer.open(folder / "enhancer.onnx")
