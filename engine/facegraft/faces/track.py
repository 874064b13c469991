"""Follows faces through a clip: who is who from frame to frame, and steady landmarks.

Faces of neighbouring frames are paired by the overlap of their boxes (best total overlap, the
Hungarian method), so a change of order in the detector's list does not matter. Each track's
landmarks then pass a Gaussian over time. It is centred, so it does not lag as a live filter would.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.optimize import linear_sum_assignment

from facegraft.faces.boxes import iou
from facegraft.faces.face import Face

_LEAST_IOU = 0.2  # a head moves less than half its width between two frames of a shot
_LONGEST_GAP = 5  # frames without the face (a hand, a blur) that a track bridges
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
        for run in _runs(track.places):
            raw = np.stack([_raw(frames[f][i]) for f, i in run])
            smooth = _smooth(raw, smooth_sigma)
            for (frame, i), points, kept in zip(run, smooth, raw, strict=True):
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


def _raw(face: Face) -> np.ndarray:
    return face.landmarks if face.raw_landmarks is None else face.raw_landmarks


def _assign(frames: Sequence[list[Face]], cuts: frozenset[int]) -> list[_Track]:
    tracks: list[_Track] = []
    live: list[_Track] = []
    for frame, faces in enumerate(frames):
        live = [
            track
            for track in live
            if frame not in cuts and frame - track.last_frame <= _LONGEST_GAP + 1
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


def _runs(places: list[tuple[int, int]]) -> list[list[tuple[int, int]]]:
    """Stretches of consecutive frames: the filter takes frames as evenly spaced in time."""
    runs: list[list[tuple[int, int]]] = []
    for place in places:
        if runs and place[0] == runs[-1][-1][0] + 1:
            runs[-1].append(place)
        else:
            runs.append([place])
    return runs


def _smooth(points: np.ndarray, sigma: float) -> np.ndarray:
    """(T, 68, 2) through a Gaussian over time.

    The ends are continued by point reflection, 2 * end - inner, so that a head in steady motion
    goes on moving there; repeating or mirroring the end would pull it inward.
    """
    reach = min(int(_TRUNCATE * sigma + 0.5), len(points) - 1)
    if sigma <= 0 or reach < 1:
        return points
    first = 2 * points[:1] - points[reach:0:-1]
    last = 2 * points[-1:] - points[-2 : -reach - 2 : -1]
    extended = np.concatenate([first, points, last]).astype(np.float64)
    smooth = gaussian_filter1d(extended, sigma, axis=0, radius=reach, mode="nearest")
    return smooth[reach:-reach].astype(np.float32)
