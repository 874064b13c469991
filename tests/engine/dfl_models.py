"""DeepFaceLab's networks in plain numpy, and its model files: the reference for the import.

Written from its architecture alone: kernels (kh, kw, in, out), images (N, H, W, C) BGR, float64.
Nothing of the engine's networks or converters is used.
"""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Arrays = dict[str, np.ndarray]


class Maker:
    """Random weights in DeepFaceLab's shapes, float32 like its files."""

    def __init__(self, seed: int = 0, gain: float = 1.4) -> None:
        self.rng = np.random.default_rng(seed)
        self.gain = gain  # 1.4 keeps the numbers of one layer as large as the last one's
        self.arrays: Arrays = {}

    def layer(self, path: str, *shape: int) -> None:
        bias = shape[2] if path.startswith("upconvs") else shape[-1]
        fan = np.prod(shape[:-1])
        gain = 0.4 if path.startswith("out_conv") else self.gain  # outputs off 0 and 1
        spread = gain / np.sqrt(fan)
        self.arrays[f"{path}/weight:0"] = self.rng.normal(0, spread, shape).astype(np.float32)
        self.arrays[f"{path}/bias:0"] = self.rng.normal(0, 0.2, bias).astype(np.float32)


def make_encoder(m: Maker, e: int, t: bool) -> None:
    if not t:
        for i, (a, b) in enumerate([(3, e), (e, 2 * e), (2 * e, 4 * e), (4 * e, 8 * e)]):
            m.layer(f"down1/downs_{i}/conv1", 5, 5, a, b)
        return
    widths = [3, e, 2 * e, 4 * e, 8 * e, 8 * e]
    for i in range(5):
        m.layer(f"down{i + 1}/conv1", 5, 5, widths[i], widths[i + 1])
    for name, c in (("res1", e), ("res5", 8 * e)):
        m.layer(f"{name}/conv1", 3, 3, c, c)
        m.layer(f"{name}/conv2", 3, 3, c, c)


def make_decoder(m: Maker, c: int, d: int, mask: int, t: bool, doubled: bool) -> None:
    face = [c, 8 * d, 8 * d, 4 * d, 2 * d] if t else [c, 8 * d, 4 * d, 2 * d]
    masks = [c, 8 * mask, 8 * mask, 4 * mask, 2 * mask] if t else [c, 8 * mask, 4 * mask, 2 * mask]
    masks += [mask] if doubled else []
    for i in range(len(face) - 1):
        m.layer(f"upscale{i}/conv1", 3, 3, face[i], 4 * face[i + 1])
        m.layer(f"res{i}/conv1", 3, 3, face[i + 1], face[i + 1])
        m.layer(f"res{i}/conv2", 3, 3, face[i + 1], face[i + 1])
    for i in range(len(masks) - 1):
        m.layer(f"upscalem{i}/conv1", 3, 3, masks[i], 4 * masks[i + 1])
    m.layer("out_conv", 1, 1, 2 * d, 3)
    if doubled:
        for i in (1, 2, 3):
            m.layer(f"out_conv{i}", 3, 3, 2 * d, 3)
    m.layer("out_convm", 1, 1, masks[-1], 1)


class Reference:
    """A model of random weights: `files` as DeepFaceLab saves them, and what they compute."""

    def __init__(self, archi: str, r: int, a: int, e: int, d: int, m: int, inter: int = 0) -> None:
        family, _, letters = archi.partition("-")
        self.family, self.r, self.a, self.inter = family, r, a, inter
        if family == "amp":
            letters = "udt"
        self.u, self.d, self.t, self.c = (letter in letters for letter in "udtc")
        self.side = r // 32 if self.d else r // 16
        flat = (r // (32 if self.t else 16)) ** 2 * 8 * e
        self.files: dict[str, Arrays] = {}
        self._new("encoder", 1, lambda k: make_encoder(k, e, self.t))
        if family == "amp":
            extra = Maker(9)
            extra.layer("dense1", flat, a)
            self.files["encoder"] |= extra.arrays
            for seed, name in ((2, "inter_src"), (3, "inter_dst")):
                self._new(name, seed, lambda k: k.layer("dense2", a, self.side**2 * inter))
            decoders, width = ["decoder"], inter
        else:
            out = 2 * a if family == "liae" else a
            self.out = out
            inters = ["inter_AB", "inter_B"] if family == "liae" else ["inter"]
            for seed, name in enumerate(inters, start=2):
                self._new(name, seed, lambda k: self._make_inter(k, flat, out))
            decoders = ["decoder"] if family == "liae" else ["decoder_src", "decoder_dst"]
            width = 2 * out if family == "liae" else out
        for seed, name in enumerate(decoders, start=5):
            self._new(name, seed, lambda k: make_decoder(k, width, d, m, self.t, self.d))

    def _new(self, name: str, seed: int, make: Callable[[Maker], None]) -> None:
        # x*cos(x) is steeper the larger x is: a deep net of it would blow every rounding up
        maker = Maker(seed, gain=1.0 if self.c else 1.4)
        make(maker)
        self.files[name] = maker.arrays

    def _make_inter(self, k: Maker, flat: int, out: int) -> None:
        k.layer("dense1", flat, self.a)
        k.layer("dense2", self.a, self.side**2 * out)
        if not self.t:
            k.layer("upscale1/conv1", 3, 3, out, 4 * out)

    # the forward pass

    def act(self, x: np.ndarray, slope: float) -> np.ndarray:
        return x * np.cos(x) if self.c else np.where(x > 0, x, slope * x)

    def conv(self, net: str, path: str, x: np.ndarray, stride: int = 1) -> np.ndarray:
        weight = self.files[net][f"{path}/weight:0"].astype(np.float64)
        return convolve(x, weight, stride) + self.files[net][f"{path}/bias:0"]

    def dense(self, net: str, path: str, x: np.ndarray) -> np.ndarray:
        return (
            x @ self.files[net][f"{path}/weight:0"].astype(np.float64)
            + (self.files[net][f"{path}/bias:0"])
        )

    def res(self, net: str, path: str, x: np.ndarray) -> np.ndarray:
        y = self.act(self.conv(net, f"{path}/conv1", x), 0.2)
        return self.act(self.conv(net, f"{path}/conv2", y) + x, 0.2)

    def up(self, net: str, path: str, x: np.ndarray) -> np.ndarray:
        return depth_to_space(self.act(self.conv(net, f"{path}/conv1", x), 0.1))

    def encode(self, x: np.ndarray) -> np.ndarray:
        def down(x: np.ndarray, path: str) -> np.ndarray:
            return self.act(self.conv("encoder", path, x, stride=2), 0.1)

        if self.t:
            x = self.res("encoder", "res1", down(x, "down1/conv1"))
            for i in range(2, 6):
                x = down(x, f"down{i}/conv1")
            x = self.res("encoder", "res5", x)
        else:
            for i in range(4):
                x = down(x, f"down1/downs_{i}/conv1")
        x = x.transpose(0, 3, 1, 2).reshape(len(x), -1)  # channel-major
        if self.u:
            x = x / np.sqrt((x**2).mean(axis=1, keepdims=True) + 1e-6)
        return self.dense("encoder", "dense1", x) if self.family == "amp" else x

    def code(self, net: str, x: np.ndarray) -> np.ndarray:
        if self.family == "amp":
            x, width = self.dense(net, "dense2", x), self.inter
        else:
            x, width = self.dense(net, "dense2", self.dense(net, "dense1", x)), self.out
        x = x.reshape(len(x), width, self.side, self.side).transpose(0, 2, 3, 1)
        return x if self.t else self.up(net, "upscale1", x)

    def decode(self, net: str, code: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        x = mask = code
        for i in range(4 if self.t else 3):
            x = self.res(net, f"res{i}", self.up(net, f"upscale{i}", x))
        heads = ["out_conv", "out_conv1", "out_conv2", "out_conv3"] if self.d else ["out_conv"]
        face = np.concatenate([self.conv(net, head, x) for head in heads], axis=-1)
        face = depth_to_space(face) if self.d else face
        for i in range((4 if self.t else 3) + self.d):
            mask = self.up(net, f"upscalem{i}", mask)
        return sigmoid(face), sigmoid(self.conv(net, "out_convm", mask))

    def src_src(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        code = self.encode(x)
        if self.family == "df":
            return self.decode("decoder_src", self.code("inter", code))
        if self.family == "amp":
            return self.decode("decoder", self.code("inter_src", code))
        ab = self.code("inter_AB", code)
        return self.decode("decoder", np.concatenate([ab, ab], axis=-1))

    def dst_dst(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        code = self.encode(x)
        if self.family == "df":
            return self.decode("decoder_dst", self.code("inter", code))
        if self.family == "amp":
            return self.decode("decoder", self.code("inter_dst", code))
        ab, b = self.code("inter_AB", code), self.code("inter_B", code)
        return self.decode("decoder", np.concatenate([b, ab], axis=-1))

    def swap(self, x: np.ndarray, morph: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
        """dst with src's face. df and liae: dst's code the way src's goes."""
        if self.family != "amp":
            return self.src_src(x)
        code = self.encode(x)
        mixed = self.code("inter_dst", code)
        count = int(self.inter * morph)
        mixed[..., :count] = self.code("inter_src", code)[..., :count]
        return self.decode("decoder", mixed)


def convolve(x: np.ndarray, weight: np.ndarray, stride: int) -> np.ndarray:
    """Symmetric zero padding of k // 2, then VALID; x (N, H, W, in), weight (kh, kw, in, out)."""
    kh, kw = weight.shape[:2]
    x = np.pad(x, [(0, 0), (kh // 2, kh // 2), (kw // 2, kw // 2), (0, 0)])
    height, width = (x.shape[1] - kh) // stride + 1, (x.shape[2] - kw) // stride + 1
    rows, columns = stride * (height - 1) + 1, stride * (width - 1) + 1
    taps = [
        x[:, i : i + rows : stride, j : j + columns : stride] @ weight[i, j]
        for i in range(kh)
        for j in range(kw)
    ]
    return np.sum(taps, axis=0)


def convolve_transposed(x: np.ndarray, weight: np.ndarray, stride: int) -> np.ndarray:
    """TF's SAME: the gradient of a SAME convolution. weight (kh, kw, out, in)."""
    n, h, w, _ = x.shape
    kh, kw, out, _ = weight.shape
    full = np.zeros((n, h * stride + kh, w * stride + kw, out))
    for i in range(kh):
        for j in range(kw):
            full[:, i : i + h * stride : stride, j : j + w * stride : stride] += x @ weight[i, j].T
    total = kh - stride if kh > stride else 0  # what SAME pads on both sides together
    before = total // 2
    return full[:, before : before + h * stride, before : before + w * stride]


def depth_to_space(x: np.ndarray) -> np.ndarray:
    n, h, w, c = x.shape
    x = x.reshape(n, h, w, 2, 2, c // 4).transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(n, 2 * h, 2 * w, c // 4)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


SAEHD_OPTIONS: dict[str, Any] = {
    "resolution": 64, "face_type": "wf", "models_opt_on_gpu": True, "archi": "df-ud",
    "ae_dims": 32, "e_dims": 16, "d_dims": 16, "d_mask_dims": 16, "masked_training": True,
    "eyes_mouth_prio": False, "uniform_yaw": False, "blur_out_mask": False, "adabelief": True,
    "lr_dropout": "n", "random_warp": True, "random_hsv_power": 0.0, "true_face_power": 0.0,
    "face_style_power": 0.0, "bg_style_power": 0.0, "ct_mode": "none", "clipgrad": False,
    "pretrain": False, "autobackup_hour": 0, "write_preview_history": False, "target_iter": 0,
    "random_src_flip": False, "random_dst_flip": True, "batch_size": 2, "gan_power": 0.0,
    "gan_patch_size": 8, "gan_dims": 16,
}  # fmt: skip


def write_model(
    folder: Path,
    prefix: str,
    files: dict[str, Arrays],
    options: dict[str, Any],
    iteration: int = 1000,
    **data: Any,
) -> None:
    """The model's files as DeepFaceLab saves them: pickles of protocol 4."""
    folder.mkdir(parents=True, exist_ok=True)
    losses = [[3.0 / (i + 1), 2.0 / (i + 1)] for i in range(iteration)]
    values = {
        "iter": iteration, "options": options, "loss_history": losses,
        "sample_for_preview": None, "choosed_gpu_indexes": None, **data,
    }  # fmt: skip
    (folder / f"{prefix}_data.dat").write_bytes(pickle.dumps(values, 4))
    for name, arrays in files.items():
        (folder / f"{prefix}_{name}.npy").write_bytes(pickle.dumps(arrays, 4))


def optimizer_file(files: dict[str, Arrays], states: tuple[str, ...], scope: str = "") -> Arrays:
    """What an optimizer of these networks saves: each number tells its place by its value."""
    rng = np.random.default_rng(4)
    arrays: Arrays = {"iters:0": np.int64(1000)}  # pyright: ignore[reportAssignmentType]
    for network, weights in files.items():
        for key, array in weights.items():
            name = key.replace(":", "_")
            for state in states:
                values = rng.random(array.shape, np.float32)
                arrays[f"{state}_{scope or network}/{name}:0"] = values
    return arrays
