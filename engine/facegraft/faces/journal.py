"""Detections on disk, one JSON line a frame, readable up to the last whole line.

The first line says what was searched and how; a file that says otherwise is never mixed in. A crash
in mid-line costs that one frame.
"""

import json
import os
from pathlib import Path
from typing import IO, Any, Self

import numpy as np

from facegraft.errors import ParameterError, WriteError
from facegraft.faces.clip import Detection
from facegraft.faces.face import Face
from facegraft.files import write_atomic

JOURNAL_VERSION = 1


class Journal:
    """The detections of one clip; a context manager that appends to its file.

    `key` holds what must be equal for earlier detections to be of use.
    Raises: ParameterError where the file was made for another key and `overwrite` is not set.
    """

    def __init__(self, path: Path, key: dict[str, Any], overwrite: bool = False) -> None:
        self.path = path
        self._key = {"version": JOURNAL_VERSION, **key}
        self._file: IO[bytes] | None = None
        self._known: dict[int, Detection] = {}
        self.is_new = overwrite or not path.exists()
        if not self.is_new:
            self._known = self._read()
        self.resumed_count = len(self._known)

    def known(self) -> dict[int, Detection]:
        """Detections by frame index."""
        return dict(self._known)

    def append(self, detection: Detection) -> None:
        """Raises: WriteError when the disk is full; lines before stay readable."""
        assert self._file is not None, "a journal is written inside its with block"
        line = json.dumps(_to_values(detection), separators=(",", ":")).encode() + b"\n"
        try:
            self._file.write(line)
            self._file.flush()
        except OSError as error:
            raise WriteError(
                f"cannot write {self.path}: {error.strerror}; free space and run again, "
                "the frames searched so far are kept"
            ) from error

    def __enter__(self) -> Self:
        if self.is_new:
            write_atomic(self.path, json.dumps(self._key).encode() + b"\n")
        self._file = open(self.path, "ab")
        return self

    def __exit__(self, *_exc: object) -> None:
        if self._file is not None:
            self._file.close()

    def _read(self) -> dict[int, Detection]:
        known: dict[int, Detection] = {}
        with open(self.path, "rb") as file:
            self._check_key(file.readline())
            good_end = file.tell()
            for line in file:
                try:
                    detection = _from_values(json.loads(line))
                except (ValueError, KeyError, TypeError):
                    break
                known[detection.index] = detection
                good_end = file.tell()
        os.truncate(self.path, good_end)  # so that appended lines begin on a line of their own
        return known

    def _check_key(self, line: bytes) -> None:
        try:
            before = json.loads(line)
        except ValueError:
            before = {}
        if before == self._key:
            return
        differing = [
            k for k in self._key if not isinstance(before, dict) or before.get(k) != self._key[k]
        ]
        raise ParameterError(
            f"{self.path.parent.parent} was extracted with another {' and '.join(differing)}; "
            "choose a new folder, or give --overwrite to start again"
        )


def _to_values(detection: Detection) -> dict[str, Any]:
    faces = [
        {
            "landmarks": np.round(face.landmarks.astype(np.float64), 3).tolist(),
            "box": face.box,
            "score": face.score,
        }
        for face in detection.faces
    ]
    return {
        "index": detection.index,
        "name": detection.name,
        "cut_before": detection.cut_before,
        "faces": faces,
    }


def _from_values(values: dict[str, Any]) -> Detection:
    faces = []
    for face in values["faces"]:
        x0, y0, x1, y1 = face["box"]
        landmarks = np.array(face["landmarks"], np.float32).reshape(68, 2)
        faces.append(Face(landmarks, (x0, y0, x1, y1), face["score"]))
    return Detection(values["index"], values["name"], faces, values["cut_before"])
