"""Faces of a clip in one JSON file: what a host that tracked them keeps beside its own file.

    {"version": 1, "size": [1920, 1080], "detector": "...",
     "frames": {"0": [{"landmarks": [[x, y] 68 times], "box": [x0, y0, x1, y1], "score": 0.97,
                       "track": 0, "held": false, "raw_landmarks": [...]}], "1": ...}}

Frames are named by their index in the clip; frames without a face are absent. Pixels of the clip,
corner convention, two decimals, which is below what any network resolves.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from facegraft.errors import FacesetError, FutureVersion, ParameterError, SourceNotFound
from facegraft.faces.face import Face
from facegraft.faces.track import raw_points
from facegraft.files import write_atomic
from facegraft.merge.clip.faces import ClipFaces, clip_faces

VERSION = 1
_DECIMALS = 2


def save_tracks(path: Path, clip: ClipFaces, width: int, height: int, detector: str) -> None:
    """Write the file. `width`, `height`: of the clip's frames, px. Raises: WriteError."""
    frames = {str(i): [_to_values(face) for face in faces] for i, faces in clip.frames.items()}
    values = {
        "version": VERSION,
        "size": [width, height],
        "detector": detector,
        "frames": frames,
    }
    write_atomic(path, json.dumps(values, separators=(",", ":")).encode())


def load_tracks(path: Path, width: int, height: int) -> ClipFaces:
    """The faces for a clip of this size, to which the tracked one was scaled.

    Raises: SourceNotFound, FacesetError for a damaged file, FutureVersion, ParameterError where the
    clip has other proportions.
    """
    try:
        values = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise SourceNotFound(f"cannot read the track file {path}: {error.strerror}") from error
    except ValueError as error:
        raise FacesetError(f"{path} is no track file ({error}); track the faces again") from error
    try:
        if values["version"] > VERSION:
            raise FutureVersion(
                f"{path} has version {values['version']}, this FaceGraft reads up to {VERSION}; "
                "update FaceGraft"
            )
        was_width, was_height = (int(v) for v in values["size"])
        frames = {int(i): [_face(v) for v in faces] for i, faces in values["frames"].items()}
    except FutureVersion:
        raise  # it is a ValueError too
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise FacesetError(
            f"{path} is no track file, or damaged ({error!r}); track the faces again"
        ) from error
    scale = width / was_width
    if abs(was_height * scale - height) > 1:  # px; proxies round their sides
        raise ParameterError(
            f"the clip is {width}x{height} px, the tracked one was {was_width}x{was_height}; give "
            "the clip that was tracked"
        )
    return clip_faces({i: [_scaled(face, scale) for face in f] for i, f in frames.items()})


def _to_values(face: Face) -> dict[str, Any]:
    return {
        "landmarks": _rounded(face.landmarks),
        "raw_landmarks": _rounded(raw_points(face)),
        "box": _rounded(np.asarray(face.box)),
        "score": round(float(face.score), 4),
        "track": face.track,
        "held": face.held,
    }


def _face(values: Mapping[str, Any]) -> Face:
    points, raw = (np.asarray(values[k], np.float32) for k in ("landmarks", "raw_landmarks"))
    if points.shape != (68, 2) or raw.shape != (68, 2):
        raise ValueError(f"a face has landmarks of shape {points.shape} and {raw.shape}")
    x0, y0, x1, y1 = (float(v) for v in values["box"])
    return Face(
        points,
        (x0, y0, x1, y1),
        float(values["score"]),
        raw,
        int(values["track"]),
        bool(values["held"]),
    )


def _scaled(face: Face, scale: float) -> Face:
    if scale == 1:
        return face
    x0, y0, x1, y1 = (value * scale for value in face.box)
    return replace(
        face,
        landmarks=(face.landmarks * scale).astype(np.float32),
        raw_landmarks=(raw_points(face) * scale).astype(np.float32),
        box=(x0, y0, x1, y1),
    )


def _rounded(values: np.ndarray) -> list[Any]:
    return np.round(values.astype(np.float64), _DECIMALS).tolist()
