"""The fast convolution computes what torch's own does, forward and backward."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from facegraft.model_spec import FaceType, ModelSpec
from facegraft.models import winograd
from facegraft.models.build import build
from facegraft.models.winograd import Conv3x3, _Winograd, pays, set_winograd

LIMIT = 3e-5  # of the largest value; float32 itself leaves 2e-6 after 4608 products
SPEC = ModelSpec("df-ud", 64, FaceType.FULL, 32, 16, 16, 16)  # its layers of 64 at 16 px pay


def reference(x: Tensor, w: Tensor, b: Tensor, dy: Tensor) -> tuple[Tensor, ...]:
    """y, dx, dw, db by torch in float64."""
    x, w, b = (t.detach().double().requires_grad_() for t in (x, w, b))
    y = F.conv2d(x, w, b, padding=1)
    return (y, *torch.autograd.grad(y, (x, w, b), dy.double()))


def gap(got: Tensor | None, want: Tensor) -> float:
    assert got is not None
    return float((got.detach() - want.detach()).abs().max() / want.detach().abs().max())


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(
    "count, ins, outs, height, width",
    [(2, 16, 24, 16, 16), (3, 5, 7, 13, 10), (2, 3, 4, 3, 5)],
)
@pytest.mark.parametrize("band, weights", [(1 << 16, 1 << 16), (200, 40)])
def test_output_and_gradients_are_those_of_a_direct_convolution_in_float64(
    count, ins, outs, height, width, layout, band, weights, monkeypatch
):
    monkeypatch.setattr(winograd, "BAND", band)  # small ones: many bands and parts
    monkeypatch.setattr(winograd, "WEIGHTS", weights)
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(count, ins, height, width, generator=generator)
    w = torch.randn(outs, ins, 3, 3, generator=generator) / ins
    b = torch.randn(outs, generator=generator)
    dy = torch.randn(count, outs, height, width, generator=generator)
    x, w = (t.contiguous(memory_format=layout).requires_grad_() for t in (x, w))
    b.requires_grad_()
    y = _Winograd.apply(x, w, b)
    got = (y, *torch.autograd.grad(y, (x, w, b), dy))
    for mine, theirs in zip(got, reference(x, w, b, dy), strict=True):
        assert gap(mine, theirs) < LIMIT


def test_a_frozen_layer_passes_gradients_on_and_gets_none():
    x = torch.randn(1, 8, 9, 9, requires_grad=True)
    w, b = torch.randn(6, 8, 3, 3), torch.randn(6)
    dy = torch.randn(1, 6, 9, 9)
    _Winograd.apply(x, w, b).backward(dy)
    assert gap(x.grad, reference(x, w, b, dy)[1]) < LIMIT
    assert w.grad is None


def losses(on: bool, steps: int = 20) -> tuple[list[float], torch.nn.Module]:
    """A tiny df-ud that learns two pictures."""
    torch.manual_seed(5)
    net = build(SPEC)
    assert set_winograd(net, on) > 0
    # no optimizer that divides by the gradient's size: its first steps follow signs of rounding
    optimizer = torch.optim.SGD(net.parameters(), 0.1)
    pictures = F.interpolate(torch.rand(2, 3, 8, 8), size=64, mode="bicubic").clamp(0, 1)
    seen = []
    for _ in range(steps):
        made = net(pictures, pictures.flip(0))
        loss = (made.src_src - pictures).square().mean() + (
            made.dst_dst - pictures.flip(0)
        ).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        seen.append(loss.item())
    return seen, net


def test_training_goes_the_same_way_and_twice_exactly_the_same_way():
    plain, _ = losses(False)
    fast, _ = losses(True)
    again, _ = losses(True, steps=5)
    assert fast == pytest.approx(plain, rel=1e-3)
    assert fast[:5] == again
    assert fast[-1] < fast[0]  # it learned, so that equal losses mean something
    assert fast != plain  # the fast way was taken


def test_names_and_values_of_the_weights_stay_those_of_a_plain_convolution():
    torch.manual_seed(2)
    plain = torch.nn.Conv2d(4, 6, 3, padding=1)
    torch.manual_seed(2)
    layer = Conv3x3(4, 6)
    set_winograd(layer, True)
    for (name, mine), (other, theirs) in zip(
        layer.state_dict().items(), plain.state_dict().items(), strict=True
    ):
        assert name == other
        assert torch.equal(mine, theirs)


def test_where_the_fast_way_does_not_apply_torch_computes_bit_by_bit():
    layer = Conv3x3(64, 64)
    x = torch.randn(8, 64, 16, 16).to(memory_format=torch.channels_last)
    set_winograd(layer, True)
    plain = F.conv2d(x, layer.weight, layer.bias, padding=1)
    assert pays(x, layer.weight) and not torch.equal(layer(x), plain)
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(x).dtype is torch.bfloat16
    traced = torch.jit.trace(layer, x)
    assert torch.equal(traced(x), plain)  # pyright: ignore[reportCallIssue]
    few_tiles = x[:1, :, :6, :6].contiguous()
    assert torch.equal(layer(few_tiles), F.conv2d(few_tiles, layer.weight, layer.bias, padding=1))
    set_winograd(layer, False)
    x = x.contiguous()
    assert torch.equal(layer(x), F.conv2d(x, layer.weight, layer.bias, padding=1))
