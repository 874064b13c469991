"""export_mask_net(): a trained mask network as one ONNX file, laid out as XSeg files are.

Input `input`, float32 (batch, R, R, 3), BGR, 0..1; output `mask`, float32 (batch, R, R, 1), 0..1:
what FaceFusion's occluders and their like take and give. BGR exists in this file only.
"""

import copy
import io
import logging
import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from torch import Tensor, nn

from facegraft.errors import ParameterError, ParityError
from facegraft.files import write_atomic

log = logging.getLogger(__name__)

INPUT, OUTPUT = "input", "mask"
BATCH = "batch"  # the one symbolic size
OPSET = 12  # as our .dfm files, so that every reader has it
PARITY_LIMIT = 1e-3  # a quarter of a grey level of 255


class _MaskGraph(nn.Module):
    """(N, R, R, 3) BGR -> (N, R, R, 1) probabilities."""

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net = net

    def forward(self, bgr: Tensor) -> Tensor:
        logits = self.net(bgr.permute(0, 3, 1, 2)[:, [2, 1, 0]])
        return logits.sigmoid().permute(0, 2, 3, 1)


def export_mask_net(
    net: nn.Module, properties: Mapping[str, str], path: Path, sample_crops: np.ndarray
) -> float:
    """Write `net` to `path` with `properties` as its metadata; how far onnxruntime's answer is from
    torch's on `sample_crops` (N, R, R, 3) float32 RGB 0..1, at most. `net` stays as it is.

    Raises: ParityError above PARITY_LIMIT, and then no file is written; ParameterError for crops
    of another shape, WriteError.
    """
    if sample_crops.ndim != 4 or sample_crops.shape[3] != 3 or not len(sample_crops):
        raise ParameterError(
            f"sample crops have shape {sample_crops.shape}; give at least one as (N, R, R, 3)"
        )
    side = sample_crops.shape[1]
    net = copy.deepcopy(net).to("cpu", torch.float32).eval()
    model = _trace(net, side)
    onnx.helper.set_model_props(model, dict(properties))
    data = model.SerializeToString()
    difference = _max_difference(net, data, np.ascontiguousarray(sample_crops, np.float32))
    if not difference <= PARITY_LIMIT:  # also true for NaN
        raise ParityError(
            f"the exported mask network differs by {difference:.2g}, the limit is "
            f"{PARITY_LIMIT:g}; {path.name} was not written. Check the run for NaN weights, or "
            "report this with the versions of torch and onnxruntime"
        )
    write_atomic(path, data)
    log.info("exported %s: %.1f MiB, parity %.2g", path, len(data) / 2**20, difference)
    return difference


def _trace(net: nn.Module, side: int) -> onnx.ModelProto:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracing exporter announces its own end of life
        torch.onnx.export(
            _MaskGraph(net),
            (torch.zeros(1, side, side, 3),),
            buffer,  # pyright: ignore[reportArgumentType]  # only the newer exporter wants a path
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_axes={INPUT: {0: BATCH}, OUTPUT: {0: BATCH}},
            opset_version=OPSET,
            dynamo=False,
        )
    model = onnx.load_from_string(buffer.getvalue())
    dims = model.graph.output[0].type.tensor_type.shape.dim
    for dim, number in zip(dims[1:], (side, side, 1), strict=True):
        dim.dim_value = number  # the tracer leaves sizes open on outputs
    onnx.checker.check_model(model)
    return model


def _max_difference(net: nn.Module, data: bytes, crops: np.ndarray) -> float:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    fed = np.ascontiguousarray(crops[..., ::-1])
    got = np.asarray(session.run([OUTPUT], {INPUT: fed})[0])
    with torch.no_grad():
        wanted = _MaskGraph(net)(torch.from_numpy(fed)).numpy()
    return float(np.abs(got - wanted).max())
