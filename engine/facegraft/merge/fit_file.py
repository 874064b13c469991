"""A clip's fits in a file, for hosts that ask for one frame at a time: smooth_color, smooth_mask.

The file holds what each frame alone says about each tracked face's colour and mask, with all that
it was computed from. They are averaged when a frame is merged, so the two rows can be turned
without a new pass, and a fit that no longer belongs to the picture is told apart from one that
does. `over_time.py` is the same for who has the whole clip at hand.

A zip archive; three entries a face, named by frame and track, beside `facegraft.json`:

    000012_3.json  what it belongs to: FitOrigin and the merge parameters
    000012_3.png   its mask, 16 bit grey
    000012_3.npy   its colour map, where it has one
"""

import io
import json
import os
import shutil
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import cv2
import numpy as np

from facegraft.controls import parse_values, plain_values
from facegraft.errors import FacesetError, FutureVersion, ParameterError, SourceNotFound
from facegraft.faces.face import Face
from facegraft.files import atomic_path, write_error
from facegraft.merge.clip.faces import ClipFaces
from facegraft.merge.clip.steady import neighbours
from facegraft.merge.color.lattice import LatticeMap
from facegraft.merge.color.maps import IDENTITY, AffineMap, ColorMap, average_maps
from facegraft.merge.fit_origin import FitOrigin, StoredFit
from facegraft.merge.frame import FaceFit
from facegraft.merge.mask.steady import MaskWindow
from facegraft.merge.over_time import kind_of_map
from facegraft.merge.params import MaskMode, MergeParams

VERSION = 1
_INDEX = "facegraft.json"
_MASK_STEPS = 65535


class FitWriter:
    """Writes a fit file, frame after frame; `save` puts it in place, `close` drops what is not
    saved. Raises: WriteError."""

    def __init__(self) -> None:
        try:
            handle, self._part = tempfile.mkstemp(prefix="facegraft-", suffix=".fits")
            self._archive = zipfile.ZipFile(os.fdopen(handle, "wb"), "w")
        except OSError as error:
            raise write_error(Path(tempfile.gettempdir()), error) from error
        self._archive.writestr(_INDEX, json.dumps({"version": VERSION}))
        self._last = -1
        self.frames = 0  # that were added
        self.faces = 0

    def add(self, index: int, fits: Sequence[tuple[Face, FaceFit, FitOrigin, MergeParams]]) -> None:
        """The tracked faces of the frame at `index` of the clip; a track's first face counts.

        Raises: ParameterError where `index` does not rise, WriteError.
        """
        if index <= self._last:
            raise ParameterError(f"frame {index} comes after {self._last}; go forward")
        self._last = index
        self.frames += 1
        known: set[int] = set()
        for face, fit, origin, params in fits:
            if face.track < 0 or face.track in known:
                continue
            known.add(face.track)
            name = _name(index, face.track)
            kind, array, values = _map_values(fit.color_map)
            about = {
                "face": {
                    "landmarks": np.round(face.landmarks.astype(np.float64), 3).tolist(),
                    "score": float(face.score),
                    "held": face.held,
                },
                "origin": origin.to_json(),
                "params": plain_values(params),
                "map": {"kind": kind, **values},
            }
            steps = (np.clip(fit.mask, 0, 1) * _MASK_STEPS + 0.5).astype(np.uint16)
            self._write(f"{name}.png", cv2.imencode(".png", steps)[1].tobytes())
            if array is not None:
                data = io.BytesIO()
                np.save(data, array, allow_pickle=False)
                self._write(f"{name}.npy", data.getvalue(), zipfile.ZIP_DEFLATED)
            self._write(f"{name}.json", json.dumps(about).encode(), zipfile.ZIP_DEFLATED)
            self.faces += 1

    def save(self, path: Path) -> None:
        """Put the file in its place, over an earlier one. Raises: WriteError."""
        try:
            self._archive.close()
            with atomic_path(path) as beside:
                shutil.copyfile(self._part, beside)
        finally:
            self.close()

    def close(self) -> None:
        self._archive.close()
        Path(self._part).unlink(missing_ok=True)

    def _write(self, name: str, data: bytes, method: int = zipfile.ZIP_STORED) -> None:
        try:
            self._archive.writestr(name, data, method, 1)
        except OSError as error:
            raise write_error(Path(self._part), error) from error


class FitFile:
    """A fit file that is read where it is asked for."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self._names = set(archive.namelist())

    @classmethod
    def open(cls, path: Path) -> Self:
        """Raises: SourceNotFound, FacesetError for a damaged file, FutureVersion."""
        try:
            archive = zipfile.ZipFile(path)
            version = json.loads(archive.read(_INDEX))["version"]
        except OSError as error:
            raise SourceNotFound(f"cannot read the fits {path}: {error.strerror}") from error
        except (KeyError, ValueError, TypeError, zipfile.BadZipFile) as error:
            raise FacesetError(
                f"{path} holds no fits, or is damaged; fit the clip again"
            ) from error
        if version > VERSION:
            raise FutureVersion(
                f"{path} has version {version}, this FaceGraft reads up to {VERSION}; update it"
            )
        return cls(archive)

    def stored(self, index: int, track: int) -> StoredFit | None:
        """What lies there of one face; None where it was not fitted."""
        about = self._about(index, track)
        if about is None:
            return None
        points = np.asarray(about["face"]["landmarks"], np.float32)
        (x0, y0), (x1, y1) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
        face = Face(
            points, (x0, y0, x1, y1), float(about["face"]["score"]), None, track,
            bool(about["face"]["held"]),
        )  # fmt: skip
        origin = FitOrigin.from_json(about["origin"])
        return StoredFit(face, origin, parse_values(MergeParams, about["params"]))

    def averaged(
        self, index: int, track: int, params: MergeParams
    ) -> tuple[ColorMap | None, np.ndarray | None]:
        """Colour map and (MASK_SIZE, MASK_SIZE) float32 0..1 mask of a stored face, averaged over
        its track as `smooth_color` and `smooth_mask` of `params` say; None for a row at 0."""
        around = self._around(index, track, max(params.smooth_color, params.smooth_mask))
        clip = ClipFaces({i: (fit.face,) for i, fit in around.items()})
        color_map = mask = None
        if params.smooth_color > 0:
            weights = neighbours(clip, index, track, params.smooth_color)
            kind = kind_of_map(params)
            same = [
                (self._map(i, track), w)
                for i, w in weights
                if kind_of_map(around[i].params) == kind
            ]
            if same:
                color_map = average_maps(*zip(*same, strict=True))
        if params.smooth_mask > 0 and params.mask_mode is not MaskMode.HOST:
            window = MaskWindow()
            weights = neighbours(clip, index, track, params.smooth_mask)
            for i, _ in weights:
                window.put(i, track, self._mask(i, track))
            mask = window.average(track, weights)
        return color_map, mask

    def _around(self, index: int, track: int, radius: float) -> dict[int, StoredFit]:
        reach = int(np.ceil(radius))
        frames = range(index - reach, index + reach + 1)
        return {i: fit for i in frames if (fit := self.stored(i, track)) is not None}

    def _about(self, index: int, track: int) -> Mapping[str, Any] | None:
        name = f"{_name(index, track)}.json"
        return json.loads(self._archive.read(name)) if name in self._names else None

    def _mask(self, index: int, track: int) -> np.ndarray:
        data = np.frombuffer(self._archive.read(f"{_name(index, track)}.png"), np.uint8)
        steps = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
        if steps is None:
            raise FacesetError(f"the mask of frame {index} is damaged; fit the clip again")
        return steps * np.float32(1 / _MASK_STEPS)

    def _map(self, index: int, track: int) -> ColorMap:
        about = self._about(index, track)
        assert about is not None  # `_around` found it
        values = about["map"]
        if values["kind"] == "none":
            return IDENTITY
        data = io.BytesIO(self._archive.read(f"{_name(index, track)}.npy"))
        array = np.load(data, allow_pickle=False)
        if values["kind"] == "affine":
            return AffineMap(array, bool(values["in_lab"]))
        return LatticeMap(np.asarray(values["first"], int), array, float(values["blur"]))


def _name(index: int, track: int) -> str:
    return f"{index:06d}_{track}"


def _map_values(color_map: ColorMap) -> tuple[str, np.ndarray | None, dict[str, Any]]:
    """Kind, numbers, and what else a map is made of."""
    if isinstance(color_map, AffineMap):
        return "affine", color_map.matrix, {"in_lab": color_map.in_lab}
    if isinstance(color_map, LatticeMap):
        first = [int(n) for n in color_map.first]
        return "lattice", color_map.shifts, {"first": first, "blur": color_map.blur}
    if color_map is IDENTITY:
        return "none", None, {}
    raise TypeError(f"{type(color_map).__name__} has no form in a fit file")
