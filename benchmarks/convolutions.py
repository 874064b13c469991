"""Our 3x3 convolutions for float32 on a CPU (Winograd) beside torch's own, layer by layer.

    python benchmarks/convolutions.py [--batch 4] [--threads 1] [--repeats 5]

The layers are those that make up quick96 (df-ud at 96 px); forward, and backward to input and
weights. Both ways run by turns, medians of processor milliseconds are printed with their ratio, and
the largest and root-mean-square error of each way against float64, of the result's largest value.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor

from facegraft.models.winograd import Conv3x3, pays, set_winograd

T = TypeVar("T")
LAYERS = ((512, 512, 12), (512, 1024, 12), (256, 256, 24), (256, 512, 24), (128, 128, 48))


def main() -> None:
    args = arguments()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    print(f"batch {args.batch}, {args.threads} threads; CPU ms, torch / ours / ratio")
    for in_channels, out_channels, side in LAYERS:
        layer = Conv3x3(in_channels, out_channels)
        x = torch.randn(args.batch, in_channels, side, side, requires_grad=True)
        assert pays(x, layer.weight), "a layer that is left to torch"
        forward, backward = [], []
        for _ in range(args.repeats + 1):
            pair = [timed(layer, x, on) for on in (False, True)]
            forward.append([times[0] for times in pair])
            backward.append([times[1] for times in pair])
        parts = [medians(rows[1:]) for rows in (forward, backward)]  # the first warms up
        parts.append((parts[0][0] + parts[1][0], parts[0][1] + parts[1][1]))
        cells = [f"{torchs:6.1f} /{ours:6.1f} / {torchs / ours:.2f}" for torchs, ours in parts]
        print(f"{in_channels:4} to {out_channels:4} at {side} px: forward {cells[0]}, ", end="")
        print(f"backward {cells[1]}, both {cells[2]}")
        print(f"     error: torch {error(layer, x, False)}, ours {error(layer, x, True)}")


def timed(layer: Conv3x3, x: Tensor, on: bool) -> tuple[float, float]:
    """(forward, backward) processor ms."""
    set_winograd(layer, on)
    layer.zero_grad(set_to_none=True)
    x.grad = None
    y, forward = clock(lambda: layer(x))
    gradient = torch.ones_like(y)
    _, backward = clock(lambda: y.backward(gradient))
    return forward, backward


def clock(call: Callable[[], T]) -> tuple[T, float]:
    started = time.process_time()
    result = call()
    return result, 1e3 * (time.process_time() - started)


def medians(rows: list[list[float]]) -> tuple[float, float]:
    torchs, ours = (statistics.median(column) for column in zip(*rows, strict=True))
    return torchs, ours


@torch.no_grad()
def error(layer: Conv3x3, x: Tensor, on: bool) -> str:
    set_winograd(layer, on)
    bias = None if layer.bias is None else layer.bias.double()
    exact = torch.nn.functional.conv2d(x.double(), layer.weight.double(), bias, padding=1)
    gap = (layer(x).double() - exact) / exact.abs().max()
    return f"{gap.abs().max():.1e} largest, {gap.square().mean().sqrt():.1e} rms"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Winograd beside torch")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5)
    return parser.parse_args()


if __name__ == "__main__":
    main()
