"""Networks: sizes, shapes and wiring of every family and option in the registry."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from facegraft.errors import ParameterError
from facegraft.model_spec import FaceType, ModelRecord, ModelSpec
from facegraft.models.blocks import depth_to_space, rms_normalize
from facegraft.models.build import (
    DIMS,
    SwapNet,
    build,
    check_spec,
    reset_inters,
    set_checkpointing,
)
from facegraft.models.df import DF
from facegraft.models.export import export_dfm
from facegraft.models.liae import LIAE
from facegraft.models.stages import Decoder
from facegraft.training.loss import reconstruction_loss, saehd_weights
from facegraft.training.optim import AdaBelief
from tests.engine.tiny_nets import ARCHITECTURES, fresh, images, lively, tiny

FAMILY_SAMPLES = ["df-ud", "liae-ud", "df-t", "liae", "amp"]  # each kind of wiring
ALL_BUT_SAMPLES_SLOW = [
    *FAMILY_SAMPLES,
    *(pytest.param(a, marks=pytest.mark.slow) for a in ARCHITECTURES if a not in FAMILY_SAMPLES),
]


def parameter_counts(spec: ModelSpec) -> dict[str, int]:
    with torch.device("meta"):
        net = build(spec)
    return {name: sum(p.numel() for p in part.parameters()) for name, part in net.named_children()}


def decoders(net: SwapNet) -> tuple[Decoder, Decoder]:
    return (net.decoder_src, net.decoder_dst) if isinstance(net, DF) else (net.decoder, net.decoder)


def df(encoder, inter, decoder):
    return {"encoder": encoder, "inter": inter, "decoder_src": decoder, "decoder_dst": decoder}


def liae(encoder, inter, decoder):
    return {"encoder": encoder, "inter_ab": inter, "inter_b": inter, "decoder": decoder}


@pytest.mark.parametrize(
    ("architecture", "resolution", "ae", "mask", "counts"),
    [
        ("df", 128, 256, 22, df(4306560, 14959872, 19136000)),
        ("df-ud", 128, 256, 22, df(4306560, 11801856, 19181291)),
        ("df-udt", 128, 256, 22, df(15654144, 3150080, 34455979)),
        ("liae", 128, 256, 22, liae(4306560, 26249472, 38157824)),
        ("liae-ud", 128, 256, 22, liae(4306560, 19933440, 38203115)),
        ("liae-udt", 128, 256, 22, liae(15654144, 4202752, 53477803)),
        ("df-ud", 96, 128, 16, df(4306560, 3098368, 15444701)),  # quick96
    ],
)
def test_parameter_counts_are_those_of_deepfacelab(architecture, resolution, ae, mask, counts):
    """The counts were dumped from DeepFaceLab's own graphs, so its weights fit part by part."""
    spec = ModelSpec(architecture, resolution, FaceType.FULL, ae, 64, 64, mask)
    assert counts == parameter_counts(spec)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_architecture_gives_faces_and_masks_of_its_resolution(architecture):
    """Shapes, float32 and the range 0..1 hold on both paths, also with uneven batches."""
    torch.manual_seed(0)
    net = build(tiny(architecture))
    src, dst = torch.rand(2, 3, 64, 64), torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        outputs = [*net.reconstruct(src, dst)[:4], *net.swap(dst)]
    face, mask = (3, 64, 64), (1, 64, 64)
    expected = [(2, *face), (2, *mask), (1, *face), (1, *mask), (1, *face), (1, *mask), (1, *mask)]
    assert expected == [tuple(x.shape) for x in outputs]
    for x in outputs:
        assert x.dtype == torch.float32
        assert 0 < x.min() and x.max() < 1


@pytest.mark.parametrize("architecture", ALL_BUT_SAMPLES_SLOW)
def test_every_architecture_learns_and_comes_back_from_a_file(architecture, tmp_path):
    """One step on a batch lowers the loss of that batch; the state dict holds all that computes."""
    net = fresh(architecture)
    src, dst, mask = images(1), images(1, seed=1), torch.ones(1, 1, 64, 64)
    weights = saehd_weights(64)
    optimizer = AdaBelief(net.parameters(), lr=5e-5)

    def loss():
        made = net(src, dst)
        src_loss = reconstruction_loss(made.src_src, made.src_src_mask, src, mask, weights)
        dst_loss = reconstruction_loss(made.dst_dst, made.dst_dst_mask, dst, mask, weights)
        return (src_loss + dst_loss).sum()

    before = loss()
    before.backward()
    assert all(p.grad is not None and p.grad.any() for p in net.parameters())
    optimizer.step()
    with torch.no_grad():
        assert loss() < before
        save_file(net.state_dict(), tmp_path / "net.safetensors")
        other = build(tiny(architecture))
        other.load_state_dict(load_file(tmp_path / "net.safetensors"))
        for mine, back in zip(net.swap(dst), other.swap(dst), strict=True):
            assert torch.equal(mine, back)


@pytest.mark.parametrize("architecture", ALL_BUT_SAMPLES_SLOW)
def test_every_architecture_exports_what_it_computes(architecture, tmp_path):
    """onnxruntime's answer from the file is torch's; test_export.py looks closer, at a few."""
    crops = images(1).permute(0, 2, 3, 1).numpy()
    path = tmp_path / "net.dfm"
    assert export_dfm(lively(architecture), tiny(architecture), ModelRecord(), path, crops) < 1e-5


@pytest.mark.parametrize("architecture", FAMILY_SAMPLES)
def test_the_swap_beside_a_reconstruction_trains_the_decoder_alone(architecture):
    """It is what swap() makes, costs no second look of the encoder, and stops at the code."""
    net = fresh(architecture)
    src, dst = images(2), images(1, seed=1)
    looks = []
    net.encoder.register_forward_hook(lambda *_: looks.append(1))
    made = net(src, dst, with_swap=True)
    assert len(looks) == 1
    assert made.src_dst is not None
    assert made.src_dst_mask is not None
    with torch.no_grad():
        swap, plain = net.swap(dst), net(src, dst)
    torch.testing.assert_close(made.src_dst, swap.src_dst)
    torch.testing.assert_close(made.src_dst_mask, swap.src_dst_mask)
    assert plain.src_dst is None
    for with_swap, without in zip(made[:6], plain[:6], strict=True):
        torch.testing.assert_close(with_swap, without)
    made.src_dst.sum().backward()
    moved = {
        name.split(".")[0]
        for name, p in net.named_parameters()
        if p.grad is not None and p.grad.any()
    }
    assert {"decoder_src" if architecture.startswith("df") else "decoder"} == moved


@pytest.mark.parametrize("architecture", FAMILY_SAMPLES)
def test_the_codes_are_what_the_decoder_got_and_lead_back_to_the_encoder(architecture):
    """So a critic of codes can pull at the encoder, and at nothing behind the code."""
    net = fresh(architecture)
    made = net(images(2), images(1, seed=1))
    decoder_src, decoder_dst = decoders(net)
    torch.testing.assert_close(decoder_src.face(made.code_src), made.src_src)
    torch.testing.assert_close(decoder_dst.face(made.code_dst), made.dst_dst)
    made.code_src.square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in net.encoder.parameters())
    assert all(p.grad is None for p in decoder_src.parameters())


@pytest.mark.parametrize("architecture", ["df", "df-ud", "df-t", "df-td"])
def test_the_inter_knows_the_shape_of_its_code(architecture):
    """A critic of codes is built before there is one."""
    net = fresh(architecture)
    assert isinstance(net, DF)
    with torch.no_grad():
        code = net(images(1), images(1)).code_src
    side = net.inter.out_side
    assert (1, net.inter.out_dims, side, side) == code.shape


@pytest.mark.parametrize(
    ("architecture", "inters"),
    [
        ("df-ud", ["inter"]),
        ("liae-ud", ["inter_ab", "inter_b"]),
        ("amp", ["inter_src", "inter_dst"]),
    ],
)
def test_resetting_the_inters_leaves_the_rest_as_it_was(architecture, inters):
    """New Glorot weights from torch's generator and zero biases there, nothing elsewhere."""
    net = lively(architecture)
    before = {name: p.clone() for name, p in net.named_parameters()}
    torch.manual_seed(5)
    reset_inters(net)
    first = {name: p.clone() for name, p in net.named_parameters()}
    changed = {name.split(".")[0] for name, p in first.items() if not torch.equal(p, before[name])}
    assert set(inters) == changed
    for name, p in first.items():
        if name.split(".")[0] in inters:
            assert not torch.equal(p, before[name])
            assert name.endswith("bias") == (not p.any())
            if p.ndim == 2:
                limit = (6 / sum(p.shape)) ** 0.5
                assert 0.99 * limit < p.abs().max() <= limit
    torch.manual_seed(5)
    reset_inters(net)
    assert all(torch.equal(p, first[name]) for name, p in net.named_parameters())


def gradients_and_saved_bytes(net, src, dst) -> tuple[list[torch.Tensor], int]:
    """Of one step; bytes in storages that live until backward, the weights left out."""
    weights = {p.untyped_storage().data_ptr() for p in net.parameters()}
    saved: dict[int, torch.UntypedStorage] = {}  # holding them, so that no address serves twice

    def pack(x: torch.Tensor) -> torch.Tensor:
        storage = x.untyped_storage()
        if storage.data_ptr() not in weights:
            saved[storage.data_ptr()] = storage
        return x

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        made = net(src, dst, with_swap=True)
        loss = torch.stack([x.square().mean() for x in made if x is not None]).sum()
    size = sum(storage.nbytes() for storage in saved.values())
    net.zero_grad(set_to_none=True)
    loss.backward()
    return [p.grad for p in net.parameters() if p.grad is not None], size


@pytest.mark.parametrize("architecture", ["df-ud", "liae-udtc", "amp"])
def test_checkpointing_keeps_the_gradient_and_saves_memory(architecture):
    """Bit by bit the same gradient from less than three fifths of the activations; off again."""
    net = fresh(architecture)
    src, dst = images(2), images(2, seed=1)
    plain, plain_size = gradients_and_saved_bytes(net, src, dst)
    set_checkpointing(net, True)
    frugal, frugal_size = gradients_and_saved_bytes(net, src, dst)
    assert frugal_size < 0.6 * plain_size
    assert len(list(net.parameters())) == len(plain)
    for mine, theirs in zip(plain, frugal, strict=True):
        assert torch.equal(mine, theirs)
    set_checkpointing(net, False)
    assert plain_size == gradients_and_saved_bytes(net, src, dst)[1]


@pytest.mark.parametrize("architecture", ["df-ud", "liae-ud"])
def test_swapping_src_itself_is_its_reconstruction(architecture):
    """swap() runs src's path on whatever comes in, so on src both paths agree."""
    torch.manual_seed(0)
    net = build(tiny(architecture))
    src, dst = torch.rand(1, 3, 64, 64), torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        rebuilt, swapped_src, swapped = net.reconstruct(src, dst), net.swap(src), net.swap(dst)
    torch.testing.assert_close(swapped_src.src_dst, rebuilt.src_src)
    torch.testing.assert_close(swapped_src.src_dst_mask, rebuilt.src_src_mask)
    torch.testing.assert_close(swapped.dst_dst_mask, rebuilt.dst_dst_mask)
    assert not torch.allclose(swapped.src_dst, rebuilt.dst_dst, atol=1e-3)


def test_liae_tells_src_by_the_shared_code_alone():
    """inter_b is dst's own: changing it moves dst's reconstruction and leaves src and swap."""
    torch.manual_seed(0)
    net = build(tiny("liae-ud"))
    assert isinstance(net, LIAE)
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        before = net.reconstruct(image, image)
        net.inter_b.spread.bias.add_(1.0)
        after = net.reconstruct(image, image)
    torch.testing.assert_close(after.src_src, before.src_src, rtol=0, atol=0)
    assert not torch.allclose(after.dst_dst, before.dst_dst)


def test_weights_start_glorot_uniform_with_zero_biases():
    """Limit sqrt(6 / (fan_in + fan_out)), as TensorFlow's default."""
    torch.manual_seed(0)
    net = build(tiny("df-ud"))
    weight = dict(net.named_parameters())["encoder.layers.1.conv.weight"]  # 5x5, 16 to 32
    limit = np.sqrt(6 / (25 * 16 + 25 * 32))
    assert weight.abs().max() <= limit
    assert weight.abs().max() > 0.99 * limit
    assert all(not p.any() for name, p in net.named_parameters() if name.endswith("bias"))


def test_depth_to_space_counts_channels_as_tensorflow_does():
    """Channel (2*row + column)*C + c of a cell becomes pixel (row, column) of channel c."""
    x = torch.arange(2 * 8 * 2 * 3, dtype=torch.float32).reshape(2, 8, 2, 3)
    expected = torch.empty(2, 2, 4, 6)
    for row in range(2):
        for column in range(2):
            for c in range(2):
                expected[:, c, row::2, column::2] = x[:, (2 * row + column) * 2 + c]
    assert torch.equal(expected, depth_to_space(x))
    last = depth_to_space(x.contiguous(memory_format=torch.channels_last))
    assert torch.equal(expected, last)
    assert last.is_contiguous(memory_format=torch.channels_last)


def test_rms_normalize_sets_the_mean_square_to_one():
    """Per sample, and an all-zero code stays zero instead of becoming NaN."""
    x = torch.stack([torch.randn(500) * 40, torch.zeros(500)])
    y = rms_normalize(x)
    torch.testing.assert_close(y.square().mean(dim=1), torch.tensor([1.0, 0.0]))


def test_channels_last_and_autocast_give_the_same_face():
    """Memory order changes rounding only; bf16 stays within a few grey levels of 255."""
    torch.manual_seed(0)
    net = build(tiny("liae-ud"))
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        plain = net.swap(image).src_dst
        net.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        last = net.swap(image.contiguous(memory_format=torch.channels_last)).src_dst
        with torch.autocast("cpu", torch.bfloat16):
            half = net.swap(image).src_dst
    torch.testing.assert_close(last, plain, rtol=0, atol=1e-5)
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, plain, rtol=0, atol=0.01)


@pytest.mark.parametrize(
    ("architecture", "resolution", "words"),
    [
        ("cae", 128, ["cae", "df", "liae", "amp"]),
        ("amp-u", 128, ["amp-u", "takes none", "write amp"]),
        ("amp", 144, ["144", "multiple of 32", "128"]),
        ("df-ux", 128, ["'x'", "u, d, t, c"]),
        ("df-uu", 128, ["df-uu", "once"]),
        ("df-", 128, ["df-", "once"]),
        ("df-ud", 100, ["100", "multiple of 32", "64 to 640", "96"]),
        ("df-t", 144, ["144", "multiple of 32"]),
        ("df", 32, ["32", "64"]),
        ("df", 656, ["656", "640"]),
    ],
)
def test_a_wrong_spec_is_refused_by_name(architecture, resolution, words):
    """The message holds the value, the limits and something that works."""
    with pytest.raises(ParameterError) as caught:
        build(tiny(architecture, resolution))
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize("name", DIMS)
def test_dims_outside_their_range_are_refused(name):
    """Each dim names itself and both limits."""
    low, high = DIMS[name]
    for value in (low - 1, high + 1):
        values = {"ae_dims": 32, "e_dims": 16, "d_dims": 16, "d_mask_dims": 16, name: value}
        with pytest.raises(ParameterError, match=f"{name} is {value}.*{low} to {high}"):
            check_spec(ModelSpec("df-ud", 128, FaceType.FULL, **values))


def test_resolutions_without_d_and_t_are_multiples_of_16():
    """144 px suits df-u and not df-ud."""
    check_spec(tiny("df-u", 144))
    with pytest.raises(ParameterError):
        check_spec(tiny("df-ud", 144))
