"""The family amp: which channels come from whom, in training, in the swap and in the file."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from facegraft.errors import FutureVersion, ParameterError
from facegraft.inference import SwapModel
from facegraft.model_spec import SPEC_VERSION, FaceType, ModelRecord, ModelSpec
from facegraft.models.amp import AMP, channels_of_src, draw_morph_mask
from facegraft.models.build import INTER_DIMS as LIMITS
from facegraft.models.build import build, check_spec
from facegraft.models.export import export_dfm
from tests.engine.tiny_nets import INTER_DIMS, fresh, images, lively, tiny


def amp(make=fresh) -> AMP:
    net = make("amp")
    assert isinstance(net, AMP)
    return net


def test_parameter_counts_follow_from_those_of_deepfacelabs_parts():
    """Its defaults, 224 px: liae-udt's encoder, whose size no resolution changes, and its decoder,
    which 256 ae dims give the same 1024 channels; the dense layers by hand.
    """
    with torch.device("meta"):
        net = build(ModelSpec("amp", 224, FaceType.WHOLE_FACE, 256, 64, 64, 22, 1024))
    found = {name: sum(p.numel() for p in m.parameters()) for name, m in net.named_children()}
    cells = 7 * 7  # 224 / 32
    inter = (256 + 1) * cells * 1024
    expected = {
        "encoder": 15654144,
        "squeeze": (cells * 8 * 64 + 1) * 256,
        "inter_src": inter,
        "inter_dst": inter,
        "decoder": 53477803,
    }
    assert expected == found


def test_a_morph_mask_has_the_same_number_of_channels_for_every_face():
    """Exactly int(dims * factor), other ones for each face, all channels equally often."""
    mask = draw_morph_mask(4000, 50, 0.33, torch.Generator().manual_seed(1))
    assert torch.bool == mask.dtype
    assert {16} == set(mask.sum(dim=1).tolist())
    assert len({tuple(row) for row in mask.tolist()}) > 3990
    share = mask.float().mean(dim=0)
    # a binomial share of 4000 draws lies within five deviations of 0.32
    assert (share - 16 / 50).abs().max() < 5 * (0.32 * 0.68 / 4000) ** 0.5


def test_a_morph_mask_is_a_function_of_its_generator():
    """Equal seeds draw equal masks, so that a run can go on where it stopped."""
    first, again, other = (
        draw_morph_mask(3, 64, 0.5, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_src_takes_the_masked_channels_from_its_own_inter():
    """Channel by channel and face by face; dst takes all of them from dst's."""
    net = amp()
    src, dst = images(2), images(1, seed=1)
    morph = draw_morph_mask(2, INTER_DIMS, 0.5, torch.Generator().manual_seed(0))
    with torch.no_grad():
        made = net(src, dst, morph=morph)
        code = net.squeeze(net.encoder(torch.cat([src, dst])))
        own, other = net.inter_src(code), net.inter_dst(code)
    for face in range(2):
        for channel in range(INTER_DIMS):
            source = own if morph[face, channel] else other
            torch.testing.assert_close(made.code_src[face, channel], source[face, channel])
    torch.testing.assert_close(made.code_dst, other[2:])


def test_both_inters_are_trained():
    """src's through the channels it was given and no others, dst's through all."""
    net = amp()
    morph = torch.zeros(1, INTER_DIMS, dtype=torch.bool)
    morph[0, ::2] = True
    made = net(images(1), images(1, seed=1), morph=morph)
    (made.src_src.square().mean() + made.dst_dst.square().mean()).backward()
    cells = net.inter_src.spread.out_features // INTER_DIMS
    for inter, given in ((net.inter_src, morph[0]), (net.inter_dst, torch.ones_like(morph[0]))):
        assert inter.spread.weight.grad is not None
        moved = inter.spread.weight.grad.reshape(INTER_DIMS, cells, -1).abs().sum(dim=(1, 2)) > 0
        assert torch.equal(given, moved)


def test_the_ends_of_the_morph_are_the_two_reconstructions():
    """On one picture: 0 draws it as dst, 1 as src; the default is 1; dst's mask never changes."""
    net = amp(lively)
    image = images(2)
    with torch.no_grad():
        made = net(image, image)
        as_dst, as_src, default = net.swap(image, 0.0), net.swap(image, 1.0), net.swap(image)
    torch.testing.assert_close(as_dst.src_dst, made.dst_dst)
    torch.testing.assert_close(as_src.src_dst, made.src_src)
    torch.testing.assert_close(as_src.src_dst_mask, made.src_src_mask)
    assert torch.equal(as_src.src_dst, default.src_dst)
    for swap in (as_dst, as_src):
        torch.testing.assert_close(swap.dst_dst_mask, made.dst_dst_mask)
    assert not torch.allclose(as_dst.src_dst, as_src.src_dst, atol=1e-2)


@pytest.mark.parametrize("dims", [32, 33, 100, 1000, 2048])
def test_src_has_the_first_channels_up_to_the_morph_value(dims):
    """int(dims * value) of them, counted in float32 as in the file, at every thousandth."""
    for value in torch.arange(1001, dtype=torch.float32) / 1000:
        count = int(np.float32(dims) * value.numpy())
        expected = torch.arange(dims) < count
        assert torch.equal(expected, channels_of_src(dims, value[None])), value
    assert channels_of_src(dims, torch.ones(1)).all()
    assert not channels_of_src(dims, torch.zeros(1)).any()


def test_a_swap_between_the_ends_joins_the_two_codes():
    """At 0.4 of 32 channels the first 12 are src's; a number and a tensor mean the same."""
    net, image = amp(lively), images(1)
    with torch.no_grad():
        code = net.squeeze(net.encoder(image))
        joined = torch.cat([net.inter_src(code)[:, :12], net.inter_dst(code)[:, 12:]], dim=1)
        face, mask = net.decoder(joined)
        by_number, by_tensor = net.swap(image, 0.4), net.swap(image, torch.tensor([0.4]))
    torch.testing.assert_close(by_number.src_dst, face)
    torch.testing.assert_close(by_number.src_dst_mask, mask)
    assert torch.equal(by_number.src_dst, by_tensor.src_dst)


@pytest.fixture(scope="module")
def exported(tmp_path_factory) -> tuple[Path, float]:
    path = tmp_path_factory.mktemp("amp") / "ada.dfm"
    crops = images(2).permute(0, 2, 3, 1).numpy()
    return path, export_dfm(lively("amp"), tiny("amp"), ModelRecord(), path, crops)


def test_the_file_declares_the_morph_value_second(exported):
    """Name, type and shape as every reader wants them; outputs as in the other families."""
    model = onnx.load(str(exported[0]))
    inputs = [
        (v.name, v.type.tensor_type.elem_type, [d.dim_param or d.dim_value for d in dims])
        for v in model.graph.input
        for dims in [v.type.tensor_type.shape.dim]
    ]
    assert [
        ("in_face:0", onnx.TensorProto.FLOAT, ["batch", 64, 64, 3]),
        ("morph_value:0", onnx.TensorProto.FLOAT, [1]),
    ] == inputs
    assert ["out_face_mask:0", "out_celeb_face:0", "out_celeb_face_mask:0"] == [
        v.name for v in model.graph.output
    ]
    assert [("", 12)] == [(o.domain, o.version) for o in model.opset_import]
    onnx.checker.check_model(model, full_check=True)


def test_the_file_morphs_as_the_network_does(exported):
    """Through SwapModel, for a batch, at both ends and between; the value moves the face."""
    path, difference = exported
    assert difference < 1e-5
    model, net, faces = SwapModel.open(path), amp(lively), images(2)
    assert model.has_morph
    assert tiny("amp") == model.spec
    made = []
    for value in (0.0, 0.25, 0.5, 0.97, 1.0):
        predictions = model.predict_batch(faces.permute(0, 2, 3, 1).numpy(), value)
        with torch.no_grad():
            want = net.swap(faces, value)
        for i, got in enumerate(predictions):
            np.testing.assert_allclose(got.face, want.src_dst[i].permute(1, 2, 0), atol=1e-5)
            np.testing.assert_allclose(got.mask, want.src_dst_mask[i, 0], atol=1e-5)
            np.testing.assert_allclose(got.dst_mask, want.dst_dst_mask[i, 0], atol=1e-5)
        made.append(predictions[0].face)
    assert all(np.abs(a - b).max() > 0.01 for a, b in zip(made, made[1:], strict=False))


def test_a_spec_with_morph_dims_comes_back_from_json():
    """In the version that knows them."""
    spec = tiny("amp")
    assert 2 == json.loads(spec.to_json())["version"]
    assert spec == ModelSpec.from_json(spec.to_json())


def test_a_spec_of_version_1_still_reads():
    """Files from before amp have no inter_dims, and none is meant."""
    text = (
        '{"version": 1, "architecture": "df-ud", "resolution": 64, "face_type": "full", '
        '"ae_dims": 32, "e_dims": 16, "d_dims": 16, "d_mask_dims": 16}'
    )
    assert tiny("df-ud") == ModelSpec.from_json(text)


def test_a_spec_of_a_newer_version_is_refused():
    """It may hold what this one does not know."""
    text = json.dumps({"version": SPEC_VERSION + 1, "architecture": "df-ud"})
    with pytest.raises(FutureVersion, match="update FaceGraft"):
        ModelSpec.from_json(text)


@pytest.mark.parametrize("value", [0, LIMITS[0] - 1, LIMITS[1] + 1])
def test_morph_dims_outside_their_range_are_refused(value):
    """Named with both limits."""
    with pytest.raises(ParameterError, match=rf"inter_dims is {value} for amp.*32 to 2048"):
        check_spec(ModelSpec("amp", 64, FaceType.FULL, 32, 16, 16, 16, value))


def test_morph_dims_are_refused_for_the_other_families():
    """They would have no effect."""
    with pytest.raises(ParameterError, match=r"inter_dims is 64 for df-ud.*amp's alone.*at 0"):
        check_spec(ModelSpec("df-ud", 64, FaceType.FULL, 32, 16, 16, 16, 64))
