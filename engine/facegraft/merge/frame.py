"""Merge one frame: the model's face goes in, and nothing outside the matte changes by a bit.

The story of one face follows DeepFaceLab's merger, without its known defects:
frame -> square -> network -> mask -> colour -> back into the frame -> composite.
Everything is float32 and display-referred. The network sees the frame clipped to 0..1; the frame
itself is never clipped, so values above 1 stay wherever the matte is below 1. All work happens in
the rectangle around the face: arithmetic on whole float frames is what makes mergers slow.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from facegraft.faces.align import (
    align_matrix,
    invert,
    scaled,
    square_corners,
    transform_points,
    warp_image,
)
from facegraft.faces.face import Face
from facegraft.inference import Prediction, SwapModel
from facegraft.merge.color.histogram import match_histogram
from facegraft.merge.color.seamless import seamless_clone
from facegraft.merge.color.transfer import transfer_color
from facegraft.merge.extras import NO_EXTRAS, FrameExtras
from facegraft.merge.mask.face_mask import LEAST, MASK_SIZE, face_mask
from facegraft.merge.params import ColorTransfer, FaceFraming, MergeMode, MergeParams
from facegraft.model_spec import FaceType

_SOLID = 0.1  # of the matte: what seamless cloning and the size check count as face (DeepFaceLab)
_LEAST_SIDE_PX = 4  # a face smaller than this in the frame is left alone
_MARGIN = 2  # px of the mask's square, the reach of cubic sampling

Rect = tuple[int, int, int, int]  # x0, y0, x1, y1 in px, the last two exclusive


@dataclass(frozen=True, slots=True, eq=False)
class MergedFrame:
    """What a merge gives.

    result: (H, W, 3) float32 RGB, display-referred, bit-identical to the image where matte is 0.
    matte:  (H, W) float32 0..1, union of all faces, scaled by `mix`.
    """

    result: np.ndarray
    matte: np.ndarray
    roi: Rect | None  # rectangle that holds all of the matte; None where no face was merged

    def __repr__(self) -> str:
        height, width = self.matte.shape
        return f"MergedFrame({width}x{height}, roi {self.roi})"


def merge_frame(
    image: np.ndarray,
    faces: Sequence[Face],
    model: SwapModel,
    params: MergeParams,
    extras: FrameExtras = NO_EXTRAS,
) -> MergedFrame:
    """`image` with the model's face on every one of `faces`, the largest on top.

    image: (H, W, 3) float32 RGB, display-referred; may hold values outside 0..1.
    extras: what the frame brings along; predictions, for one, save the network's time while other
    parameters change.
    """
    result = image.copy()
    matte = np.zeros(image.shape[:2], np.float32)
    roi: Rect | None = None
    if params.mix > 0 and faces:
        given = [extra.prediction for extra in extras.of_faces(len(faces))]
        predictions = [p for p in given if p is not None]
        if len(predictions) < len(faces):
            predictions = predict_faces(image, faces, model, params)
        face_type = framing(model, params)
        for face, prediction in sorted(
            zip(faces, predictions, strict=True), key=lambda pair: pair[0].size_px
        ):
            patch = _merge_face(image, result, face, prediction, face_type, params)
            if patch is None:
                continue
            rows, columns = slice(patch.rect[1], patch.rect[3]), slice(patch.rect[0], patch.rect[2])
            alpha = patch.alpha * np.float32(params.mix)
            if params.mode is not MergeMode.ORIGINAL:  # which gives the matte alone
                below = result[rows, columns]
                part = cv2.merge((alpha, alpha, alpha))  # numpy broadcasts slowly over channels
                np.copyto(below, below * (1 - part) + patch.face * part, where=part > 0)
            matte[rows, columns] = 1 - (1 - matte[rows, columns]) * (1 - alpha)
            roi = patch.rect if roi is None else _union(roi, patch.rect)
    return MergedFrame(result, matte, roi)


def predict_faces(
    image: np.ndarray, faces: Sequence[Face], model: SwapModel, params: MergeParams
) -> list[Prediction]:
    """The network's part of a merge, one prediction per face.

    Depends on `face_type` and `morph_value` only, so it can be kept while other parameters change.
    """
    face_type = framing(model, params)
    return [
        model.predict(
            _crop(
                image,
                align_matrix(face.landmarks, face_type, model.resolution),
                model.resolution,
            ),
            params.morph_value,
        )
        for face in faces
    ]


def reach(
    faces: Sequence[Face], model: SwapModel, params: MergeParams, shape: tuple[int, ...]
) -> Rect:
    """Rectangle of an (H, W, ...) frame that a merge of `faces` reads or writes; empty for none.

    Pixels outside it may be left undefined by a caller who converts only what is needed.
    """
    size = model.resolution
    low, high = np.array(shape[1::-1]), np.zeros(2, int)
    for face in faces:
        for scale in (1.0, 1 / (1 + params.face_scale / 100)):  # the square read, the one pasted
            square = align_matrix(face.landmarks, framing(model, params), size, scale)
            corners = square_corners(square, size)
            # what cubic sampling and the mask's margin reach beyond it
            margin = np.ptp(corners, axis=0).max() * 2 * _MARGIN / MASK_SIZE + 4
            low = np.minimum(low, np.floor(corners.min(axis=0) - margin).astype(int))
            high = np.maximum(high, np.ceil(corners.max(axis=0) + margin).astype(int))
    (x0, y0), (x1, y1) = np.maximum(low, 0), np.minimum(high, shape[1::-1])
    return (int(x0), int(y0), int(x1), int(y1)) if x0 < x1 and y0 < y1 else (0, 0, 0, 0)


def framing(model: SwapModel, params: MergeParams) -> FaceType:
    """How the model frames a face: as the user says, else as it records, else whole face."""
    if params.face_type is not FaceFraming.AUTO:
        return FaceType(params.face_type.value)
    return model.spec.face_type if model.spec else FaceType.WHOLE_FACE


@dataclass(frozen=True, slots=True, eq=False)
class _Patch:
    """One face, ready to be laid on the frame."""

    face: np.ndarray  # (h, w, 3) float32 RGB
    alpha: np.ndarray  # (h, w) float32 0..1
    rect: Rect


def _merge_face(
    image: np.ndarray,
    below: np.ndarray,
    face: Face,
    prediction: Prediction,
    face_type: FaceType,
    params: MergeParams,
) -> _Patch | None:
    """One face as a patch; None where too little of it would show.

    `image` is the frame as it came, `below` the frame with the faces merged so far.
    """
    size = len(prediction.face)
    into_square = align_matrix(face.landmarks, face_type, size)
    # a square that takes more of the frame shows a larger face
    from_square = invert(
        align_matrix(face.landmarks, face_type, size, scale=1 / (1 + params.face_scale / 100))
    )

    to_mask = scaled(into_square, MASK_SIZE / size)
    landmarks = transform_points(face.landmarks, to_mask)
    mask = face_mask(params.mask_mode, prediction, landmarks, params.erode, params.blur)
    mask_to_frame = from_square * np.array([size / MASK_SIZE, size / MASK_SIZE, 1])
    rect = _footprint(mask, mask_to_frame, image.shape)
    if rect is None:
        return None
    alpha = np.clip(_paste(mask, mask_to_frame, rect, cv2.BORDER_CONSTANT), 0, 1)
    alpha[alpha < LEAST] = 0
    solid = alpha >= _SOLID
    _, _, width, height = cv2.boundingRect(solid.astype(np.uint8))
    if min(width, height) < _LEAST_SIDE_PX:
        return None

    x0, y0, x1, y1 = rect
    backdrop = below[y0:y1, x0:x1]
    if params.mode is MergeMode.ORIGINAL:
        return _Patch(backdrop.copy(), alpha, rect)

    predicted = prediction.face
    if params.mode is not MergeMode.SEAMLESS:
        reference = _crop(image, into_square, size)
        weights = cv2.resize(mask, (size, size), interpolation=cv2.INTER_AREA)
        weights *= _covered(image.shape, into_square, size)
        predicted = transfer_color(params.color_transfer, predicted, reference, weights)
        if params.mode is MergeMode.HIST_MATCH:
            counted = weights if params.hist_match_masked else np.ones_like(weights)
            predicted = match_histogram(predicted, reference, counted, params.hist_match_threshold)

    pasted = np.clip(_paste(predicted, from_square, rect, cv2.BORDER_REPLICATE), 0, 1)
    if params.mode is MergeMode.SEAMLESS:
        light = np.nan_to_num(backdrop)
        pasted = seamless_clone(pasted, light, solid)
        np.clip(pasted, 0, max(1.0, float(light.max())), out=pasted)
        if params.color_transfer is not ColorTransfer.NONE:
            pasted = transfer_color(
                params.color_transfer, np.clip(pasted, 0, 1), np.clip(light, 0, 1), alpha
            )
    return _Patch(pasted, alpha, rect)


def _crop(image: np.ndarray, matrix: np.ndarray, size: int) -> np.ndarray:
    """(size, size, 3) float32 0..1: the face's square.

    Past the frame's border it repeats the border, since black would come back as a dark line.
    """
    square = warp_image(image, matrix, size, size, border=cv2.BORDER_REPLICATE)
    return np.clip(np.nan_to_num(square, copy=False), 0, 1)


def _covered(shape: tuple[int, ...], matrix: np.ndarray, size: int) -> np.ndarray:
    """(size, size) uint8, 1 where the square shows the frame and 0 where it looks past its border.

    What is made up past the border must not count in the statistics of the colours.
    """
    corners = square_corners(matrix, size)
    if corners.min() >= 0 and (corners <= (shape[1], shape[0])).all():
        return np.ones((size, size), np.uint8)
    return warp_image(np.ones(shape[:2], np.uint8), matrix, size, size, cv2.INTER_NEAREST)


def _paste(square: np.ndarray, matrix: np.ndarray, rect: Rect, border: int) -> np.ndarray:
    """The square through `matrix`, as the frame's rectangle shows it."""
    x0, y0, x1, y1 = rect
    local = np.column_stack([matrix[:, :2], matrix[:, 2] - (x0, y0)])
    return warp_image(square, local, x1 - x0, y1 - y0, border=border)


def _footprint(mask: np.ndarray, matrix: np.ndarray, shape: tuple[int, ...]) -> Rect | None:
    """Rectangle of the frame that the mask reaches, or None where it reaches nothing."""
    x, y, width, height = cv2.boundingRect((mask > 0).astype(np.uint8))
    if not width:
        return None
    left, top, right, bottom = x - _MARGIN, y - _MARGIN, x + width + _MARGIN, y + height + _MARGIN
    corners = np.array([[left, top], [right, top], [right, bottom], [left, bottom]], np.float64)
    corners = transform_points(corners, matrix)
    x0, y0 = np.maximum(np.floor(corners.min(axis=0)).astype(int) - 1, 0)
    x1, y1 = np.minimum(np.ceil(corners.max(axis=0)).astype(int) + 1, (shape[1], shape[0]))
    return (int(x0), int(y0), int(x1), int(y1)) if x0 < x1 and y0 < y1 else None


def _union(a: Rect, b: Rect) -> Rect:
    return min(a[0], b[0]), min(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3])
