"""Faces over time: steady landmarks, a steadier square, short gaps bridged, neighbours weighed.

Everything runs along tracks, which end at cuts, and looks both ways, so nothing lags. Landmarks
are smoothed by local lines with Gaussian weights (`faces/track.py`). Size and tilt of the square
that they lay out can be smoothed further, by moving the 68 points as one rigid piece, so that
expression and place stay. In a gap each point goes from where it was to where it comes back on a
monotone cubic (PCHIP: Fritsch and Butland 1984), which never overshoots.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.interpolate import PchipInterpolator

from facegraft.faces.align import fit_similarity, transform_points
from facegraft.faces.face import Face
from facegraft.faces.landmarks import ALIGNMENT_POINTS, MEAN_FACE
from facegraft.faces.track import raw_points, smooth_points
from facegraft.merge.clip.faces import ClipFaces, Track, clip_faces
from facegraft.merge.clip.params import ClipParams

_SIGMAS = (
    2.0  # that the reach of `neighbours` holds; beyond it a Gaussian weighs an eighth and less
)
_STORED_PX = 2e-3  # landmarks that a file keeps may be off by this and are the same ones


def steadied(clip: ClipFaces, params: ClipParams) -> ClipFaces:
    """The clip's faces after `min_confidence`, `steady`, `steady_crop` and `hold`.

    Smoothing begins from the network's points, so it does not add to an earlier one; a track that
    was smoothed like this before keeps its landmarks to the bit. Faces that are held already stay
    out of it and are made anew.
    """
    kept = {
        index: [face for face in faces if face.score >= params.min_confidence and not face.held]
        for index, faces in clip.frames.items()
    }
    frames: dict[int, list[Face]] = {
        index: [face for face in faces if face.track < 0] for index, faces in kept.items()
    }
    for track in clip_faces(kept).tracks():
        for index, face in zip(track.indices, _smoothed(track, params), strict=True):
            frames[index].append(face)
    steady = clip_faces(frames)
    return steady if params.hold == 0 else held(steady, params.hold)


def held(clip: ClipFaces, longest: int) -> ClipFaces:
    """The clip with gaps of up to `longest` frames inside tracks filled by faces marked `held`.

    A held face's score is that of the less certain end of its gap, and falls towards the middle to
    half of it.
    """
    frames = {index: list(faces) for index, faces in clip.frames.items()}
    for track in clip.tracks():
        times = np.array(track.indices)
        gaps = [n for n, step in enumerate(np.diff(times)) if 1 < step <= longest + 1]
        if not gaps:
            continue
        paths = PchipInterpolator(times, np.stack([face.landmarks for face in track.faces]))
        for n in gaps:
            before, after = track.faces[n], track.faces[n + 1]
            length = times[n + 1] - times[n]
            for index in range(times[n] + 1, times[n + 1]):
                points = paths(index).astype(np.float32)
                away = min(index - times[n], times[n + 1] - index) / length  # up to 1/2
                score = min(before.score, after.score) * (1 - away)
                x0, y0, x1, y1 = (*points.min(axis=0).tolist(), *points.max(axis=0).tolist())
                face = Face(points, (x0, y0, x1, y1), float(score), None, track.number, held=True)
                frames.setdefault(int(index), []).append(face)
    return clip_faces(frames)


def neighbours(
    clip: ClipFaces, index: int, track: int, radius: float
) -> Sequence[tuple[int, float]]:
    """Frames around `index` that have the face of `track`, with weights that sum to 1.

    radius: how far it looks to either side, in frames; two sigmas of the Gaussian. Tracks end at
    cuts, so this never looks across one. Held faces weigh by their lowered score, since there the
    picture may show a hand. Empty where the frame itself lacks the face.
    """
    reach = math.ceil(radius)
    faces = {i: _of_track(clip, i, track) for i in range(index - reach, index + reach + 1)}
    if faces[index] is None:
        return []
    sigma = max(radius / _SIGMAS, 1e-6)
    weights = {
        i: math.exp(-0.5 * ((i - index) / sigma) ** 2) * (face.score if face.held else 1.0)
        for i, face in faces.items()
        if face is not None
    }
    total = sum(weights.values())
    return [(i, weight / total) for i, weight in weights.items()] if total > 0 else [(index, 1.0)]


def _smoothed(track: Track, params: ClipParams) -> list[Face]:
    times = np.array(track.indices)
    raw = np.stack([raw_points(face) for face in track.faces])
    points = smooth_points(raw, times, params.steady)
    given = np.stack([face.landmarks for face in track.faces])
    if np.abs(points - given).max() <= _STORED_PX:  # a host that takes them gets the same pixels
        points = given
    if params.steady_crop > 0:
        points = _with_steady_square(points, times, params.steady_crop)
    return [
        replace(face, landmarks=smooth, raw_landmarks=before)
        for face, smooth, before in zip(track.faces, points, raw, strict=True)
    ]


def _with_steady_square(points: np.ndarray, times: np.ndarray, sigma: float) -> np.ndarray:
    """(T, 68, 2) points, each frame's turned and scaled about its own middle so that size and tilt
    of the square, which follow from the points, run along smoothly."""
    anchors = points[:, ALIGNMENT_POINTS]
    fits = [fit_similarity(MEAN_FACE[ALIGNMENT_POINTS - 17], anchor)[:, :2] for anchor in anchors]
    size = np.log([math.sqrt(np.linalg.det(fit)) for fit in fits])
    tilt = np.unwrap([math.atan2(fit[1, 0], fit[0, 0]) for fit in fits])
    now = np.stack([size, tilt], axis=1)
    change = smooth_points(now, times, sigma) - now
    result = []
    for frame, middle, (grow, turn) in zip(points, anchors.mean(axis=1), change, strict=True):
        c, s = math.exp(grow) * math.cos(turn), math.exp(grow) * math.sin(turn)
        linear = np.array([[c, -s], [s, c]])
        matrix = np.column_stack([linear, middle - linear @ middle])
        result.append(transform_points(frame, matrix))
    return np.stack(result)


def _of_track(clip: ClipFaces, index: int, track: int) -> Face | None:
    return next((face for face in clip.at(index) if face.track == track), None)
