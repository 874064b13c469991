"""Frames of a clip that somebody should look at before a night of rendering, each with a sentence.

Landmarks are judged as the network gave them, along each track. A jump is an acceleration far above
what is usual in its own track: a quick head has a quick usual. Sizes and poses that change more
within a frame than a head can are reported by what they are.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np

from facegraft.faces.face import Face
from facegraft.faces.landmarks import estimate_pose
from facegraft.faces.track import raw_points
from facegraft.files import write_atomic
from facegraft.media.source import FrameSource
from facegraft.merge.clip.faces import ClipFaces, Track
from facegraft.merge.clip.params import ClipParams

_STILLEST = 0.0015  # of the face's size: the network's own jitter, under which no track is quieter
_LEAST_STEPS = 5  # accelerations that tell what is usual
_SIZE_STEP = 0.12  # change by frame; a head that comes near at a run grows by a twentieth
_POSE_STEP = 18.0  # degrees by frame; the quickest shake of a head turns by about twelve


class Reason(StrEnum):
    NO_FACE = "no_face"
    HELD = "held"
    CONFIDENCE = "confidence"
    JUMP = "jump"
    SIZE = "size"
    POSE = "pose"


@dataclass(frozen=True, slots=True)
class Suspicion:
    """Something to look at, in one frame or a run of frames."""

    reason: Reason
    first: int  # index of the frame
    last: int  # the same in most cases
    frame: str  # name of the first
    track: int  # -1 where it is about no track
    value: float  # what was measured, in the sentence's terms
    sentence: str


def find_suspicious(
    clip: ClipFaces, source: FrameSource, indices: Sequence[int], params: ClipParams
) -> list[Suspicion]:
    """What stands out in the frames at `indices` (rising), in their order.

    `clip` as it will be merged: steadied, held and chosen. Nothing is decoded.
    """
    asked = set(indices)
    found = _runs_without_face(clip, source, indices)
    for track in clip.tracks():
        found += _held_runs(track, source)
        found += _doubtful(track, source, params.report_confidence)
        found += _jumps(track, source, params.report_jump)
        found += _steps(track, source)
    order = list(Reason)
    kept = [s for s in found if s.first in asked]
    return sorted(kept, key=lambda s: (s.first, s.track, order.index(s.reason)))


def write_report(path: Path, suspicions: Sequence[Suspicion], clip_name: str) -> None:
    """The list as JSON. Raises: WriteError."""
    values = {"version": 1, "clip": clip_name, "suspicious": [asdict(s) for s in suspicions]}
    write_atomic(path, json.dumps(values, indent=1).encode())


def accelerations(track: Track) -> dict[int, float]:
    """By frame with both neighbours: mean length of its points' second difference, by face size."""
    points = {
        index: (raw_points(face), face.size_px)
        for index, face in zip(track.indices, track.faces, strict=True)
        if not face.held
    }
    result: dict[int, float] = {}
    for index, (at, size) in points.items():
        if index - 1 in points and index + 1 in points:
            bend = points[index - 1][0] - 2 * at + points[index + 1][0]
            result[index] = float(np.linalg.norm(bend, axis=1).mean()) / max(size, 1e-6)
    return result


def _runs_without_face(
    clip: ClipFaces, source: FrameSource, indices: Sequence[int]
) -> list[Suspicion]:
    found = []
    for first, last in _runs([i for i in indices if not clip.at(i)]):
        name = source.name_of(first)
        text = (
            f"No face in frame {name}"
            if first == last
            else (f"No face in {last - first + 1} frames, {name} to {source.name_of(last)}")
        )
        count = float(last - first + 1)
        found.append(Suspicion(Reason.NO_FACE, first, last, name, -1, count, text + "."))
    return found


def _held_runs(track: Track, source: FrameSource) -> list[Suspicion]:
    held = [i for i, face in zip(track.indices, track.faces, strict=True) if face.held]
    found = []
    for first, last in _runs(held):
        count = last - first + 1
        frames = "1 frame" if count == 1 else f"{count} frames"
        text = f"Track {track.number} was lost for {frames} and is held; look for a hand or a blur."
        name = source.name_of(first)
        found.append(Suspicion(Reason.HELD, first, last, name, track.number, float(count), text))
    return found


def _doubtful(track: Track, source: FrameSource, least: float) -> list[Suspicion]:
    found = []
    for index, face in _real(track):
        if face.score < least:
            text = (
                f"The detector is unsure of track {track.number} (confidence {face.score:.2f}, "
                f"{least:.2f} is asked for)."
            )
            found.append(_one(Reason.CONFIDENCE, index, source, track, face.score, text))
    return found


def _jumps(track: Track, source: FrameSource, times_usual: float) -> list[Suspicion]:
    bends = accelerations(track)
    if len(bends) < _LEAST_STEPS:
        return []
    usual = max(float(np.median(list(bends.values()))), _STILLEST)
    found = []
    for index, bend in bends.items():
        # a single wrong frame bends its neighbours' paths too, by half as much
        is_peak = bend >= max(bends.get(index - 1, 0.0), bends.get(index + 1, 0.0))
        if bend > times_usual * usual and is_peak:
            text = (
                f"The landmarks of track {track.number} jump, {bend / usual:.0f} times as far as "
                "usual in it."
            )
            found.append(_one(Reason.JUMP, index, source, track, bend / usual, text))
    return found


def _steps(track: Track, source: FrameSource) -> list[Suspicion]:
    """Changes of size and pose from one frame to the next one that has the face."""
    found = []
    real = _real(track)
    poses = [estimate_pose(raw_points(face)) for _, face in real]
    for n in range(1, len(real)):
        (before, a), (index, b) = real[n - 1], real[n]
        frames = index - before
        grown = math.log(max(b.size_px, 1e-6) / max(a.size_px, 1e-6))
        if abs(grown) > _SIZE_STEP * frames:
            percent = 100 * (math.exp(grown) - 1)
            text = f"Track {track.number} changes its size by {percent:+.0f} % at once."
            found.append(_one(Reason.SIZE, index, source, track, percent, text))
        turns = [
            abs((q - p + 180) % 360 - 180)
            for p, q in (
                (poses[n - 1].yaw, poses[n].yaw),
                (poses[n - 1].pitch, poses[n].pitch),
                (poses[n - 1].roll, poses[n].roll),
            )
        ]
        if max(turns) > _POSE_STEP * frames:
            text = f"The head of track {track.number} turns by {max(turns):.0f} degrees at once."
            found.append(_one(Reason.POSE, index, source, track, max(turns), text))
    return found


def _one(
    reason: Reason, index: int, source: FrameSource, track: Track, value: float, text: str
) -> Suspicion:
    name = source.name_of(index)
    return Suspicion(reason, index, index, name, track.number, round(float(value), 3), text)


def _real(track: Track) -> list[tuple[int, Face]]:
    pairs = zip(track.indices, track.faces, strict=True)
    return [(index, face) for index, face in pairs if not face.held]


def _runs(indices: Sequence[int]) -> list[tuple[int, int]]:
    """First and last of each unbroken run of rising whole numbers."""
    runs: list[tuple[int, int]] = []
    for index in indices:
        if runs and index == runs[-1][1] + 1:
            runs[-1] = (runs[-1][0], index)
        else:
            runs.append((index, index))
    return runs
