"""EXR files written with OpenEXR's own module, never with the writer under test."""

from pathlib import Path

import numpy as np
import OpenEXR


def window(left: int, top: int, width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
    """A box2i attribute."""
    low = np.array([left, top], np.int32)
    return low, low + np.array([width - 1, height - 1], np.int32)


def write_exr(path: Path, channels: dict[str, np.ndarray], **header) -> Path:
    """One scan-line part, uncompressed unless the header says otherwise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    values = {"compression": OpenEXR.NO_COMPRESSION, "type": OpenEXR.scanlineimage, **header}
    OpenEXR.File(values, {k: v.copy() for k, v in channels.items()}).write(str(path))
    return path


def read_parts(path: Path) -> list:
    return list(OpenEXR.File(str(path), separate_channels=True).parts)


def planes_of(path: Path, part: int = 0) -> dict[str, np.ndarray]:
    return {name: c.pixels for name, c in read_parts(path)[part].channels.items()}


def bits(array: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(array).view(f"u{array.dtype.itemsize}")


def odd_half(height: int = 24, width: int = 32, seed: int = 0) -> dict[str, np.ndarray]:
    """R, G, B as half floats with all that half floats can hold: negative, huge, inf, NaN."""
    rng = np.random.default_rng(seed)
    planes = {c: rng.normal(0.5, 1, (height, width)).astype(np.float16) for c in "RGB"}
    planes["R"][0, :6] = [np.inf, -np.inf, np.nan, 65504, -65504, 6e-8]
    planes["G"].view(np.uint16)[1, :3] = [0x7D01, 0x8000, 0x0001]  # a NaN's payload, -0, denormal
    return planes
