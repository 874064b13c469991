"""OpenEXR files out: the plate's own file with changed pixels, or new ones.

Compression is the plate's unless the user chooses one. A lossy one (DWA, B44, PXR24) would change
pixels that nobody touched, so ZIP takes its place, which is told once.
"""

import errno
import logging
import os
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any, Self

import cv2
import numpy as np
import OpenEXR

from facegraft.errors import ParameterError, WriteError
from facegraft.files import atomic_path, write_error
from facegraft.media.exr import EXR_SUFFIX, LOSSY, StoredExr
from facegraft.media.hdr import LUMA
from facegraft.media.images import to_unit
from facegraft.media.provenance import EXR_ATTRIBUTE, Provenance
from facegraft.media.source import NAME_DIGITS
from facegraft.media.working_space import PRIMARIES

_log = logging.getLogger(__name__)

COMPRESSIONS: Mapping[str, Any] = {  # the lossless ones, by what users call them
    "none": OpenEXR.NO_COMPRESSION,
    "rle": OpenEXR.RLE_COMPRESSION,
    "zips": OpenEXR.ZIPS_COMPRESSION,
    "zip": OpenEXR.ZIP_COMPRESSION,
    "piz": OpenEXR.PIZ_COMPRESSION,
}
HALF_MAX = 65504.0
_BOUND_TO_PIXELS = ("channels", "chunkCount")  # OpenEXR makes these itself


class ExrWriter:
    """Numbered EXR files in a folder, one a frame, each written at once.

    compression: a name of COMPRESSIONS; '' keeps the plate's, and is ZIP for new files.
    Raises: ParameterError.
    """

    def __init__(
        self, folder: Path, *, compression: str = "", about: Provenance | None = None
    ) -> None:
        if compression and compression not in COMPRESSIONS:
            raise ParameterError(
                f"EXR compression {compression!r}; lossless are {', '.join(COMPRESSIONS)}"
            )
        self._folder = folder
        self._compression = compression
        self._about = about
        self._count = 0
        self._told = False

    holds_alpha = True

    def write(
        self,
        pixels: np.ndarray,
        name: str = "",
        pts: Fraction | None = None,
        alpha: np.ndarray | None = None,
    ) -> None:
        """A new file of R, G, B (and A), or of Y for (H, W).

        Floats keep their type and value, whole numbers become 0..1: half from 8 bit, else float.
        Colour is taken to be scene-linear Rec. 709, premultiplied. Raises: WriteError.
        """
        planes = {"Y": pixels}
        if pixels.ndim == 3:
            planes = {channel: pixels[..., index] for index, channel in enumerate("RGB")}
        if alpha is not None:
            planes["A"] = alpha
        self.write_planes({channel: _as_float(plane) for channel, plane in planes.items()}, name)

    def write_planes(self, planes: Mapping[str, np.ndarray], name: str = "") -> None:
        """A new file of any channels: (H, W) float16, float32 or uint32 each. Raises: WriteError"""
        header = {
            "type": OpenEXR.scanlineimage,
            "compression": COMPRESSIONS[self._compression or "zip"],
            "chromaticities": tuple(np.ravel(PRIMARIES["bt709"]).tolist()),
        }
        channels = {channel: np.ascontiguousarray(plane) for channel, plane in planes.items()}
        self._save([(header, channels)], name)

    def replace(
        self,
        stored: StoredExr,
        before: np.ndarray,
        after: np.ndarray,
        name: str = "",
        more: Mapping[str, np.ndarray] | None = None,
    ) -> None:
        """The file of `stored` with those pixels replaced that differ between two pictures.

        before: (H, W, 3) float32 as `read_exr` gave it. after: the same, changed. more: further
        channels of the picture's part, (H, W) float16 or float32 each, by name.
        Raises: WriteError, UnreadableMedia.
        """
        parts: list[tuple[dict[str, Any], dict[str, Any]]] = []
        for index, part in enumerate(stored.parts()):
            planes = {channel: entry.pixels for channel, entry in part.channels.items()}
            if index == stored.layer.part:
                planes.update(_changed(stored, planes, before, after))
            header = {k: v for k, v in part.header.items() if k not in _BOUND_TO_PIXELS}
            header["compression"] = self._choose(header["compression"], stored.path)
            channels = {
                channel: OpenEXR.Channel(
                    planes[channel], entry.xSampling, entry.ySampling, bool(entry.pLinear)
                )
                for channel, entry in part.channels.items()
            }
            if index == stored.layer.part:
                shape = planes[stored.layer.colors[0]].shape
                for channel, plane in (more or {}).items():
                    channels[channel] = OpenEXR.Channel(_in_window(stored, plane, shape))
            parts.append((header, channels))
        self._save(parts, name)

    def _choose(self, own: Any, path: Path) -> Any:
        if self._compression:
            return COMPRESSIONS[self._compression]
        reason = LOSSY.get(own.name)
        if reason is None:
            return own
        if not self._told:
            _log.warning(
                "%s: %s %s, so results are written as ZIP; untouched pixels would change again",
                path.name, own.name.removesuffix("_COMPRESSION"), reason,
            )  # fmt: skip
            self._told = True
        return OpenEXR.ZIP_COMPRESSION

    def _signed(self, header: dict[str, Any]) -> dict[str, Any]:
        if self._about is not None:
            header[EXR_ATTRIBUTE] = self._about.text
            header.setdefault("comments", self._about.text)
        return header

    def _save(self, parts: list[tuple[dict[str, Any], dict[str, Any]]], name: str) -> None:
        path = self._folder / f"{name or f'{self._count:0{NAME_DIGITS}d}'}{EXR_SUFFIX}"
        with atomic_path(path) as temporary:
            try:
                whole = [OpenEXR.Part(self._signed(header), planes) for header, planes in parts]
                OpenEXR.File(whole).write(str(temporary))
            except (RuntimeError, ValueError, TypeError) as error:
                raise _write_error(path, error) from error
        self._count += 1

    def close(self) -> None:
        """Every file is complete already."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        self.close()


def _as_float(plane: np.ndarray) -> np.ndarray:
    values = to_unit(plane)
    return values.astype(np.float16) if plane.dtype == np.uint8 else values


def _in_window(stored: StoredExr, plane: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """A plane of the frame as the data window holds it, 0 in its overscan."""
    whole = np.zeros(shape, plane.dtype)
    whole[stored.stored] = plane[stored.inside]
    return whole


def _changed(
    stored: StoredExr, planes: Mapping[str, np.ndarray], before: np.ndarray, after: np.ndarray
) -> dict[str, np.ndarray]:
    """New planes of the picture's channels; bits are compared, so that NaN counts as unchanged."""
    old, new = before[stored.inside], after[stored.inside]
    differs = np.ascontiguousarray(old).view(np.uint32) != np.ascontiguousarray(new).view(np.uint32)
    names = stored.layer.colors
    if len(names) == 1:  # a grey file holds the luminance of what the merge made
        differs = differs.any(axis=-1, keepdims=True)
        new = cv2.transform(np.ascontiguousarray(new), LUMA)[..., None]
    result = {}
    for index, name in enumerate(names):
        plane = planes[name].copy()
        values = new[..., index]
        if plane.dtype == np.float16:
            values = np.clip(values, -HALF_MAX, HALF_MAX)
        np.copyto(plane[stored.stored], values.astype(plane.dtype), where=differs[..., index])
        result[name] = plane
    return result


def _write_error(path: Path, error: Exception) -> WriteError:
    """OpenEXR's message says why in the system's words; the number is found by them."""
    for number in (errno.ENOSPC, errno.EACCES, errno.EROFS, errno.EIO):
        if os.strerror(number) in str(error):
            return write_error(path, OSError(number, os.strerror(number)))
    return WriteError(
        f"cannot write {path}: OpenEXR says '{error}'; choose another place or format"
    )
