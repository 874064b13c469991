"""XSeg models of DeepFaceLab: their variables by the names, axes and colours of our network.

A trained one lies as XSeg_256.npy (shipped) or NAME_XSeg_256.npy beside its data.dat: a pickle with
a flat dict of variable name to array, as other networks' files. Numpy only.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from facegraft.dfl.weights import Bgr, Kind, Layer, convert_layers
from facegraft.errors import DflFormatError

CONVOLUTIONS = (2, 2, 2, 3, 3, 3)  # of each level
NETWORK = "XSeg"


def xseg_layers() -> list[Layer]:
    """Every convolution and dense layer."""
    deepest = len(CONVOLUTIONS) - 1
    layers = []
    for level, count in enumerate(CONVOLUTIONS):
        for i in range(count):
            bgr = Bgr.IN if level == i == 0 else Bgr.NONE
            path, name = f"conv{level}{i + 1}/conv", f"down.{level}.{i}.conv"
            layers.append(Layer(NETWORK, path, name, bgr=bgr))
    layers.append(Layer(NETWORK, "dense1", "squeeze", Kind.DENSE))
    layers.append(Layer(NETWORK, "dense2", "spread", Kind.DENSE))
    for level, count in enumerate(CONVOLUTIONS):
        place = deepest - level
        layers.append(Layer(NETWORK, f"up{level}/conv", f"rise.{place}.conv"))
        layers += [
            Layer(NETWORK, f"uconv{level}{count - i}/conv", f"up.{place}.{i}.conv")
            for i in range(count)
        ]
    return [*layers, Layer(NETWORK, "out_conv", "head")]


def convert_xseg(
    arrays: Mapping[str, np.ndarray], shapes: Mapping[str, tuple[int, ...]], where: str
) -> dict[str, np.ndarray]:
    """Our parameters by name, float32. `shapes` are those of our network.

    Raises: DflFormatError naming the variable that is missing or of another shape.
    """
    layers = xseg_layers()
    result = convert_layers(layers, arrays, shapes, where)
    for layer in layers:
        block, _, last = layer.path.rpartition("/")
        if last != "conv":
            continue  # dense layers and the head have no normalisation
        ours = layer.name.removesuffix("conv") + "norm"
        for theirs, name in (("frn/weight", "weight"), ("frn/bias", "bias"), ("frn/eps", "eps"),
                             ("tlu/tau", "tau")):  # fmt: skip
            key, target = f"{block}/{theirs}", f"{ours}.{name}"
            if key not in arrays or arrays[key].shape != shapes[target]:
                found = arrays[key].shape if key in arrays else "nothing"
                raise DflFormatError(
                    f"{where}: {key} is {found}, the network needs {shapes[target]}; is it an XSeg "
                    "file of 256 px?"
                )
            result[target] = np.array(arrays[key], np.float32)
    return result


def find_xseg(path: Path) -> Path:
    """The file of weights: `path` itself, or the one in the folder `path`.

    Raises: DflFormatError naming what is there where none or more than one is.
    """
    if path.is_file():
        return path
    found = sorted(path.glob("*XSeg_*.npy")) if path.is_dir() else []
    found = [file for file in found if "opt" not in file.stem]
    if len(found) == 1:
        return found[0]
    names = ", ".join(file.name for file in found) or "none"
    raise DflFormatError(
        f"{path}: one XSeg file of weights (XSeg_256.npy) is wanted, found {names}; name the file"
    )
