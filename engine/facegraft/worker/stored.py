"""Faces of a frame from a faceset, for a host that names one instead of having faces detected."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from facegraft.errors import ParameterError
from facegraft.faces.face import AlignedFace, Face
from facegraft.faces.faceset import Faceset
from facegraft.merge.clip.faces import ClipFaces, clip_faces
from facegraft.merge.clip.track_file import load_tracks
from facegraft.merge.detail.motion import motions

MAX_FACESETS = 2  # indices only, without pictures


@dataclass(frozen=True, slots=True)
class _Index:
    """A faceset's faces by the name and by the index of their frame."""

    by_name: dict[str, list[AlignedFace]]
    by_index: dict[int, list[AlignedFace]]


class StoredFaces:
    """The facesets that were asked for last; read again when their folder changed."""

    def __init__(self) -> None:
        self._indices: OrderedDict[tuple[Path, int], _Index] = OrderedDict()

    def of_frame(
        self, folder: Path, frame_key: str, width: int, height: int
    ) -> tuple[list[Face], list[np.ndarray | None]]:
        """The faces of a frame, and how each moves from one frame to the next, px, where the
        faceset knows its track one frame before or after.

        Raises: ParameterError where the frame has another shape than the faceset's; a frame of
        another size is a proxy, to which the faces are scaled. What `Faceset.open` raises.
        """
        index = self._index(folder)
        faces = _fitted(index.by_name.get(frame_key, []), width, height)
        at = self.clip_index(folder, frame_key)
        if at is None:
            return faces, [None] * len(faces)
        before, after = (
            _fitted(index.by_index.get(at + step, []), width, height) for step in (-1, 1)
        )
        return faces, motions(before, faces, after)

    def clip_index(self, folder: Path, frame_key: str) -> int | None:
        """The frame's place in its clip; None where the faceset has no face of it, or no places.

        Raises: what `Faceset.open` raises.
        """
        found = self._index(folder).by_name.get(frame_key)
        return found[0].origin.frame_index if found and found[0].origin.frame_index >= 0 else None

    def clip(self, path: Path, width: int, height: int) -> ClipFaces:
        """All faces of a track file or a faceset, for a clip of this size.

        Raises: as `of_frame`, and what `load_tracks` raises.
        """
        if path.is_file():
            return load_tracks(path, width, height)
        by_index = self._index(path).by_index
        return clip_faces({i: _fitted(by_index[i], width, height) for i in by_index if i >= 0})

    def _index(self, folder: Path) -> _Index:
        try:
            key = (folder, folder.stat().st_mtime_ns)
        except OSError:
            key = (folder, 0)  # Faceset.open says it better
        index = self._indices.get(key)
        if index is None:
            index = _Index({}, {})
            for aligned in Faceset.open(folder):
                index.by_name.setdefault(aligned.origin.frame_name, []).append(aligned)
                index.by_index.setdefault(aligned.origin.frame_index, []).append(aligned)
            self._indices[key] = index
            while len(self._indices) > MAX_FACESETS:
                self._indices.popitem(last=False)
        return index


def _fitted(found: Sequence[AlignedFace], width: int, height: int) -> list[Face]:
    return [_scaled(aligned, width, height) for aligned in found]


def _scaled(aligned: AlignedFace, width: int, height: int) -> Face:
    origin = aligned.origin
    if not origin.frame_width:  # faces of other programs, taken as of this very clip
        return aligned.face
    scale = width / origin.frame_width
    if abs(origin.frame_height * scale - height) > 1.0:  # px; proxies round their sides
        raise ParameterError(
            f"the frame is {width}x{height} px, the faceset's {origin.frame_width}x"
            f"{origin.frame_height}; give the clip that the faces were extracted from"
        )
    x0, y0, x1, y1 = (value * scale for value in aligned.face.box)
    return replace(
        aligned.face,
        landmarks=(aligned.landmarks * scale).astype(np.float32),
        raw_landmarks=None,
        box=(x0, y0, x1, y1),
    )
