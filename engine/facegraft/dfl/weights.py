"""DeepFaceLab's variables by the names, axes and colour order of our networks. Numpy only.

TensorFlow's axes: a convolution (kh, kw, in, out), a transposed one (kh, kw, out, in), a dense
layer (in, out); ours: (out, in, kh, kw), (in, out, kh, kw), (out, in). Its networks see and make
BGR, ours RGB: what reads pictures has its input channels reversed, what makes them its output
channels, with the option d in each of the four heads, since each makes whole pixels.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np

from facegraft.errors import DflFormatError
from facegraft.model_spec import ModelSpec

Arrays = Mapping[str, np.ndarray]
GAN, CODE = "GAN", "code_discriminator"  # files of the discriminators


class Kind(Enum):
    CONV = (3, 2, 0, 1)  # the value is how weights are transposed; transposed ones by the same
    DENSE = (1, 0)


class Bgr(Enum):
    NONE = None
    IN = 1  # the value is the axis of our weights that counts B, G, R
    OUT = 0


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer with weight and bias."""

    network: str  # DeepFaceLab's name of the network, and of its file
    path: str  # the layer in it, "down1/downs_0/conv1"
    name: str  # ours, "encoder.layers.0.conv"
    kind: Kind = Kind.CONV
    bgr: Bgr = Bgr.NONE


def network_layers(spec: ModelSpec) -> list[Layer]:
    """Every layer of the autoencoder of a spec, network by network."""
    options = spec.options
    match spec.family:
        case "df":
            return [
                *_encoder(options),
                *_inter("inter", "inter", options),
                *_decoder("decoder_src", "decoder_src", options),
                *_decoder("decoder_dst", "decoder_dst", options),
            ]
        case "liae":
            return [
                *_encoder(options),
                *_inter("inter_AB", "inter_ab", options),
                *_inter("inter_B", "inter_b", options),
                *_decoder("decoder", "decoder", options),
            ]
        case _:  # amp: the dense layer between stands in the encoder's file
            return [
                *_encoder({"t"}),
                Layer("encoder", "dense1", "squeeze", Kind.DENSE),
                Layer("inter_src", "dense2", "inter_src.spread", Kind.DENSE),
                Layer("inter_dst", "dense2", "inter_dst.spread", Kind.DENSE),
                *_decoder("decoder", "decoder", {"t", "d"}),
            ]


def _encoder(options: Iterable[str]) -> list[Layer]:
    if "t" in options:
        paths = ["down1/conv1", "res1/", *(f"down{i}/conv1" for i in range(2, 6)), "res5/"]
    else:
        paths = [f"down1/downs_{i}/conv1" for i in range(4)]
    layers = []
    for i, path in enumerate(paths):
        name = f"encoder.layers.{i}"
        if path.endswith("/"):
            layers += [Layer("encoder", f"{path}conv{k}", f"{name}.conv{k}") for k in (1, 2)]
        else:
            bgr = Bgr.IN if i == 0 else Bgr.NONE
            layers.append(Layer("encoder", path, f"{name}.conv", bgr=bgr))
    return layers


def _inter(network: str, name: str, options: Iterable[str]) -> list[Layer]:
    layers = [
        Layer(network, "dense1", f"{name}.squeeze", Kind.DENSE),
        Layer(network, "dense2", f"{name}.spread", Kind.DENSE),
    ]
    if "t" not in options:
        layers.append(Layer(network, "upscale1/conv1", f"{name}.up.conv"))
    return layers


def _decoder(network: str, name: str, options: Iterable[str]) -> list[Layer]:
    steps = 4 if "t" in options else 3
    layers = []
    for i in range(steps):
        layers.append(Layer(network, f"upscale{i}/conv1", f"{name}.face_layers.{2 * i}.conv"))
        layers += [
            Layer(network, f"res{i}/conv{k}", f"{name}.face_layers.{2 * i + 1}.conv{k}")
            for k in (1, 2)
        ]
    for i in range(steps + ("d" in options)):
        layers.append(Layer(network, f"upscalem{i}/conv1", f"{name}.mask_layers.{i}.conv"))
    heads = ["out_conv", *(f"out_conv{i}" for i in (1, 2, 3) if "d" in options)]
    layers += [
        Layer(network, head, f"{name}.face_heads.{i}", bgr=Bgr.OUT) for i, head in enumerate(heads)
    ]
    return [*layers, Layer(network, "out_convm", f"{name}.mask_head")]


def gan_layers(count: int) -> list[Layer]:
    """The patch discriminator with `count` convolutions on its way down."""
    levels = range(count)
    return [
        Layer(GAN, "in_conv", "in_conv", bgr=Bgr.IN),
        *(Layer(GAN, f"convs_{i}", f"convs.{i}") for i in levels),
        *(Layer(GAN, f"upconvs_{i}", f"upconvs.{i}") for i in levels),
        *(Layer(GAN, name, name) for name in ("center_out", "center_conv", "out_conv")),
    ]


def code_layers(count: int) -> list[Layer]:
    """The code discriminator with `count` convolutions."""
    return [
        *(Layer(CODE, f"convs_{i}", f"convs.{i}") for i in range(count)),
        Layer(CODE, "out_conv", "out_conv"),
    ]


def convert_layers(
    layers: Sequence[Layer], arrays: Arrays, shapes: Mapping[str, tuple[int, ...]], where: str
) -> dict[str, np.ndarray]:
    """Weights and biases of `layers` as float32 by our names.

    arrays: the variables of their network's file. shapes: of our parameters by name.
    Raises: DflFormatError naming the variable that is missing or of another shape, and both shapes.
    """
    result = {}
    for layer in layers:
        for part in ("weight", "bias"):
            key, name = f"{layer.path}/{part}", f"{layer.name}.{part}"
            if key not in arrays:
                raise DflFormatError(f"{where} has no {key}; the file belongs to another network")
            result[name] = _convert(layer, arrays[key], shapes[name], f"{where}: {key}")
    return result


def _convert(layer: Layer, array: np.ndarray, shape: tuple[int, ...], what: str) -> np.ndarray:
    """One weight or bias, or an optimizer's numbers about it, in our axes and colour order."""
    axes = layer.kind.value
    wanted = tuple(shape[axes.index(i)] for i in range(len(axes))) if len(shape) > 1 else shape
    if array.shape != wanted:
        raise DflFormatError(
            f"{what} has the shape {array.shape}, this architecture needs {wanted}; do the options "
            "in data.dat belong to these files?"
        )
    if len(shape) > 1:
        array = array.transpose(axes)
    axis = layer.bgr.value
    if axis is not None and axis < array.ndim:  # a bias counts outputs alone
        array = np.flip(array, axis)
    return np.array(array, np.float32, order="C")  # a copy: views would keep the file in memory


# DeepFaceLab's name of an optimizer's numbers, and ours
OPTIMIZER_STATES = {"adabelief": {"ms": "mean", "vs": "variance"}, "rmsprop": {"acc": "square"}}


def convert_optimizer(
    layers: Sequence[Layer],
    arrays: Arrays,
    shapes: Mapping[str, tuple[int, ...]],
    states: Mapping[str, str],
    where: str,
) -> dict[str, np.ndarray]:
    """What an optimizer remembers of `layers`, as float32 by OUR NAME.STATE; {} for nothing.

    Its variables are named STATE_SCOPE/PATH/weight_0. The scope is the network where several share
    the file, and not the file's name where a discriminator has its own.
    Raises: DflFormatError for another shape.
    """
    single = len({layer.network for layer in layers}) == 1
    by_path: dict[str, np.ndarray] = {}
    for key, array in arrays.items():
        state, _, rest = key.partition("_")
        scope, _, path = rest.removesuffix("_0").partition("/")
        if state in states and path:
            by_path[f"{state} {'' if single else scope} {path}"] = array
    result = {}
    for layer in layers:
        for part in ("weight", "bias"):
            for state, ours in states.items():
                path = f"{layer.path}/{part}"
                array = by_path.get(f"{state} {'' if single else layer.network} {path}")
                if array is not None:
                    name = f"{layer.name}.{part}"
                    what = f"{where}: {state}_{layer.network}/{path}"
                    result[f"{name}.{ours}"] = _convert(layer, array, shapes[name], what)
    return result
