"""XSeg computes here what DeepFaceLab computes, and takes over its weights."""

import pickle

import numpy as np
import pytest
import torch

from facegraft.dfl.xseg import convert_xseg, find_xseg, xseg_layers
from facegraft.errors import DflFormatError, ParameterError
from facegraft.model_spec import FaceType
from facegraft.models.mask_build import NETWORKS, build_mask_net
from facegraft.models.xseg import XSeg
from facegraft.training.mask_export import RunMasker, load_mask_net
from facegraft.training.mask_import import import_xseg
from facegraft.training.mask_params import MaskNetwork
from tests.engine.dfl_models import Arrays, convolve, convolve_transposed

BASE, SIDE, CODE = 2, 64, 512  # the smallest picture that six halvings leave a pixel of
CONVOLUTIONS = {  # path: channels in and out, in multiples of the base; in order
    "conv01": (0, 1), "conv02": (1, 1), "conv11": (1, 2), "conv12": (2, 2), "conv21": (2, 4),
    "conv22": (4, 4), "conv31": (4, 8), "conv32": (8, 8), "conv33": (8, 8), "conv41": (8, 8),
    "conv42": (8, 8), "conv43": (8, 8), "conv51": (8, 8), "conv52": (8, 8), "conv53": (8, 8),
    "uconv53": (12, 8), "uconv52": (8, 8), "uconv51": (8, 8), "uconv43": (12, 8),
    "uconv42": (8, 8), "uconv41": (8, 8), "uconv33": (12, 8), "uconv32": (8, 8),
    "uconv31": (8, 8), "uconv22": (8, 4), "uconv21": (4, 4), "uconv12": (4, 2), "uconv11": (2, 2),
    "uconv02": (2, 1), "uconv01": (1, 1),
}  # fmt: skip
RISES = {"up5": (8, 4), "up4": (8, 4), "up3": (8, 4), "up2": (8, 4), "up1": (4, 2), "up0": (2, 1)}
BLURS = ([1, 3, 3, 1], [1, 2, 1], [1, 1], [1, 1], [1, 1], [1, 1])


def random_arrays(base: int, code: int, side: int) -> Arrays:
    """Variables in DeepFaceLab's names and axes."""
    rng = np.random.default_rng(0)
    arrays: Arrays = {}

    def add(name: str, shape: tuple[int, ...], spread: float, middle: float = 0.0) -> None:
        arrays[name] = (middle + spread * rng.normal(size=shape)).astype(np.float32)

    def normed(path: str, shape: tuple[int, ...], out: int, fan: int) -> None:
        add(f"{path}/conv/weight", shape, 1.4 / np.sqrt(fan))
        add(f"{path}/conv/bias", (out,), 0.2)
        add(f"{path}/frn/weight", (out,), 0.2, 1.0)
        add(f"{path}/frn/bias", (out,), 0.2)
        add(f"{path}/frn/eps", (1,), 0.01)
        add(f"{path}/tlu/tau", (out,), 0.2)

    for path, (a, b) in CONVOLUTIONS.items():
        a, b = a * base or 3, b * base
        normed(path, (3, 3, a, b), b, 9 * a)
    for path, (a, b) in RISES.items():
        normed(path, (3, 3, b * base, a * base), b * base, 9 * a * base)
    flat = (side // 64) ** 2 * 8 * base
    for name, shape in (("dense1", (flat, code)), ("dense2", (code, flat))):
        add(f"{name}/weight", shape, 1 / np.sqrt(shape[0]))
        add(f"{name}/bias", (shape[1],), 0.2)
    add("out_conv/weight", (3, 3, base, 1), 0.3)
    add("out_conv/bias", (1,), 0.1)
    return arrays


def reference(arrays: Arrays, bgr: np.ndarray) -> np.ndarray:
    """(N, H, W, 3) BGR to (N, H, W, 1) logits, in float64."""

    def block(x: np.ndarray, path: str, up: bool = False) -> np.ndarray:
        weight, bias = arrays[f"{path}/conv/weight"], arrays[f"{path}/conv/bias"]
        x = (convolve_transposed(x, weight, 2) if up else convolve(x, weight, 1)) + bias
        power = np.square(x).mean(axis=(1, 2), keepdims=True)
        x = x / np.sqrt(power + np.abs(arrays[f"{path}/frn/eps"]))
        x = x * arrays[f"{path}/frn/weight"] + arrays[f"{path}/frn/bias"]
        return np.maximum(x, arrays[f"{path}/tlu/tau"])

    def halve(x: np.ndarray, taps: list[int]) -> np.ndarray:
        kernel = np.outer(taps, taps) / np.square(np.sum(taps))
        before, after = (len(taps) - 1) // 2, len(taps) // 2
        x = np.pad(x, ((0, 0), (before, after), (before, after), (0, 0)))
        size = (x.shape[1] - len(taps)) // 2 + 1
        rows = [[x[:, 2 * i : 2 * i + len(taps), 2 * j : 2 * j + len(taps)] for j in range(size)]
                for i in range(size)]  # fmt: skip
        return np.stack(
            [np.stack([np.einsum("nhwc,hw->nc", p, kernel) for p in row], 1) for row in rows], 1
        )

    x, skips = bgr.astype(np.float64), []
    for level, taps in enumerate(BLURS):
        for path in (p for p in CONVOLUTIONS if p.startswith(f"conv{level}")):
            x = block(x, path)
        skips.append(x)
        x = halve(x, taps)
    n, h, w, c = x.shape
    flat = x.transpose(0, 3, 1, 2).reshape(n, -1)  # channels first, as its flatten does
    flat = flat @ arrays["dense1/weight"] + arrays["dense1/bias"]
    flat = flat @ arrays["dense2/weight"] + arrays["dense2/bias"]
    x = flat.reshape(n, c, h, w).transpose(0, 2, 3, 1)
    for level in range(5, -1, -1):
        x = np.concatenate([block(x, f"up{level}", up=True), skips[level]], axis=-1)
        for path in (p for p in CONVOLUTIONS if p.startswith(f"uconv{level}")):
            x = block(x, path)
    return convolve(x, arrays["out_conv/weight"], 1) + arrays["out_conv/bias"]


def shapes_of(net: torch.nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in net.named_parameters()}


def test_xseg_has_as_many_parameters_as_deepfacelabs():
    with torch.device("meta"):
        assert 17_569_317 == sum(p.numel() for p in XSeg().parameters())


def test_deepfacelabs_weights_compute_here_what_they_compute_there():
    arrays = random_arrays(BASE, CODE, SIDE)
    net = XSeg(SIDE, BASE).eval()
    weights = convert_xseg(arrays, shapes_of(net), "x")
    net.load_state_dict({k: torch.from_numpy(v) for k, v in weights.items()})
    bgr = np.random.default_rng(1).random((2, SIDE, SIDE, 3)).astype(np.float32)
    rgb = torch.from_numpy(np.ascontiguousarray(bgr[..., ::-1].transpose(0, 3, 1, 2)))
    with torch.no_grad():
        got = net(rgb).permute(0, 2, 3, 1).numpy()
    np.testing.assert_allclose(got, reference(arrays, bgr), atol=2e-4)


def test_every_parameter_comes_from_the_file():
    with torch.device("meta"):
        net = XSeg()
    taken = {f"{layer.name}.{part}" for layer in xseg_layers() for part in ("weight", "bias")}
    norms = {name for name in shapes_of(net) if ".norm." in name}
    assert set(shapes_of(net)) == taken | norms
    assert len(norms) == 4 * (len(CONVOLUTIONS) + len(RISES))


@pytest.mark.parametrize("missing", ["conv33/frn/eps", "uconv02/tlu/tau", "dense2/bias"])
def test_a_file_that_lacks_a_variable_is_refused_by_its_name(missing):
    arrays = random_arrays(BASE, CODE, SIDE)
    del arrays[missing]
    with pytest.raises(DflFormatError, match=missing):
        convert_xseg(arrays, shapes_of(XSeg(SIDE, BASE)), "x")


def test_a_folder_with_no_or_two_networks_says_what_it_holds(tmp_path):
    with pytest.raises(DflFormatError, match="none"):
        find_xseg(tmp_path)
    for name in ("a_XSeg_256.npy", "a_XSeg_256_opt.npy"):
        (tmp_path / name).touch()
    assert tmp_path / "a_XSeg_256.npy" == find_xseg(tmp_path)
    (tmp_path / "b_XSeg_256.npy").touch()
    with pytest.raises(DflFormatError, match="a_XSeg_256.npy, b_XSeg_256.npy"):
        find_xseg(tmp_path)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_mask_network_answers_each_pixel_and_learns_in_all_of_its_weights(name):
    net = build_mask_net(name, 64)
    logits = net(torch.rand(2, 3, 64, 64))
    assert (2, 1, 64, 64) == tuple(logits.shape)
    logits.square().sum().backward()
    silent = [n for n, p in net.named_parameters() if p.grad is None or not p.grad.abs().sum()]
    assert [] == silent


@pytest.mark.slow
def test_an_imported_network_is_a_run_that_apply_and_export_take(tmp_path):
    arrays = random_arrays(32, CODE, 256)
    path = tmp_path / "XSeg_256.npy"
    path.write_bytes(pickle.dumps({f"{name}:0": array for name, array in arrays.items()}, 4))
    assert path == import_xseg(tmp_path, tmp_path / "run", FaceType.HEAD)
    net, checkpoint = load_mask_net(tmp_path / "run", print)
    assert (MaskNetwork.XSEG, 0) == (checkpoint.params.network, checkpoint.iteration)
    weights = convert_xseg(arrays, shapes_of(net), "x")
    for name, value in net.named_parameters():
        np.testing.assert_array_equal(value.detach(), weights[name])
    masker = RunMasker(tmp_path / "run", print)
    assert (256, FaceType.HEAD) == (masker.size, masker.face_type)
    with pytest.raises(ParameterError, match="holds a run already"):
        import_xseg(path, tmp_path / "run", FaceType.HEAD)
