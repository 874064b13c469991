"""The rows that look along time for single frames: what `fit` messages left in a file, given back.

Where a frame was not fitted, or something was changed since, its own colour and mask are used and
a note says why.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from facegraft.errors import FacegraftError
from facegraft.faces.face import Face
from facegraft.inference import SwapModel
from facegraft.merge.extras import FaceExtras, FrameExtras
from facegraft.merge.fit_file import FitFile
from facegraft.merge.fit_origin import FitNetworks, FitOrigin, changes, origin_of
from facegraft.merge.frame import FaceFit, fit_faces
from facegraft.merge.params import MergeParams
from facegraft.worker.cache import BoundedCache, size_of

KEPT_BYTES = 64 << 20  # of averages; one with its mask takes 1.1 MB
_ROWS = {"smooth_color": "colour", "smooth_mask": "mask"}

Fitted = tuple[Face, FaceFit, FitOrigin, MergeParams]


class SteadyFits:
    """The fit file that was asked for last, and averages from it."""

    def __init__(self) -> None:
        self._key: tuple[Path, int, int] | None = None
        self._file: FitFile | None = None
        self._averages = BoundedCache(KEPT_BYTES)

    def given(
        self,
        path: Path,
        index: int,
        image: np.ndarray,
        faces: Sequence[Face],
        model: SwapModel,
        params: MergeParams,
        extras: FrameExtras,
    ) -> tuple[FrameExtras, tuple[str, ...]]:
        """`extras` with the averages for the faces of the clip's frame `index`, and notes on those
        that have none. `image`: (H, W, 3) float32 RGB, display-referred."""
        try:
            file = self._opened(path)
        except FacegraftError as error:
            return extras, (_note(params, str(error)),)
        per_face, reasons = [], []
        for face, extra in zip(faces, extras.of_faces(len(faces)), strict=True):
            reason = self._reason_against(file, index, image, face, model, params, extra, extras)
            if reason:
                reasons.append(reason)
            else:
                extra = self._averaged(file, index, face.track, extra, extra.params or params)
            per_face.append(extra)
        notes = tuple(_note(params, reason) for reason in dict.fromkeys(reasons))
        return replace(extras, faces=per_face), notes

    def _opened(self, path: Path) -> FitFile:
        try:
            status = path.stat()
            key = (path, status.st_mtime_ns, status.st_size)
        except OSError:
            key = None  # opening says it better
        if self._file is None or key is None or key != self._key:
            self._file = self._key = None
            self._file, self._key = FitFile.open(path), key
        return self._file

    def _reason_against(
        self,
        file: FitFile,
        index: int,
        image: np.ndarray,
        face: Face,
        model: SwapModel,
        params: MergeParams,
        extra: FaceExtras,
        extras: FrameExtras,
    ) -> str:
        """Why a face's stored fit is of no use; empty where it is."""
        if face.track < 0:
            return "the face belongs to no track"
        stored = file.stored(index, face.track)
        if stored is None:
            return f"frame {index} is not fitted"
        own = extra.model or model
        now = extra.params or params
        origin = origin_of(image, face, own, now, networks_of(own, extras))
        changed = changes(stored, origin, face, now)
        return f"{', '.join(changed)} changed since the clip was fitted" if changed else ""

    def _averaged(
        self, file: FitFile, index: int, track: int, extra: FaceExtras, params: MergeParams
    ) -> FaceExtras:
        rows = (params.smooth_color, params.smooth_mask, params.mask_mode, params.mode)
        key = (self._key, index, track, params.color_transfer, *rows)
        found = self._averages.get(key)
        if found is None:
            found = file.averaged(index, track, params)
            self._averages.put(key, found, size_of(found))
        color_map, mask = found
        return replace(extra, color_map=color_map, mask=mask, given=key)


def fits_of(
    image: np.ndarray,
    faces: Sequence[Face],
    model: SwapModel,
    params: MergeParams,
    extras: FrameExtras,
) -> list[Fitted]:
    """What this frame alone says about each face, for a FitWriter. Raises: as `fit_faces`."""
    fits = fit_faces(image, faces, model, params, extras)
    result: list[Fitted] = []
    for face, fit, extra in zip(faces, fits, extras.of_faces(len(faces)), strict=True):
        own, now = extra.model or model, extra.params or params
        origin = origin_of(image, face, own, now, networks_of(own, extras))
        result.append((face, fit, origin, now))
    return result


def networks_of(model: SwapModel, extras: FrameExtras) -> FitNetworks:
    segmenter, enhancer = extras.segmenter, extras.enhancer
    return FitNetworks(
        model.digest, segmenter.digest if segmenter else "", enhancer.digest if enhancer else ""
    )


def _note(params: MergeParams, reason: str) -> str:
    rows = [row for row in _ROWS if getattr(params, row) > 0]
    own = " and ".join(_ROWS[row] for row in rows)
    return f"{' and '.join(rows)}: {reason}; this frame's own {own} is used. Fit the clip again"
