"""Follows faces through a clip: who is who from frame to frame, and steady landmarks.

Faces of neighbouring frames are paired by the overlap of their boxes (best total overlap, the
Hungarian method), so a change of order in the detector's list does not matter. Each track's
landmarks are then smoothed over time by Gaussian weights. They look both ways, so the result does
not lag as a live filter's would.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
from scipy.optimize import linear_sum_assignment

from facegraft.faces.boxes import iou
from facegraft.faces.face import Face

_LEAST_IOU = 0.2  # a head moves less than half its width between two frames of a shot
LONGEST_GAP = 5  # frames without the face (a hand, a blur) that a track bridges
_TRUNCATE = 4.0  # the Gaussian's reach, in sigmas
_THUMBNAIL = 32  # px: small enough that motion of one face is not a cut
# mean difference of the thumbnails over their contrast: two shots of like framing differ by 0.85
# and more, a pan by a twentieth of the width per frame by 0.6, a talking head by 0.15
_CUT = 0.7
_LEAST_CONTRAST = 8.0  # grey levels: noise in a black or white frame is no contrast


@dataclass(slots=True)
class _Track:
    """A track while it is built; `places` are (frame, position in that frame's list)."""

    number: int
    box: np.ndarray
    last_frame: int
    places: list[tuple[int, int]] = field(default_factory=list)


def track_faces(
    frames: Sequence[list[Face]], cuts: Sequence[int] = (), smooth_sigma: float = 1.0
) -> list[list[Face]]:
    """The same faces with `track` set and landmarks smoothed, in the same order.

    `frames`: faces of consecutive frames. `cuts`: indices of frames that begin a new shot; tracks
    end there. `smooth_sigma` in frames; 0 leaves the landmarks. `raw_landmarks` keep the network's.
    """
    result = [list(faces) for faces in frames]
    for track in _assign(frames, frozenset(cuts)):
        raw = np.stack([raw_points(frames[frame][i]) for frame, i in track.places])
        times = np.array([frame for frame, _ in track.places])
        smooth = smooth_points(raw, times, smooth_sigma)
        for (frame, i), points, kept in zip(track.places, smooth, raw, strict=True):
            result[frame][i] = replace(
                frames[frame][i], landmarks=points, raw_landmarks=kept, track=track.number
            )
    return result


def is_cut(previous_u8: np.ndarray, current_u8: np.ndarray) -> bool:
    """Whether two neighbouring (H, W, 3) uint8 RGB frames belong to different shots.

    Compares grey thumbnails: their mean difference against how much one of them varies in itself,
    so that dark scenes are judged like bright ones.
    """
    before, after = _thumbnail(previous_u8), _thumbnail(current_u8)
    contrast = max(float(before.std()), float(after.std()), _LEAST_CONTRAST)
    return float(np.abs(before - after).mean()) > _CUT * contrast


def _thumbnail(image_u8: np.ndarray) -> np.ndarray:
    small = cv2.resize(image_u8, (_THUMBNAIL, _THUMBNAIL), interpolation=cv2.INTER_AREA)
    return cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).astype(np.float32)


def raw_points(face: Face) -> np.ndarray:
    """(68, 2): the points as the network gave them, where the face still knows them."""
    return face.landmarks if face.raw_landmarks is None else face.raw_landmarks


def _assign(frames: Sequence[list[Face]], cuts: frozenset[int]) -> list[_Track]:
    tracks: list[_Track] = []
    live: list[_Track] = []
    for frame, faces in enumerate(frames):
        live = [
            track
            for track in live
            if frame not in cuts and frame - track.last_frame <= LONGEST_GAP + 1
        ]
        boxes = np.array([face.box for face in faces], np.float64).reshape(-1, 4)
        owner = _pair(live, boxes)
        for i, box in enumerate(boxes):
            track = owner.get(i)
            if track is None:
                track = _Track(len(tracks), box, frame)
                tracks.append(track)
                live.append(track)
            track.box, track.last_frame = box, frame
            track.places.append((frame, i))
    return tracks


def _pair(live: list[_Track], boxes: np.ndarray) -> dict[int, _Track]:
    """Which live track each box continues, for the greatest sum of overlaps."""
    if not live or not len(boxes):
        return {}
    overlap = np.array([iou(track.box, boxes) for track in live])
    rows, columns = linear_sum_assignment(overlap, maximize=True)
    return {
        int(column): live[row]
        for row, column in zip(rows, columns, strict=True)
        if overlap[row, column] >= _LEAST_IOU
    }


def smooth_points(points: np.ndarray, times: np.ndarray, sigma: float) -> np.ndarray:
    """(T, ...) values at rising frame numbers `times`, as a straight line fitted around each
    frame with Gaussian weights (local linear regression, Cleveland 1979).

    Where neighbours stand evenly on both sides that is the Gaussian filter. At the ends and beside
    a gap, where the plain filter would pull a moving head inward, it follows the motion.
    """
    if sigma <= 0 or len(points) < 3:  # a line through two points is those points
        return points
    first, count = int(times[0]), int(times[-1] - times[0]) + 1
    reach = min(int(_TRUNCATE * sigma + 0.5), count - 1)
    # on the full row of frames with zeros at gaps, each neighbour distance is one array operation
    present = np.zeros(count + 2 * reach)
    values = np.zeros((count + 2 * reach, *points.shape[1:]))
    present[times - first + reach], values[times - first + reach] = 1.0, points
    s0, s1, s2 = np.zeros((3, count))  # sums of weight, of weight * distance, of distance squared
    v0, v1 = np.zeros((2, count, *points.shape[1:]))  # the same with the values
    for distance in range(-reach, reach + 1):
        at = slice(reach + distance, reach + distance + count)
        weight = math.exp(-0.5 * (distance / sigma) ** 2)
        s0 += weight * present[at]
        s1 += weight * distance * present[at]
        s2 += weight * distance**2 * present[at]
        v0 += weight * values[at]
        v1 += weight * distance * values[at]
    here = times - first
    s0, s1, s2, v0, v1 = s0[here], s1[here], s2[here], v0[here], v1[here]
    spread = s0 * s2 - s1**2  # 0 for a frame without a neighbour in reach
    alone = spread < 1e-9 * s0**2
    along = np.where(alone, 0.0, s1) / np.where(alone, 1.0, spread)
    across = np.where(alone, 1.0 / s0, s2 / np.where(alone, 1.0, spread))
    along, across = (part.reshape(-1, *[1] * (points.ndim - 1)) for part in (along, across))
    return (across * v0 - along * v1).astype(points.dtype)
