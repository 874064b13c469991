"""A trained model of DeepFaceLab's on disk, as plain data and arrays. Numpy only.

NAME_CLASS_data.dat      pickle: iteration, options, losses, preview faces
NAME_CLASS_NETWORK.npy   pickle (no numpy file): flat dict of variable name to array
NAME_CLASS_src_dst_opt.npy, ...D_code_opt.npy, ...GAN_opt.npy    optimizer state, likewise
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from facegraft.dfl.unpickle import unpickle
from facegraft.errors import DflFormatError, SourceNotFound

CLASSES = ("SAEHD", "Quick96", "AMP")
XSEG = "XSeg"
_DATA = "_data.dat"
_NAMES_SHOWN = 20  # of models or files in one message


@dataclass(frozen=True, slots=True, eq=False)
class DflModel:
    """What stands in a model's data.dat.

    losses:   (N, 2) float64, src and dst, one row an iteration.
    previews: the faces that it kept for its preview, nested as in the file.
    """

    folder: Path
    prefix: str  # "new_SAEHD": what its files begin with
    kind: str  # of CLASSES
    iteration: int
    options: Mapping[str, Any]
    losses: np.ndarray = field(repr=False)
    previews: Any = field(repr=False)

    def path(self, network: str) -> Path:
        return self.folder / f"{self.prefix}_{network}.npy"


def find_models(folder: Path) -> dict[str, str]:
    """Class by prefix of every model in a folder."""
    prefixes = sorted(path.name.removesuffix(_DATA) for path in folder.glob(f"*{_DATA}"))
    kinds = {prefix: prefix.rpartition("_")[2] for prefix in prefixes}
    return {prefix: kind for prefix, kind in kinds.items() if kind in (*CLASSES, XSEG)}


def read_model(folder: Path, name: str) -> DflModel:
    """`name` as DeepFaceLab asks for it ("new"), or with the class where two share it
    ("new_SAEHD").

    Raises: SourceNotFound naming the models that are there; DflFormatError for an XSeg model, for a
    name that two models share, and for damage.
    """
    models = find_models(folder) if folder.is_dir() else {}
    fitting = [p for p in models if name in (p, p.removesuffix(f"_{models[p]}"))]
    if not fitting:
        found = ", ".join(list(models)[:_NAMES_SHOWN]) or "none"
        raise SourceNotFound(
            f"no model {name!r} of DeepFaceLab in {folder} (models there: {found}); give the "
            "folder with its _data.dat"
        )
    if len(fitting) > 1:
        raise DflFormatError(
            f"{folder} holds {' and '.join(fitting)}; give one of these names instead of {name!r}"
        )
    prefix = fitting[0]
    if models[prefix] == XSEG:
        raise DflFormatError(
            f"{folder / (prefix + _DATA)} is an XSeg model, which draws masks. Import it by "
            "`facegraft mask import-dfl`; here SAEHD, Quick96 and AMP are taken"
        )
    return _read_data(folder, prefix, models[prefix])


def _read_data(folder: Path, prefix: str, kind: str) -> DflModel:
    path = folder / f"{prefix}{_DATA}"
    values = unpickle(_read_bytes(path), str(path))
    if not isinstance(values, dict):
        raise DflFormatError(f"{path} is damaged: it holds no dict")
    options = values.get("options", {})
    iteration = values.get("iter", 0)
    if not isinstance(options, dict) or not isinstance(iteration, int) or iteration < 0:
        raise DflFormatError(f"{path} is damaged: its options or its iteration are something else")
    return DflModel(
        folder=folder,
        prefix=prefix,
        kind=kind,
        iteration=int(iteration),
        options={str(key): value for key, value in options.items()},
        losses=_losses(values.get("loss_history")),
        previews=values.get("sample_for_preview"),
    )


def _losses(rows: Any) -> np.ndarray:
    """The curve is a help only: rows that are no pair of numbers end it."""
    kept = []
    for row in rows if isinstance(rows, list) else []:
        values = row.tolist() if isinstance(row, np.ndarray) and row.size == 2 else row
        is_pair = isinstance(values, list | tuple) and len(values) == 2
        if not is_pair or not all(isinstance(v, int | float) for v in values):
            break
        kept.append(values)
    return np.array(kept, np.float64).reshape(-1, 2)


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """The variables of a network or optimizer file, without the `:0` of their names.

    Raises: DflFormatError for a file that is missing, damaged or holds anything but arrays.
    """
    values = unpickle(_read_bytes(path), str(path))
    if not isinstance(values, dict):
        raise DflFormatError(f"{path} is damaged: it holds no dict")
    arrays = {}
    for key, value in values.items():
        if not isinstance(key, str):
            raise DflFormatError(f"{path} is damaged: a variable without a name")
        if isinstance(value, int | float):
            value = np.array(value)  # a step count, saved as numpy's number
        if not isinstance(value, np.ndarray):
            raise DflFormatError(f"{path} is damaged: {key[:80]} is a {type(value).__name__}")
        arrays[key.removesuffix(":0")] = value
    return arrays


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise DflFormatError(f"{path} is missing; copy all files of the model") from error
    except OSError as error:
        raise DflFormatError(f"{path} cannot be read: {error.strerror}") from error
