"""The mask of one face: chosen by mode from what is known about the face, then given its edges.

Masks live in the face square at one working size, whatever the model's resolution and the frame's
size, as (MASK_SIZE, MASK_SIZE) float32 0..1. A mask is made in two parts: `base_mask` says where
the face is and depends on the mode alone; `shape_mask` moves and softens its edges. Averaging over
time (`steady.py`) works on the first, so that it is independent of the second's controls.
"""

from dataclasses import dataclass
from enum import StrEnum

import cv2
import numpy as np

from facegraft.errors import ParameterError
from facegraft.faces.landmarks import hull_mask
from facegraft.inference import Prediction
from facegraft.merge.mask.edges import blurred, feathered, inset, resize_by
from facegraft.merge.params import MaskMode, MergeParams

MASK_SIZE = 512  # px; finer than a face in a 1080p frame needs, and edges cost a few ms at most
LEAST = 1 / 255  # below it a mask shows nothing, and an 8-bit matte could not hold it


class MaskSource(StrEnum):
    """Where a mask can come from, beside the plain shapes."""

    PRD = "prd"  # predicted with the new face
    DST = "dst"  # predicted for the footage's face
    XSEG_PRD = "xseg_prd"  # what the segmenter finds on the new face
    XSEG_DST = "xseg_dst"  # what it finds in the frame
    HOST = "host"  # a matte given beside the clip


_LEARNED = (MaskSource.PRD, MaskSource.DST)
_XSEG = (MaskSource.XSEG_PRD, MaskSource.XSEG_DST)

_SOURCES: dict[MaskMode, tuple[MaskSource, ...]] = {
    MaskMode.FULL: (),
    MaskMode.HULL: (),
    MaskMode.LEARNED_PRD: (MaskSource.PRD,),
    MaskMode.LEARNED_DST: (MaskSource.DST,),
    MaskMode.LEARNED_PRODUCT: _LEARNED,
    MaskMode.LEARNED_SUM: _LEARNED,
    MaskMode.XSEG_PRD: (MaskSource.XSEG_PRD,),
    MaskMode.XSEG_DST: (MaskSource.XSEG_DST,),
    MaskMode.XSEG_PRODUCT: _XSEG,
    MaskMode.ALL_PRODUCT: (*_LEARNED, *_XSEG),
    MaskMode.HOST: (MaskSource.HOST,),
}

_MISSING = {
    MaskSource.XSEG_PRD: "a segmentation model; give an XSeg model or choose a learned mask",
    MaskSource.XSEG_DST: "a segmentation model; give an XSeg model or choose a learned mask",
    MaskSource.HOST: "a matte beside the clip; give one or choose another mask",
}


@dataclass(frozen=True, slots=True, eq=False)
class MaskInputs:
    """What is known about one face; only what `sources_of(mode)` names must be there.

    landmarks: (68, 2) in pixels of the working square, corner convention.
    xseg_prd, xseg_dst, host: (h, w) float32 0..1 over the whole square, of any size; `segmented.py`
    and `host_matte.py` make them.
    """

    prediction: Prediction
    landmarks: np.ndarray
    xseg_prd: np.ndarray | None = None
    xseg_dst: np.ndarray | None = None
    host: np.ndarray | None = None


def sources_of(mode: MaskMode) -> tuple[MaskSource, ...]:
    """What a mode multiplies (or, for the sum, adds); empty where landmarks or nothing do."""
    return _SOURCES[mode]


def face_mask(inputs: MaskInputs, params: MergeParams) -> np.ndarray:
    """The finished mask, (MASK_SIZE, MASK_SIZE) float32 0..1.

    Raises: ParameterError where the mode needs what `inputs` does not hold.
    """
    return shape_mask(base_mask(inputs, params.mask_mode), params)


def base_mask(inputs: MaskInputs, mode: MaskMode) -> np.ndarray:
    """The mask before its edges are made, (MASK_SIZE, MASK_SIZE) float32 0..1.

    Raises: ParameterError where the mode needs what `inputs` does not hold.
    """
    if mode is MaskMode.FULL:
        return np.ones((MASK_SIZE, MASK_SIZE), np.float32)
    if mode is MaskMode.HULL:
        return hull_mask(inputs.landmarks, MASK_SIZE, MASK_SIZE)
    first, *others = (_square(inputs, source, mode) for source in sources_of(mode))
    for other in others:
        first = first + other if mode is MaskMode.LEARNED_SUM else first * other
    return np.clip(first, 0, 1)


def shape_mask(base: np.ndarray, params: MergeParams) -> np.ndarray:
    """`base` eroded, feathered and blurred as the params say; a new array.

    In that order: the feather starts from the edge that erosion left, and the blur rounds it off.
    """
    mask = inset(resize_by(base, params.erode), params.blur)
    mask = feathered(
        mask, params.feather_top, params.feather_bottom, params.feather_left, params.feather_right
    )
    mask = blurred(mask, params.blur)
    return cv2.threshold(mask, LEAST, 0, cv2.THRESH_TOZERO)[1]


def _square(inputs: MaskInputs, source: MaskSource, mode: MaskMode) -> np.ndarray:
    """One source at the working size."""
    match source:
        case MaskSource.PRD:
            mask = inputs.prediction.mask
        case MaskSource.DST:
            mask = inputs.prediction.dst_mask
        case MaskSource.XSEG_PRD:
            mask = inputs.xseg_prd
        case MaskSource.XSEG_DST:
            mask = inputs.xseg_dst
        case MaskSource.HOST:
            mask = inputs.host
    if mask is None:
        raise ParameterError(f"mask mode {mode} needs {_MISSING[source]}")
    mask = np.clip(mask, 0, 1)
    mask[mask < LEAST] = 0  # a network's zero is seldom exactly that
    if len(mask) == MASK_SIZE:
        return mask
    method = cv2.INTER_CUBIC if len(mask) < MASK_SIZE else cv2.INTER_AREA
    resized = cv2.resize(mask, (MASK_SIZE, MASK_SIZE), interpolation=method)
    return np.clip(resized, 0, 1, out=resized)  # cubic overshoots at edges
