"""Seat: how far a model's faces lie beside the face that they replace, over a clip.

A model is trained on faces laid on a template by 33 landmarks, so its pictures should lie there
too. Two things move them. It reads another person's code slightly askew, always by about the same
amount. And the template lays brows on brows: a person who wears them higher is trained lower. So in
some frames the detector looks at the frame's face and then at the model's face laid over it, both
cut alike. The similarity that best lays eyes, nose and mouth of the second on those of the first
is what the placement controls must do. Medians over the frames keep blinks, hands and misses out.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from facegraft.errors import Cancelled, ParameterError
from facegraft.faces.align import (
    align_matrix,
    compose,
    fit_similarity,
    invert,
    scaled,
    transform_points,
)
from facegraft.faces.boxes import iou
from facegraft.faces.clip import Detector
from facegraft.faces.face import Face
from facegraft.faces.landmarks import hull_mask
from facegraft.inference import SwapModel
from facegraft.media.source import FrameSource
from facegraft.merge.clip.faces import ClipFaces
from facegraft.merge.clip.params import SEAT_ROWS
from facegraft.merge.geometry import crop, framing
from facegraft.merge.params import MergeParams
from facegraft.progress import Progress, Silent

FRAMES = 24  # looked at; the median then errs by a quarter of the spread of single ones
_LEAST_FRAMES = 3  # fewer give no median worth the name
_CANVAS = 512  # px: the detector's picture of a face, whatever the frame's size
_SPAN = 0.625  # of the canvas that the square takes; detectors want some of the room around a head
_EDGE = 0.02  # of the canvas: sigma of the fade from the model's picture into the frame
_SAME_FACE = 0.4  # least overlap of boxes, to take two findings for one face
_FEATURES = slice(27, 68)  # nose, eyes and mouth; brows are hair, and the jaw the frame's own
_MAD_TO_SIGMA = 1.4826  # of a normal distribution
_MEDIAN_ERROR = 1.2533  # standard error of a median, by that of a mean

Similarity = tuple[float, float, float, float]  # x and y in permille, percent, degrees


@dataclass(frozen=True, slots=True)
class Seat:
    """A correction in the units of MergeParams, to add to its rows of placement."""

    face_offset_x: float  # permille of the face square
    face_offset_y: float
    face_scale: float  # percent
    face_rotation: float  # degrees
    spread: Similarity  # of single frames, as a standard deviation, in the same order
    frame_count: int  # frames it was measured in

    def added_to(self, params: MergeParams) -> MergeParams:
        """`params` with the correction; the factors of size multiply."""
        return seated(params, {name: getattr(self, name) for name in SEAT_ROWS})

    def to_values(self) -> dict[str, float]:
        """The rows of MergeParams that it sets, rounded to what it can know."""
        return {name: round(getattr(self, name), 2) for name in SEAT_ROWS}


def seated(params: MergeParams, seat: Mapping[str, float]) -> MergeParams:
    """`params` with a seat's SEAT_ROWS added, those that are left out being 0."""
    x, y, percent, angle = (seat.get(name, 0.0) for name in SEAT_ROWS)
    size = (1 + params.face_scale / 100) * (1 + percent / 100)
    return replace(
        params,
        face_offset_x=params.face_offset_x + x,
        face_offset_y=params.face_offset_y + y,
        face_scale=(size - 1) * 100,
        face_rotation=params.face_rotation + angle,
    )


def seat(
    model: SwapModel,
    source: FrameSource,
    clip: ClipFaces,
    detector: Detector,
    params: MergeParams,
    frames: int = FRAMES,
    progress: Progress | None = None,
) -> Seat:
    """The correction for `model` on the largest face of up to `frames` frames, spread over `clip`.

    What does not stand out from the spread of the frames is left out, by as much as it is doubtful.
    params: framing and morph value of the merge; its placement does not count.
    Raises: ParameterError where too few of the model's faces are found, UnreadableMedia,
    ModelError, Cancelled.
    """
    progress = progress or Silent()
    chosen = frames_to_look_at(clip, frames)
    progress.start(len(chosen), "frames looked at for the seat")
    found: list[Similarity] = []
    for index in chosen:
        moved = displacement(source[index].image, clip.at(index)[0], model, detector, params)
        if moved is not None:
            found.append(moved)
        progress.advance()
        if progress.cancelled:
            raise Cancelled("the seat is not measured; run again")
    return seat_of(found, len(chosen))


def frames_to_look_at(clip: ClipFaces, count: int = FRAMES) -> list[int]:
    """Up to `count` frames, spread over the clip, whose largest face was found and not held."""
    known = [i for i in sorted(clip.frames) if not clip.at(i)[0].held]
    return [known[int(i)] for i in np.linspace(0, len(known) - 1, min(count, len(known)))]


def seat_of(found: Sequence[Similarity], looked: int) -> Seat:
    """The correction from what `displacement` found in `looked` frames.

    Raises: ParameterError where it found too few.
    """
    if len(found) < _LEAST_FRAMES:
        raise ParameterError(
            f"the model's face is found in {len(found)} of {looked} frames, {_LEAST_FRAMES} "
            "are needed; train it longer, or place it by hand"
        )
    values = np.array(found)
    middle = np.median(values, axis=0)
    off = _MAD_TO_SIGMA * np.median(np.abs(values - middle), axis=0)
    error = _MEDIAN_ERROR * off / math.sqrt(len(found))
    # what is measured less surely is corrected less: positive-part shrinkage (James, Stein 1961)
    sure = np.maximum(0.0, 1 - (error / np.maximum(np.abs(middle), 1e-9)) ** 2)
    x, y, size, angle = (middle * sure).tolist()
    spread = (float(off[0]), float(off[1]), float(off[2]), float(off[3]))
    return Seat(x, y, size, angle, spread, len(found))


def displacement(
    image: np.ndarray, face: Face, model: SwapModel, detector: Detector, params: MergeParams
) -> Similarity | None:
    """What seats the model's face in one (H, W, 3) float32 RGB frame; None where it is not found.

    The frame's own face is looked for again, in the same cut, so that what the detector makes of
    the cut and what smoothing moved both cancel out.
    """
    # to 8 bits, as the detector sees it: a host's float copy of a clip then gives the same seat
    image = np.rint(np.clip(image, 0, 1) * 255).astype(np.float32) / 255
    size = model.resolution
    into = align_matrix(face.landmarks, framing(model, params), size)
    square = np.clip(crop(image, into, size), 0, 1)
    predicted = model.predict(square, params.morph_value).face
    span = round(_CANVAS * _SPAN)
    at = (_CANVAS - span) // 2
    canvas = np.array([[1.0, 0.0, at], [0.0, 1.0, at]])
    to_canvas = compose(canvas, scaled(into, span / size))
    before = np.clip(crop(image, to_canvas, _CANVAS), 0, 1)
    after = before.copy()
    expected = transform_points(face.landmarks, to_canvas)
    # the hull of the frame's face: past it a model paints what it likes, which misleads a detector
    fade = cv2.GaussianBlur(hull_mask(expected, _CANVAS, _CANVAS), (0, 0), _EDGE * _CANVAS)
    inside = after[at : at + span, at : at + span]
    larger = cv2.resize(predicted, (span, span), interpolation=cv2.INTER_CUBIC)
    inside += (larger - inside) * fade[at : at + span, at : at + span, None]
    own = _landmarks(before, expected, detector)
    swapped = _landmarks(after, expected, detector)
    if own is None or swapped is None:
        return None
    return in_rows(own, swapped, scaled(invert(canvas), 1 / span))


def in_rows(own: np.ndarray, swapped: np.ndarray, into_square: np.ndarray) -> Similarity:
    """The placement that lays the features of `swapped` landmarks on those of `own`.

    Both (68, 2), in a picture that `into_square` (2, 3) maps to the face's square of side 1.
    """
    own, swapped = (transform_points(p.astype(np.float64), into_square) for p in (own, swapped))
    moved = fit_similarity(swapped[_FEATURES], own[_FEATURES])
    scale = math.sqrt(np.linalg.det(moved[:, :2]))
    angle = math.degrees(math.atan2(moved[1, 0], moved[0, 0]))
    x, y = 1000 * (transform_points(np.array([[0.5, 0.5]]), moved)[0] - 0.5)
    return float(x), float(y), 100 * (scale - 1), angle


def _landmarks(image: np.ndarray, expected: np.ndarray, detector: Detector) -> np.ndarray | None:
    """(68, 2) of the face that lies where `expected` points do, in a float picture 0..1."""
    faces = detector.detect(np.rint(image * 255).astype(np.uint8))
    if not faces:
        return None
    box = np.concatenate([expected.min(axis=0), expected.max(axis=0)])
    overlap = iou(box, np.array([face.box for face in faces]))
    best = int(np.argmax(overlap))
    return faces[best].landmarks if overlap[best] >= _SAME_FACE else None
