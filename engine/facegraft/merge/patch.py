"""From a face's finished square to the frame: pasted, matted, grained, and laid over what is below.

A patch covers the rectangle that its matte reaches and no more. Outside the matte a frame keeps
its bits: values above 1, negative zeros and even NaN.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import cv2
import numpy as np

from facegraft.faces.align import invert
from facegraft.media.hdr import carry_highlights
from facegraft.merge.detail.grain import lacking_grain, synthesize
from facegraft.merge.geometry import NOWHERE, Rect, blend, bounds, finite, footprint, paste
from facegraft.merge.mask.face_mask import LEAST, MASK_SIZE
from facegraft.merge.params import MergeMode
from facegraft.merge.stages import SOLID, FaceStages

_LEAST_SIDE_PX = 4  # a face smaller than this in the frame is left alone
_GROWTH = 0.06  # of the mask's square: how far edges may move without another rectangle


@dataclass(frozen=True, slots=True, eq=False)
class Patch:
    """One face, ready to be laid on the frame.

    face:  (h, w, 3) float32 RGB display-referred, 0 or more; None leaves the frame as it is.
    alpha: (h, w) float32 0..1, scaled by `mix`.
    """

    face: np.ndarray | None
    alpha: np.ndarray
    rect: Rect


def face_patch(stages: FaceStages) -> Patch | None:
    """One face as a patch; None where too little of it would show."""
    p = stages.params
    whole = p.mode is MergeMode.RAW_RGB  # which pastes all of the square
    mask = np.ones((MASK_SIZE, MASK_SIZE), np.float32) if whole else stages.mask()
    rect = _rect_of(stages, mask)
    if rect == NOWHERE:
        return None
    place = (stages.place_key(), rect)
    key = (place, None if whole else stages.mask_key())
    alpha = stages.kept("alpha", key, lambda: _alpha(stages, mask, rect))
    if not _shows(alpha):
        return None
    shown = alpha if p.mix == 1 else alpha * np.float32(p.mix)
    if p.mode is MergeMode.ORIGINAL:
        return Patch(None, shown, rect)
    key = (place, stages.finished_key())
    if p.grain:
        key = (*key, stages.mask_key(), p.grain, stages.extras.seed)
    # grain is measured under the whole matte, whatever `mix` shows of it
    return Patch(stages.kept("pasted", key, lambda: _pasted(stages, rect, alpha)), shown, rect)


def network_patches(everybody: Sequence[FaceStages]) -> list[Patch]:
    """The network's pictures as they are, upright, in a row from left to right that fits the frame.

    What `raw_predict` gives: neither aligned back nor masked, for a look at the network itself.
    """
    if not everybody:
        return []
    height, width = everybody[0].image.shape[:2]
    side = min(height, width // len(everybody))
    if side < _LEAST_SIDE_PX:
        return []
    top, left = (height - side) // 2, (width - side * len(everybody)) // 2
    patches = []
    for stages in sorted(everybody, key=lambda s: float(s.face.landmarks[:, 0].mean())):
        key = (side, stages.portrait_key())
        face = stages.kept("upright", key, partial(_upright, stages, side))
        alpha = np.full((side, side), stages.params.mix, np.float32)
        patches.append(Patch(face, alpha, (left, top, left + side, top + side)))
        left += side
    return patches


def _upright(stages: FaceStages, side: int) -> np.ndarray:
    """(side, side, 3) float32 0..1: the network's picture."""
    picture = stages.portrait()
    method = cv2.INTER_AREA if side < len(picture) else cv2.INTER_CUBIC
    face = cv2.resize(picture, (side, side), interpolation=method)
    return np.clip(face, 0, 1, out=face)


def lay(image: np.ndarray, matte: np.ndarray, patch: Patch) -> None:
    """Blend a patch into `image` (H, W, 3) float32 and its alpha into `matte` (H, W), in place.

    Where the patch's alpha is 0 both keep their bits.
    """
    x0, y0, x1, y1 = patch.rect
    window = np.s_[y0:y1, x0:x1]
    if patch.face is not None:
        blended = blend(image[window], patch.face, patch.alpha)
        shown = (patch.alpha > 0).view(np.uint8)
        below = np.ascontiguousarray(image[window])
        image[window] = cv2.copyTo(blended, shown, below)
    if matte[window].any():
        matte[window] = 1 - (1 - matte[window]) * (1 - patch.alpha)
    else:
        matte[window] = patch.alpha


def _rect_of(stages: FaceStages, mask: np.ndarray) -> Rect:
    """The frame's rectangle around what `mask` reaches.

    It is that of the mask without edges and a bit more, so that the pasted face can stay while the
    edges are tuned, and its samples fall in the same places whether or not it was kept; with grain
    it is that of the whole square.
    """
    from_mask = invert(stages.square.placed_at(MASK_SIZE))
    shape = stages.image.shape
    if not mask.any():
        return NOWHERE
    if stages.params.grain:
        # the noise depends on the rectangle's size, so that must not depend on the mask
        return bounds(0, 0, MASK_SIZE, MASK_SIZE, from_mask, shape)
    if stages.params.mode is not MergeMode.RAW_RGB:
        x, y, width, height = cv2.boundingRect((mask > 0).view(np.uint8))
        left, top, right, bottom = stages.kept(
            "bounds", stages.base_key(), lambda: _bounds(stages.base_mask())
        )
        if left <= x and top <= y and x + width <= right and y + height <= bottom:
            return bounds(left, top, right, bottom, from_mask, shape)
    return footprint(mask, from_mask, shape)


def _bounds(mask: np.ndarray) -> Rect:
    """The mask's own rectangle, grown by `_GROWTH` inside the square."""
    x, y, width, height = cv2.boundingRect((mask > 0).view(np.uint8))
    more, size = round(_GROWTH * len(mask)), len(mask)
    right, bottom = min(x + width + more, size), min(y + height + more, size)
    return max(x - more, 0), max(y - more, 0), right, bottom


def _alpha(stages: FaceStages, mask: np.ndarray, rect: Rect) -> np.ndarray:
    matrix = invert(stages.square.placed_at(MASK_SIZE))
    alpha = paste(mask, matrix, rect, cv2.BORDER_CONSTANT)
    cv2.threshold(alpha, LEAST, 1, cv2.THRESH_TOZERO, dst=alpha)
    return np.minimum(alpha, 1, out=alpha)  # cubic sampling overshoots at edges


def _shows(alpha: np.ndarray) -> bool:
    _, _, width, height = cv2.boundingRect((alpha >= SOLID).view(np.uint8))
    return min(width, height) >= _LEAST_SIDE_PX


def _pasted(stages: FaceStages, rect: Rect, alpha: np.ndarray) -> np.ndarray:
    """(h, w, 3) float32, 0 or more: the face in the frame's rectangle."""
    p = stages.params
    if p.mode is MergeMode.RAW_RGB:
        return _clean(stages, rect)
    face = _grained(stages, rect, alpha) if p.grain else _clean(stages, rect)
    x0, y0, x1, y1 = rect
    frame = stages.image[y0:y1, x0:x1]
    # not so for NaN either, which `finite` takes out
    return face if frame.max() <= 1 else carry_highlights(face, finite(frame))


def _clean(stages: FaceStages, rect: Rect) -> np.ndarray:
    """(h, w, 3) float32 0..1: the face without the frame's grain and highlights."""
    square = stages.finished()
    matrix = invert(stages.square.placed_at(len(square)))
    face = paste(square, matrix, rect, cv2.BORDER_REPLICATE)
    return np.clip(face, 0, 1, out=face)


def _grained(stages: FaceStages, rect: Rect, alpha: np.ndarray) -> np.ndarray:
    """The same with the grain that it lacks; that is kept, so that its amount is quick to tune."""
    key = (stages.place_key(), rect, stages.finished_key())
    seed = stages.extras.seed
    face = stages.kept("clean", key, lambda: _clean(stages, rect))

    def added() -> np.ndarray:
        x0, y0, x1, y1 = rect
        frame = finite(stages.image[y0:y1, x0:x1])
        return lacking_grain(face, frame, alpha, seed, noise)

    def noise(*what: Any) -> np.ndarray:
        return stages.kept("noise", what, lambda: synthesize(*what))

    grain = stages.kept("grain", (key, stages.mask_key(), seed), added)
    face = cv2.scaleAdd(grain, stages.params.grain, face)
    return np.maximum(face, 0, out=face)
