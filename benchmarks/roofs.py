"""What a machine could do: clocks, its matrix product, and a network's layers each alone."""

import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from facegraft.models.build import build
from facegraft.training.params import TrainParams
from facegraft.training.setup import choose_precision

Times = tuple[float, float]  # wall and processor seconds


def now() -> Times:
    return time.perf_counter(), time.process_time()


def median_of(times: list[Times]) -> Times:
    return statistics.median(t[0] for t in times), statistics.median(t[1] for t in times)


def pick(times: Times, device: torch.device) -> float:
    """The clock that limits: a GPU's steps pass while the processor waits."""
    return times[0] if device.type == "cuda" else times[1]


def time_call(
    call: Callable[[], object],
    device: torch.device,
    repeats: int,
    limit_s: float = float("inf"),
) -> Times:
    """Median of `repeats`, or of those begun within the limit, after one call that warms up; on a
    GPU each is waited for.
    """
    call()
    times: list[Times] = []
    first = mark(device)
    while not times or (len(times) < repeats and now()[0] - first[0] < limit_s):
        begin = mark(device)
        call()
        end = mark(device)
        times.append((end[0] - begin[0], end[1] - begin[1]))
    return median_of(times)


def mark(device: torch.device) -> Times:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return now()


def matmul_rate(device: torch.device, side: int) -> dict[str, float]:
    """FLOP per second of a square matrix product; of processor time on a CPU."""
    rates = {}
    for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        a, b = (torch.rand(side, side, device=device, dtype=dtype) for _ in range(2))
        times = time_call(lambda: a @ b, device, 5)  # noqa: B023
        rates[name] = 2 * side**3 / pick(times, device)
    return rates


def layer_calls(params: TrainParams, device: torch.device) -> list[tuple[nn.Module, torch.Size]]:
    """Every convolution and dense layer that a training step enters, with its input's shape."""
    with device:
        net = build(params.spec)
    calls: list[tuple[nn.Module, torch.Size]] = []
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.register_forward_hook(
                lambda layer, inputs, _out: calls.append((layer, inputs[0].shape))
            )
    side = params.resolution
    image = torch.empty(params.batch_size, 3, side, side, device=device)
    with torch.no_grad():
        net(image, image)
    return calls


def count_flop(params: TrainParams) -> int:
    """Of one training step: three times the multiplications and additions of a forward pass."""
    total = 0
    for layer, shape in layer_calls(params, torch.device("meta")):
        weight = layer.weight
        assert isinstance(weight, Tensor)
        stride = layer.stride[0] if isinstance(layer, nn.Conv2d) else 1
        pixels = shape[2] * shape[3] // stride**2 if isinstance(layer, nn.Conv2d) else 1
        total += 2 * weight.numel() * shape[0] * pixels
    return 3 * total


def time_layers(params: TrainParams, device: torch.device, repeats: int) -> Times:
    """Sum over all layers of their own forward and backward pass, by torch's direct algorithms.

    Each runs alone on noise of the shape that it sees in training; equal ones are measured once.
    """
    autocast = choose_precision(params, device)
    known: dict[tuple[str, torch.Size], Times] = {}
    wall = cpu = 0.0
    for layer, shape in layer_calls(params, torch.device("meta")):
        key = (repr(layer), shape)
        if key not in known:
            known[key] = time_layer(layer, shape, device, autocast, repeats)
        wall, cpu = wall + known[key][0], cpu + known[key][1]
    return wall, cpu


def time_layer(
    layer: nn.Module,
    shape: torch.Size,
    device: torch.device,
    autocast: torch.dtype | None,
    repeats: int,
) -> Times:
    layer = layer.to_empty(device=device).requires_grad_(True)
    for parameter in layer.parameters():
        nn.init.uniform_(parameter, -0.01, 0.01)
    layer._forward_hooks.clear()
    layout = torch.channels_last if len(shape) == 4 and autocast else torch.contiguous_format
    x = torch.rand(shape, device=device).contiguous(memory_format=layout)
    x.requires_grad_(shape[1] != 3)  # the image wants no gradient

    def both_ways() -> None:
        with torch.autocast(device.type, autocast, enabled=autocast is not None):
            y = layer(x)
        y.backward(torch.ones_like(y))
        x.grad = None
        layer.zero_grad(set_to_none=True)

    times = time_call(both_ways, device, repeats)
    layer.to("meta")  # its memory is free again
    return times
