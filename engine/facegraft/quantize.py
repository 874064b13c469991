"""quantize_model(): a .dfm file in 8-bit arithmetic, smaller and quicker on a CPU, as a .dfm file.

Weights become int8 by output channel, activations uint8 by ranges measured on real dst faces
(static post-training quantization, done by onnxruntime's own tool). Names, order, layout and
metadata of the file stay, so every reader that runs onnxruntime takes it. How far it is from the
original is measured on faces that the ranges were not taken from, and written into the file.

It pays on processors with 8-bit dot products (AVX-512 VNNI, AMX, AVX-VNNI); a GPU wants float. x86
without them sums pairs of products in 16 bits, which overflow: there a twin is less exact. (To make
onnxruntime take unsigned weights instead costs 2.6 times the time where it is not needed.)
"""

import json
import logging
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np

from facegraft.errors import NotAModel, ParameterError
from facegraft.faces.align import warp_image
from facegraft.faces.face import AlignedFace
from facegraft.faces.faceset import read_image, reframe_matrix
from facegraft.files import write_atomic
from facegraft.inference import Prediction, SwapModel
from facegraft.model_spec import FaceType
from facegraft.progress import Progress, Silent

QUANTIZED_KEY = "facegraft.quantized"  # in the file's metadata: what was measured, as JSON
OPSET = 13  # the first that knows a scale for every channel
LEAST_FACES = 4  # half of them for the ranges, half for the check
MOST_FACES = 64  # more takes long and moves the ranges little
SIZE_LIMIT = 1 << 31  # bytes that a file of this format can hold
# what passes 8-bit numbers on; anything else in a graph stays in float
_OPERATIONS = ["Conv", "Gemm", "MatMul", "LeakyRelu", "Add", "DepthToSpace", "Transpose", "Reshape"]
_TIMED = 3  # runs, of which the median counts


@dataclass(frozen=True, slots=True)
class QuantizeReport:
    """The 8-bit model beside the original, on faces that it was not fitted to."""

    faces: int
    face_mean: float  # absolute difference of the swapped face, 0..1
    face_max: float
    face_psnr: float  # dB
    mask_mean: float  # absolute difference of its mask, 0..1
    ms: float  # of a face, on all cores
    original_ms: float
    bytes: int
    original_bytes: int


def quantize_model(
    path: Path, out: Path, crops: np.ndarray, progress: Progress | None = None
) -> tuple[QuantizeReport, np.ndarray]:
    """Write the 8-bit twin of the model at `path` to `out`.

    crops: (N, R, R, 3) float32 RGB 0..1, dst faces as the model frames them, from all over the
    clip; every other one fits the ranges, the rest is what the report speaks of.
    Gives the report and a picture of three rows for four faces: original, 8 bit, and their
    difference times 16 around grey; (3 R, 4 R, 3) float32 0..1.

    Raises: NotAModel, WriteError; ParameterError for too few faces, a model that is 8-bit already
    or one that is too large.
    """
    progress = progress or Silent()
    model = SwapModel.open(path)
    _check(model, path, crops)
    crops = crops[np.linspace(0, len(crops) - 1, min(len(crops), MOST_FACES)).astype(int)]
    progress.start(3, "steps")
    with tempfile.TemporaryDirectory() as folder:
        prepared, raw = Path(folder) / "prepared.onnx", Path(folder) / "quantized.onnx"
        _prepare(path, prepared)
        progress.advance(note="graph prepared")
        _quantize(prepared, raw, model, crops[::2])
        progress.advance(note="ranges measured")
        report, picture = _compare(model, SwapModel.open(raw), crops[1::2])
        progress.advance(note="compared")
        write_atomic(out, _with_metadata(raw, model, report))
    return report, picture


def model_crops(faces: Sequence[AlignedFace], model: SwapModel, count: int) -> np.ndarray:
    """(N, R, R, 3) float32 RGB 0..1: up to `count` faces, evenly chosen, as the model frames them.

    Raises: BadAlignedImage.
    """
    kind = model.spec.face_type if model.spec else FaceType.WHOLE_FACE
    side = model.resolution
    chosen = np.linspace(0, len(faces) - 1, min(len(faces), count)).astype(int)
    crops = np.empty((len(chosen), side, side, 3), np.float32)
    for crop, index in zip(crops, chosen, strict=True):
        face = faces[index]
        matrix = reframe_matrix(face, kind, side)
        crop[:] = warp_image(read_image(face), matrix, side, side, border=cv2.BORDER_REPLICATE)
    return np.clip(crops / np.float32(255), 0, 1)


def _check(model: SwapModel, path: Path, crops: np.ndarray) -> None:
    if QUANTIZED_KEY in model.metadata:
        raise ParameterError(f"{path.name} is 8-bit already; give the model it was made from")
    if len(crops) < LEAST_FACES:
        raise ParameterError(
            f"{len(crops)} faces are too few to measure ranges; give a faceset of the dst clip "
            f"with at least {LEAST_FACES}"
        )
    size = path.stat().st_size
    if size > SIZE_LIMIT:
        raise ParameterError(f"{path.name} has {size / 2**30:.1f} GiB; the limit here is 2 GiB")


def _prepare(path: Path, out: Path) -> None:
    """The graph at OPSET, constants folded, with the shapes of all that flows, made for 8 bits."""
    import onnx  # beside training; hosts never come here
    from onnx import version_converter
    from onnxruntime.quantization.shape_inference import quant_pre_process

    from facegraft.onnx_rewrite import rewrite_for_8_bit

    try:
        graph = onnx.load(path)
        version = next(o.version for o in graph.opset_import if o.domain in ("", "ai.onnx"))
        if version < OPSET:
            graph = version_converter.convert_version(graph, OPSET)
        quant_pre_process(graph, out, skip_symbolic_shape=True)
        graph = onnx.load(out)
        rewrite_for_8_bit(graph)
        onnx.checker.check_model(graph)
        onnx.save(graph, out)
    except Exception as error:  # onnx's checker and converter share no base class
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise NotAModel(f"{path.name} has a graph that cannot be made 8-bit: {first}") from error


def _quantize(prepared: Path, out: Path, model: SwapModel, crops: np.ndarray) -> None:
    import onnx
    from onnxruntime import quantization

    from facegraft.onnx_rewrite import scalar_adds

    class Faces(quantization.CalibrationDataReader):
        """One face at a time, in the form of the model's own input."""

        def __init__(self) -> None:
            self._feeds = iter([model.feeds(crop[None]) for crop in crops])

        def get_next(self):  # pyright: ignore[reportIncompatibleMethodOverride]  # None ends it
            return next(self._feeds, None)

    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)  # the tool warns through the root logger, of things done here
    try:
        quantization.quantize_static(
            prepared,
            out,
            Faces(),
            quant_format=quantization.QuantFormat.QDQ,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            per_channel=True,
            op_types_to_quantize=_OPERATIONS,
            nodes_to_exclude=scalar_adds(onnx.load(prepared)),
        )
    finally:
        root.setLevel(level)


def _compare(
    model: SwapModel, quantized: SwapModel, crops: np.ndarray
) -> tuple[QuantizeReport, np.ndarray]:
    pairs = [(model.predict(crop), quantized.predict(crop)) for crop in crops]
    faces = np.stack([[a.face, b.face] for a, b in pairs])
    gap = np.abs(faces[:, 0] - faces[:, 1])
    report = QuantizeReport(
        faces=len(pairs),
        face_mean=float(gap.mean()),
        face_max=float(gap.max()),
        face_psnr=float(-10 * np.log10(max(float(np.mean(gap**2)), 1e-12))),
        mask_mean=float(np.mean([np.abs(a.mask - b.mask).mean() for a, b in pairs])),
        ms=_milliseconds(quantized, crops[0]),
        original_ms=_milliseconds(model, crops[0]),
        bytes=quantized.path.stat().st_size,
        original_bytes=model.path.stat().st_size,
    )
    shown = np.linspace(0, len(pairs) - 1, 4).astype(int)
    return report, _picture([pairs[n] for n in shown])


def _milliseconds(model: SwapModel, crop: np.ndarray) -> float:
    times = []
    for _ in range(_TIMED):
        start = time.perf_counter()
        model.predict(crop)
        times.append((time.perf_counter() - start) * 1e3)
    return sorted(times)[_TIMED // 2]


def _picture(pairs: Sequence[tuple[Prediction, Prediction]]) -> np.ndarray:
    rows = [
        [a.face for a, _ in pairs],
        [b.face for _, b in pairs],
        [np.clip(0.5 + 16 * (b.face - a.face), 0, 1) for a, b in pairs],
    ]
    return np.concatenate([np.concatenate(row, axis=1) for row in rows])


def _with_metadata(file: Path, model: SwapModel, report: QuantizeReport) -> bytes:
    """The file with the original's metadata, which the tool drops, and what was measured."""
    import onnx

    graph = onnx.load(file)
    measured = json.dumps({k: v for k, v in asdict(report).items() if k not in ("ms", "bytes")})
    onnx.helper.set_model_props(graph, {**model.metadata, QUANTIZED_KEY: measured})
    return graph.SerializeToString()
