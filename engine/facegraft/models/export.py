"""export_dfm(): a trained network as one .dfm file that DeepFaceLab's family of programs reads.

A .dfm is an ONNX file with a fixed face: input `in_face:0`, outputs `out_face_mask:0`,
`out_celeb_face:0`, `out_celeb_face_mask:0`, in that order; float32, (batch, R, R, C), BGR, 0..1.
A model of the family amp has a second input `morph_value:0`, float32, (1,), 0..1.
Readers differ in what they rely on (some bind by position, some take every symbolic size for 1),
so names, order and all sizes but the batch are written down. Our spec and record travel in the
metadata. BGR exists in this file only; the networks are RGB.
"""

import copy
import io
import logging
import warnings
from itertools import product
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from torch import Tensor, nn

from facegraft.errors import ParameterError, ParityError
from facegraft.files import write_atomic
from facegraft.model_spec import METADATA_KEY, RECORD_KEY, ModelRecord, ModelSpec
from facegraft.models.amp import AMP
from facegraft.models.build import SwapNet

log = logging.getLogger(__name__)

INPUT = "in_face:0"
MORPH_INPUT = "morph_value:0"
OUTPUTS = {"out_face_mask:0": 1, "out_celeb_face:0": 3, "out_celeb_face_mask:0": 1}  # channels
BATCH = "batch"  # the one symbolic size
OPSET = 12  # what DeepFaceLab writes, so every reader has it
PARITY_LIMIT = 1e-3  # a quarter of a grey level of 255
MORPHS = (0.0, 0.3, 1.0)  # checked against the network: both ends, and a count that is cut off
SIZE_LIMIT = (1 << 31) - (1 << 20)  # bytes; protobuf ends at 2 GiB, the graph itself needs little


class _DfmGraph(nn.Module):
    """(N, R, R, 3) BGR -> dst mask, swapped face, its mask, all (N, R, R, C), the face BGR.

    For amp a second input, the morph value (1,).
    """

    def __init__(self, net: SwapNet):
        super().__init__()
        self.net = net

    def forward(self, bgr: Tensor, *morph_value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        rgb = bgr.permute(0, 3, 1, 2)[:, [2, 1, 0]]  # N 3 R R
        face, mask, dst_mask = self.net.swap(rgb, *morph_value)
        face = face[:, [2, 1, 0]]
        return dst_mask.permute(0, 2, 3, 1), face.permute(0, 2, 3, 1), mask.permute(0, 2, 3, 1)


def export_dfm(
    net: SwapNet, spec: ModelSpec, record: ModelRecord, path: Path, sample_crops: np.ndarray
) -> float:
    """Write `net` to `path` and return how far onnxruntime's answer is from torch's.

    `sample_crops` (N, R, R, 3) float32 RGB 0..1 are real dst faces: the largest absolute difference
    over all outputs on them is what is returned. `net` itself stays as it is, on its device.

    Raises: ParityError above PARITY_LIMIT, and then no file is written; ParameterError for crops
    of another shape or a network too large for one file; WriteError.
    """
    side = spec.resolution
    if sample_crops.ndim != 4 or sample_crops.shape[1:] != (side, side, 3) or not len(sample_crops):
        raise ParameterError(
            f"sample crops have shape {sample_crops.shape}; give at least one as "
            f"(N, {side}, {side}, 3)"
        )
    size = sum(p.numel() * p.element_size() for p in net.parameters())
    if size > SIZE_LIMIT:
        raise ParameterError(
            f"the network holds {size / 2**30:.2f} GiB of weights and a .dfm at most 2 GiB; "
            "train with lower ae_dims or d_dims"
        )
    net = copy.deepcopy(net).to("cpu", torch.float32).eval()
    crops = np.ascontiguousarray(sample_crops, dtype=np.float32)
    model = _with_contract(_trace(net, side), side)
    onnx.helper.set_model_props(model, {METADATA_KEY: spec.to_json(), RECORD_KEY: record.to_json()})
    data = model.SerializeToString()
    difference = _max_difference(net, data, crops)
    if not difference <= PARITY_LIMIT:  # also true for NaN
        raise ParityError(
            f"the exported model differs from the network by {difference:.2g}, the limit is "
            f"{PARITY_LIMIT:g}; {path.name} was not written. Check the run for NaN weights, or "
            "report this with the versions of torch and onnxruntime"
        )
    write_atomic(path, data)
    log.info("exported %s: %.1f MiB, parity %.2g", path, len(data) / 2**20, difference)
    return difference


def _trace(net: SwapNet, side: int) -> onnx.ModelProto:
    """By torch's tracing exporter: the newer one begins at opset 18, too late for a .dfm."""
    buffer = io.BytesIO()
    inputs = {INPUT: torch.zeros(1, side, side, 3)}
    if isinstance(net, AMP):
        inputs[MORPH_INPUT] = torch.zeros(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it announces its own end of life
        torch.onnx.export(
            _DfmGraph(net),
            tuple(inputs.values()),
            buffer,  # pyright: ignore[reportArgumentType]  # only the newer exporter wants a path
            input_names=list(inputs),
            output_names=list(OUTPUTS),
            dynamic_axes={name: {0: BATCH} for name in (INPUT, *OUTPUTS)},
            opset_version=OPSET,
            dynamo=False,
        )
    return onnx.load_from_string(buffer.getvalue())


def _with_contract(model: onnx.ModelProto, side: int) -> onnx.ModelProto:
    """Declare every size but the batch as a number, which the tracer leaves open on outputs."""
    for value, channels in zip(model.graph.output, OUTPUTS.values(), strict=True):
        dims = value.type.tensor_type.shape.dim
        for dim, number in zip(dims[1:], (side, side, channels), strict=True):
            dim.dim_value = number  # replaces the name
    onnx.checker.check_model(model)
    return model


def _max_difference(net: SwapNet, data: bytes, crops: np.ndarray) -> float:
    """Over all outputs; NaN if there is one. Crop by crop: batches of large models fill memory."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    morphs = [np.array([m], np.float32) for m in MORPHS] if isinstance(net, AMP) else [None]
    gaps = []
    for crop, morph in product(crops, morphs):
        feeds = {INPUT: np.ascontiguousarray(crop[None, :, :, ::-1])}
        extra = []
        if morph is not None:
            feeds[MORPH_INPUT] = morph
            extra = [torch.from_numpy(morph)]
        dst_mask, face, mask = map(np.asarray, session.run(list(OUTPUTS), feeds))
        with torch.no_grad():
            expected = net.swap(torch.from_numpy(crop).permute(2, 0, 1)[None], *extra)
        for got, want in zip((face[..., ::-1], mask, dst_mask), expected, strict=True):
            gaps.append(np.abs(got - want.permute(0, 2, 3, 1).numpy()).max())
    return float(np.max(gaps))
