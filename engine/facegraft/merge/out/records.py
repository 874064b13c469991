"""What a merge knows of every frame beside pixels, as JSON: faces, matrices, confidence.

A path that ends in .json is one file of the whole clip, written when it is closed; frames that an
earlier run left in it stay. A folder, or a pattern such as m.####.json, gets a file a frame, which
machines of a farm may write side by side.

Points and matrices use the corner convention: (0, 0) is the corner of the top left pixel, and
`matrix` takes frame px to the face's square 0..1, (0, 0) at its top left. `matrix` is the square as
it is pasted, `matrix_seen` the one the network saw; placement controls make them differ.
"""

import json
from pathlib import Path
from typing import Any

from facegraft.errors import ParameterError
from facegraft.files import write_atomic
from facegraft.media.source import Frame, SourceInfo
from facegraft.merge.frame import MergedFace
from facegraft.merge.out.naming import FileNames

RECORDS_VERSION = 1
_DIGITS = 4  # decimals of pixel coordinates


def frame_record(frame: Frame, faces: tuple[MergedFace, ...]) -> dict[str, Any]:
    """One frame's values; `confidence` is that of its least certain face, None without any."""
    scores = [merged.face.score for merged in faces]
    return {
        "frame": frame.name,
        "index": frame.index,
        "seconds": str(frame.pts),
        "confidence": round(min(scores), 4) if scores else None,
        "faces": [_face_record(merged) for merged in faces],
    }


def _face_record(merged: MergedFace) -> dict[str, Any]:
    face = merged.face
    return {
        "track": face.track,
        "confidence": round(float(face.score), 4),
        "held": face.held,  # bridged over a gap, not seen in this frame
        "box": [round(float(v), _DIGITS) for v in face.box],
        "matrix": merged.pasted_square.tolist(),
        "matrix_seen": merged.into_square.tolist(),
        "landmarks": [[round(float(v), _DIGITS) for v in point] for point in face.landmarks],
    }


class RecordWriter:
    """Records in one file or one a frame. Raises: ParameterError for another suffix, WriteError."""

    def __init__(self, path: Path, info: SourceInfo) -> None:
        self._names = FileNames.of(path, ".json")
        self._path = path
        self._info = info
        self._frames: dict[int, dict[str, Any]] = {}
        if self._names is None:
            if path.suffix.lower() != ".json":
                raise ParameterError(f"records are JSON, {path} is not; use .json or a folder")
            self._frames = _frames_in(path)

    def path_of(self, name: str, index: int) -> Path | None:
        """The file of one frame; None where all share one."""
        return self._names and self._names.path_of(name, index)

    def has(self, index: int) -> bool:
        """Whether the shared file holds the frame already."""
        return index in self._frames

    def write(self, frame: Frame, record: dict[str, Any]) -> None:
        path = self.path_of(frame.name, frame.index)
        if path is None:
            self._frames[frame.index] = record
        else:
            write_atomic(path, _encoded({**self._head(), "frames": [record]}))

    def close(self) -> None:
        """Write the shared file, if there is a frame to write."""
        if self._names is None and self._frames:
            frames = [self._frames[index] for index in sorted(self._frames)]
            write_atomic(self._path, _encoded({**self._head(), "frames": frames}))

    def _head(self) -> dict[str, Any]:
        info = self._info
        return {
            "version": RECORDS_VERSION,
            "clip": info.path.name,
            "width": info.width,
            "height": info.height,
            "fps": str(info.fps),
        }


def _encoded(values: dict[str, Any]) -> bytes:
    return json.dumps(values, indent=1).encode()


def _frames_in(path: Path) -> dict[int, dict[str, Any]]:
    """Frames of an earlier run. Raises: ParameterError for a file that is not ours."""
    if not path.exists():
        return {}
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if values["version"] > RECORDS_VERSION:
            raise ParameterError(
                f"{path} has version {values['version']}, this FaceGraft writes {RECORDS_VERSION}; "
                "update FaceGraft or choose another file"
            )
        return {int(record["index"]): record for record in values["frames"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        if isinstance(error, ParameterError):
            raise
        raise ParameterError(
            f"{path} exists and holds no records of a merge ({error}); choose another file"
        ) from error
