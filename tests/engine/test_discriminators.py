"""The critics: receptive fields against DeepFaceLab's table, sizes, and one chain by hand."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from facegraft.models.discriminator import (
    CodeDiscriminator,
    PatchDiscriminator,
    receptive_field,
    stride_chain,
)

# field:strides, dumped from DeepFaceLab's own search for every field up to 263 px
TABLE = """
3:2  7:22  11:212  15:222  19:2122  23:2212  27:21212  31:2222
35:21222  39:22122  43:212122  47:22212  51:212212  55:221212  59:2121212  63:22222
67:212222  71:221222  75:2121222  79:222122  83:2122122  87:2212122  91:21212122  95:222212
99:2122212  103:2212212  107:21212212  111:2221212  115:21221212  119:22121212  123:212121212
127:222222  131:2122222  135:2212222  139:21212222  143:2221222  147:21221222  151:22121222
155:212121222  159:2222122  163:21222122  167:22122122  171:212122122  175:22212122
179:212212122  183:221212122  191:2222212  195:21222212  199:22122212  203:212122212
207:22212212  211:212212212  215:221212212  223:22221212  227:212221212  231:221221212
239:222121212  255:2222222  259:21222222  263:22122222
"""
CHAINS = {
    int(field): tuple(map(int, strides))
    for field, strides in (cell.split(":") for cell in TABLE.split())
}


@pytest.mark.parametrize("field", CHAINS)
def test_a_reachable_patch_size_has_deepfacelabs_chain(field):
    """Same strides, so that its discriminators' weights fit layer by layer."""
    assert CHAINS[field] == stride_chain(field)
    assert field == receptive_field(CHAINS[field])


def test_every_other_patch_size_takes_the_nearest_field():
    """Of two equally near ones the smaller, as in DeepFaceLab."""
    for size in range(3, 262):
        nearest = min(CHAINS, key=lambda field: (abs(field - size), field))
        assert CHAINS[nearest] == stride_chain(size), size
    assert 1023 == receptive_field(stride_chain(2000))  # the widest of nine layers


@pytest.mark.parametrize(
    ("resolution", "field"),
    [(128, 15), (160, 19), (192, 23), (224, 27), (256, 31), (384, 47), (512, 63), (640, 79)],
)
def test_an_eighth_of_the_resolution_is_met_within_a_pixel(resolution, field):
    """The patch size that DeepFaceLab suggests."""
    assert field == receptive_field(stride_chain(resolution // 8))


@pytest.mark.parametrize("size", [3, 7, 19, 28])
def test_one_patch_logit_sees_exactly_its_field(size):
    """Its gradient is nonzero on a square of that many px and nowhere else."""
    torch.manual_seed(0)
    net = PatchDiscriminator(size, 4)
    image = torch.rand(1, 3, 96, 96, requires_grad=True)
    center, _ = net(image)
    middle = center.shape[2] // 2
    center[0, 0, middle, middle].backward()
    assert image.grad is not None
    rows, columns = torch.nonzero(image.grad.abs().sum(dim=(0, 1)), as_tuple=True)
    field = receptive_field(stride_chain(size))
    assert (field, field) == tuple(int(x.max() - x.min()) + 1 for x in (rows, columns))
    assert field * field == len(rows)


def test_parameter_count_is_deepfacelabs():
    """Patch size 28 and 16 dims: its 3.80 million, by hand from five layers of 16 to 512."""
    widths = [16, 32, 64, 128, 256, 512]
    down = sum(9 * a * b + b for a, b in zip(widths, widths[1:], strict=False))
    up = sum(
        9 * (b if b == 512 else 2 * b) * a + a for a, b in zip(widths, widths[1:], strict=False)
    )
    ones = (3 * 16 + 16) + (512 + 1) + (512 * 512 + 512) + (32 + 1)
    with torch.device("meta"):
        net = PatchDiscriminator(28, 16)
    count = sum(p.numel() for p in net.parameters())
    assert down + up + ones == count
    assert "3.80" == f"{count / 1e6:.2f}"


def test_channels_end_at_512():
    """Wide dims and deep chains stay within memory."""
    with torch.device("meta"):
        net = PatchDiscriminator(63, 128)
    assert [256, 512, 512, 512, 512] == [c.out_channels for c in net.convs]


def test_one_layer_by_hand():
    """Taps written out: symmetric zero padding down, and up without the last row and column."""
    torch.manual_seed(0)
    net = PatchDiscriminator(3, 4)
    with torch.no_grad():
        for p in net.parameters():
            p.add_(torch.rand_like(p) * 0.1)  # biases too
    image = torch.rand(1, 3, 6, 6)
    w = {name: p.detach().double().numpy() for name, p in net.named_parameters()}

    def ones(x, name):
        bias = w[f"{name}.bias"][:, None, None]
        return np.einsum("oc,chw->ohw", w[f"{name}.weight"][:, :, 0, 0], x) + bias

    def leaky(x):
        return np.where(x > 0, x, 0.2 * x)

    wide = leaky(ones(image[0].double().numpy(), "in_conv"))  # 4 6 6
    padded = np.pad(wide, ((0, 0), (1, 1), (1, 1)))
    down = np.zeros((8, 3, 3))
    up = np.zeros((4, 7, 7))
    for y in range(3):
        for x in range(3):
            window = padded[:, 2 * y : 2 * y + 3, 2 * x : 2 * x + 3]
            down[:, y, x] = np.einsum("ochw,chw->o", w["convs.0.weight"], window)
    deep = leaky(down + w["convs.0.bias"][:, None, None])
    center, deep = ones(deep, "center_out"), leaky(ones(deep, "center_conv"))
    for y in range(3):
        for x in range(3):
            spot = np.einsum("c,cohw->ohw", deep[:, y, x], w["upconvs.0.weight"])
            up[:, 2 * y : 2 * y + 3, 2 * x : 2 * x + 3] += spot
    up = leaky(up[:, :6, :6] + w["upconvs.0.bias"][:, None, None])
    full = ones(np.concatenate([wide, up]), "out_conv")
    with torch.no_grad():
        got_center, got_full = net(image)
    np.testing.assert_allclose(got_center[0], center, atol=1e-5)
    np.testing.assert_allclose(got_full[0], full, atol=1e-5)


@pytest.mark.parametrize(("resolution", "size"), [(64, 8), (96, 12), (96, 180), (80, 63)])
def test_the_full_map_is_as_large_as_the_picture(resolution, size):
    """Also where the chain halves an odd number, and in float32 under autocast."""
    torch.manual_seed(0)
    net = PatchDiscriminator(size, 4)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        center, full = net(torch.rand(1, 3, resolution, resolution))
    side = resolution
    for stride in stride_chain(size):
        side = math.ceil(side / stride)
    assert (1, 1, side, side) == center.shape
    assert (1, 1, resolution, resolution) == full.shape
    assert center.dtype == full.dtype == torch.float32


@pytest.mark.parametrize(
    ("resolution", "widths"),
    [(4, [256]), (8, [256, 512]), (16, [256, 512, 1024]), (40, [256, 512, 1024, 2048, 2048, 2048])],
)
def test_a_code_critic_has_a_layer_more_for_every_eight_px(resolution, widths):
    """4x4 first, then 3x3, channels doubling up to 2048; float32 under autocast."""
    with torch.device("meta"):
        net = CodeDiscriminator(32, resolution)
    assert widths == [c.out_channels for c in net.convs]
    assert [(k, k) for k in [4, *[3] * (len(widths) - 1)]] == [c.kernel_size for c in net.convs]
    if resolution > 16:
        return  # too large to run here
    net = CodeDiscriminator(32, resolution)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        logits = net(torch.rand(2, 32, resolution, resolution))
    side = resolution + 1  # a 4x4 kernel with two px of padding
    for _ in widths:
        side = math.ceil(side / 2)
    assert (2, 1, side, side) == logits.shape
    assert torch.float32 == logits.dtype


@pytest.mark.parametrize(
    "critic",
    [lambda: PatchDiscriminator(28, 16), lambda: CodeDiscriminator(64, 8)],
    ids=["patch", "code"],
)
def test_weights_start_glorot_uniform_with_zero_biases(critic):
    """As in the other networks, the transposed convolutions included; limit over fans in and out.

    The fans of a transposed convolution are those of the convolution it transposes.
    """
    torch.manual_seed(0)
    net = critic()
    for name, p in net.named_parameters():
        if name.endswith("bias"):
            assert not p.any(), name
        elif p.numel() > 2000:  # enough numbers for one to come near the limit
            limit = math.sqrt(6 / ((p.shape[0] + p.shape[1]) * p[0, 0].numel()))
            assert 0.99 * limit < p.abs().max() <= limit * (1 + 1e-6), name


@pytest.mark.parametrize(
    ("critic", "side", "channels"),
    [(lambda: PatchDiscriminator(7, 8), 32, 3), (lambda: CodeDiscriminator(16, 4), 4, 16)],
    ids=["patch", "code"],
)
def test_a_critic_learns_to_tell_two_kinds_apart(critic, side, channels):
    """From chance, ln 2, down to a fraction of it, on smooth against rough pictures."""
    torch.manual_seed(0)
    net = critic()
    rough = torch.rand(4, channels, side, side)
    smooth = F.avg_pool2d(rough, 3, 1, 1)
    optimizer = torch.optim.Adam(net.parameters(), lr=2e-3)
    labels = torch.tensor([1.0] * 4 + [0.0] * 4)[:, None, None, None]
    loss = torch.tensor(math.inf)
    for _ in range(40):
        maps = net(torch.cat([smooth, rough]))
        maps = maps if isinstance(maps, tuple) else (maps,)
        terms = [
            nn.functional.binary_cross_entropy_with_logits(m, labels.expand_as(m)) for m in maps
        ]
        loss = torch.stack(terms).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.3 * math.log(2)
