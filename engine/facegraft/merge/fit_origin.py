"""What a stored fit was computed from, and whether that still holds.

A fit of a face's colour and mask depends on the networks, some rows of the merge, the landmarks,
and the pixels that the network sees. `changes` names in words what of it is another now.
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import cv2
import numpy as np

from facegraft.controls import controls_of
from facegraft.faces.face import Face
from facegraft.inference import SwapModel
from facegraft.merge.geometry import crop, face_square
from facegraft.merge.mask.face_mask import MaskSource, sources_of
from facegraft.merge.params import MaskMode, MergeMode, MergeParams

_SIDE = 16  # px of the picture by which a change of the pixels is seen
_SAME_LEVELS = 3  # of 255 that its pixels may differ: renders of one frame are not always equal
_SAME_POINTS = 0.01  # of the face's size that its landmarks may differ
_LABELS = {row.name: row.control.label for row in controls_of(MergeParams)}
_MASK_ROWS = ("face_type", "morph_value", "mask_mode")
_COLOR_ROWS = (*_MASK_ROWS, "color_transfer", "super_resolution")
_PLACE_ROWS = ("face_scale", "face_offset_x", "face_offset_y", "face_rotation")
_CLONE_ROWS = (
    "mode", "light_match", "light_size", *_PLACE_ROWS,
    "erode", "blur", "feather_top", "feather_bottom", "feather_left", "feather_right",
)  # fmt: skip
_CLONING = (MergeMode.SEAMLESS, MergeMode.SEAMLESS_HIST_MATCH)


@dataclass(frozen=True, slots=True)
class FitNetworks:
    """Digests of the networks; empty where there is none."""

    model: str
    segmenter: str = ""
    enhancer: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class FitOrigin:
    """See the module. sight: (16, 16, 3) uint8, what the network sees, small."""

    networks: FitNetworks
    sight: np.ndarray

    def to_json(self) -> dict[str, Any]:
        n = self.networks
        sight = base64.b64encode(self.sight.tobytes()).decode("ascii")
        return {"networks": [n.model, n.segmenter, n.enhancer], "sight": sight}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        pixels = np.frombuffer(base64.b64decode(values["sight"]), np.uint8)
        return cls(FitNetworks(*values["networks"]), pixels.reshape(_SIDE, _SIDE, 3))


@dataclass(frozen=True, slots=True, eq=False)
class StoredFit:
    """A face of one frame that was fitted, and by which values."""

    face: Face
    origin: FitOrigin
    params: MergeParams


def origin_of(
    image: np.ndarray, face: Face, model: SwapModel, params: MergeParams, networks: FitNetworks
) -> FitOrigin:
    """image: (H, W, 3) float32 RGB, display-referred."""
    square = face_square(face, model, params)
    sight = np.clip(crop(image, square.into, square.size), 0, 1)
    small = cv2.resize(sight, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    return FitOrigin(networks, np.rint(small * 255).astype(np.uint8))


def fit_rows(params: MergeParams) -> tuple[str, ...]:
    """Rows whose change makes the fits of a frame with `params` wrong: those of the mask, and
    where colour is averaged those of the colour."""
    rows = _COLOR_ROWS if params.smooth_color > 0 else _MASK_ROWS
    if params.smooth_color > 0 and params.mode in _CLONING:
        rows = (*rows, *_CLONE_ROWS)
    if params.mask_mode is MaskMode.HOST:
        rows = (*rows, *_PLACE_ROWS)
    return tuple(dict.fromkeys(rows))


def changes(stored: StoredFit, origin: FitOrigin, face: Face, params: MergeParams) -> list[str]:
    """What is another than when the face was fitted, in words; empty where the fit holds."""
    old = stored.params
    rows = dict.fromkeys(fit_rows(params))
    if params.smooth_color > 0 and old.mode in _CLONING:
        rows["mode"] = None  # a colour fitted to a clone fits nothing else
    found = [_LABELS[n] for n in rows if not _same(getattr(old, n), getattr(params, n))]
    found += _changed_networks(stored.origin.networks, origin.networks, params)
    if np.abs(stored.face.landmarks - face.landmarks).max() > _SAME_POINTS * face.size_px:
        found.append("the landmarks")
    elif np.abs(stored.origin.sight.astype(int) - origin.sight.astype(int)).max() > _SAME_LEVELS:
        found.append("the picture")
    return found


def _changed_networks(old: FitNetworks, new: FitNetworks, params: MergeParams) -> list[str]:
    found = ["the model"] if old.model != new.model else []
    needs = set(sources_of(params.mask_mode)) & {MaskSource.XSEG_PRD, MaskSource.XSEG_DST}
    if needs and old.segmenter != new.segmenter:
        found.append("XSeg")
    if params.smooth_color > 0 and params.super_resolution > 0 and old.enhancer != new.enhancer:
        found.append("the enhancer")
    return found


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, float) and isinstance(b, float):
        return abs(a - b) <= 1e-5 * max(1.0, abs(a))  # a host's floats have seven digits
    return a == b
