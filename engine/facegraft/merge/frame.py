"""Merge one frame: the model's face goes in, and nothing outside the matte changes by a bit.

The steps of one face, in order, and the rows of MergeParams that steer each:

 1. the frame is cut into the face's square, clipped to 0..1: face_type
 2. the network predicts face and masks: morph_value
 3. an enhancer adds detail, in a square of its multiple of the size: super_resolution
 4. the mask, averaged over time where its neighbours are known: mask_mode, smooth_mask
 5. its edges: erode, feather_top, feather_bottom, feather_left, feather_right, blur
 6. seamless modes alone: light match (as 8), then the clone into the frame's light: mode
 7. colour is fitted, by a map that is averaged over time where its neighbours are known:
    color_transfer, color_transfer_amount, smooth_color; in the two hist match modes histograms are
    matched next: hist_match_masked, hist_match_threshold
 8. the other modes' light match: light_match, light_size
 9. filters on the face in its square: motion_blur, sharpen_mode and sharpen_amount, denoise,
    bicubic_degrade, color_degrade
10. face and mask are pasted: face_scale, face_offset_x, face_offset_y, face_rotation
11. grain, in the frame's own pixels: grain
12. composite over the faces merged so far, the largest on top: mix

Statistics (7, 8) count what the mask shows before its edges are made, so that softening an edge
never changes a colour; those that count the whole square see the frame's own pixels around the
mask. Original stops at 5 and lays nothing. Raw rgb pastes the square of step 3 as it is and whole:
its matte is the square. Raw predict shows the squares of step 3 upright, in a row that fits the
frame, and its matte is that row.

Everything is float32 and display-referred. Network and statistics see the frame clipped to 0..1;
the frame itself is never clipped, and what it holds above 1 comes back into the face by the rule of
`media/hdr.py`, but for the raw modes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from facegraft.faces.face import Face
from facegraft.inference import Prediction, SwapModel
from facegraft.merge.color.maps import ColorMap
from facegraft.merge.extras import NO_EXTRAS, FaceExtras, FrameExtras
from facegraft.merge.geometry import NOWHERE, Rect, crop, face_square, framing, reach, union
from facegraft.merge.params import MergeMode, MergeParams
from facegraft.merge.patch import Patch, face_patch, lay, network_patches
from facegraft.merge.stages import FaceStages

__all__ = [
    "FaceFit", "MergedFace", "MergedFrame", "fit_faces", "framing", "merge_frame", "merge_patches",
    "predict_faces", "reach",
]  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class MergedFace:
    """What became of one face, for outputs beside the picture.

    into_square, pasted_square: (2, 3) float64, frame px to the face's square 0..1 (corner
    convention), as the network sees it and as it is pasted.
    visible: (MASK_SIZE, MASK_SIZE) float32 0..1 over the square of `into_square`: the frame's own
    face as the segmenter sees it, without what hides it; None unless FrameExtras.occlusion.
    """

    face: Face
    prediction: Prediction
    into_square: np.ndarray
    pasted_square: np.ndarray
    visible: np.ndarray | None


@dataclass(frozen=True, slots=True, eq=False)
class MergedFrame:
    """What a merge gives.

    result: (H, W, 3) float32 RGB, display-referred, bit-identical to the image where matte is 0.
    matte:  (H, W) float32 0..1, union of all faces, scaled by `mix`.
    """

    result: np.ndarray
    matte: np.ndarray
    roi: Rect | None  # rectangle that holds all of the matte; None where no face was merged
    faces: tuple[MergedFace, ...] = ()  # in the order of the faces given, those left alone missing

    def __repr__(self) -> str:
        height, width = self.matte.shape
        return f"MergedFrame({width}x{height}, roi {self.roi})"


@dataclass(frozen=True, slots=True, eq=False)
class FaceFit:
    """What a face's own frame says about its colour and mask, for averages over time.

    mask: (MASK_SIZE, MASK_SIZE) float32 0..1, before its edges are made.
    """

    color_map: ColorMap
    mask: np.ndarray


def merge_frame(
    image: np.ndarray,
    faces: Sequence[Face],
    model: SwapModel,
    params: MergeParams,
    extras: FrameExtras = NO_EXTRAS,
) -> MergedFrame:
    """`image` with the model's face on every one of `faces`, the largest on top.

    image: (H, W, 3) float32 RGB, display-referred; may hold values outside 0..1.

    Raises: ParameterError where a row needs what `extras` does not hold (an XSeg model, an
    enhancer, the host's matte), naming the row; ModelError.
    """
    everybody = _stages_of(image, faces, model, params, extras)
    result = image.copy()
    matte = np.zeros(image.shape[:2], np.float32)
    roi = NOWHERE
    for patch in _patches(everybody):
        lay(result, matte, patch)
        roi = union(roi, patch.rect)
    merged = tuple(_merged_face(stages) for stages in everybody if stages.params.mix > 0)
    return MergedFrame(result, matte, None if roi == NOWHERE else roi, merged)


def merge_patches(
    image: np.ndarray,
    faces: Sequence[Face],
    model: SwapModel,
    params: MergeParams,
    extras: FrameExtras = NO_EXTRAS,
) -> list[Patch]:
    """What is to be laid on the frame, lowest first. Raises: as `merge_frame`."""
    return _patches(_stages_of(image, faces, model, params, extras))


def _stages_of(
    image: np.ndarray,
    faces: Sequence[Face],
    model: SwapModel,
    params: MergeParams,
    extras: FrameExtras,
) -> list[FaceStages]:
    return [
        FaceStages(image, face, model, params, extra, extras)
        for face, extra in zip(faces, extras.of_faces(len(faces)), strict=True)
    ]


def _patches(everybody: Sequence[FaceStages]) -> list[Patch]:
    shown = [stages for stages in everybody if stages.params.mix > 0]
    upright = [s for s in shown if s.params.mode is MergeMode.RAW_PREDICT]
    aligned = [s for s in shown if s.params.mode is not MergeMode.RAW_PREDICT]
    aligned.sort(key=lambda s: s.face.size_px)
    patches = [patch for s in aligned if (patch := face_patch(s)) is not None]
    return patches + network_patches(upright)


def _merged_face(stages: FaceStages) -> MergedFace:
    return MergedFace(
        stages.face,
        stages.prediction(),
        stages.square.into_at(1),
        stages.square.placed_at(1),
        stages.visible() if stages.extras.occlusion else None,
    )


def predict_faces(
    image: np.ndarray,
    faces: Sequence[Face],
    model: SwapModel,
    params: MergeParams,
) -> list[Prediction]:
    """The network's part of a merge, one prediction per face, in one batch.

    Depends on `face_type` and `morph_value` only, so it can be kept while other parameters change.
    """
    if not faces:
        return []
    squares = [face_square(face, model, params) for face in faces]
    crops = [np.clip(crop(image, square.into, square.size), 0, 1) for square in squares]
    return model.predict_batch(np.stack(crops), params.morph_value)


def fit_faces(
    image: np.ndarray,
    faces: Sequence[Face],
    model: SwapModel,
    params: MergeParams,
    extras: FrameExtras = NO_EXTRAS,
) -> list[FaceFit]:
    """What this frame alone says about each face's colour and mask, in the order of `faces`.

    The steady rows average it over neighbouring frames of the same track; the averages come back
    as FaceExtras.color_map and FaceExtras.mask. Raises: as `merge_frame`.
    """
    alone = [
        FaceExtras(model=extra.model, params=extra.params, prediction=extra.prediction)
        for extra in extras.of_faces(len(faces))
    ]
    everybody = _stages_of(image, faces, model, params, replace(extras, faces=alone))
    return [FaceFit(stages.color_map(), stages.base_mask()) for stages in everybody]
