"""Faces of a clip by frame, found before the render: a faceset folder or a track file.

Where a node names one, nothing is detected: the faces of a frame are the ones whose aligned images
are still in the folder, or those of the file that "Track Faces" wrote. Only such faces have track
numbers and neighbours in time, which motion blur needs.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from statistics import median
from typing import Any

from facegraft.errors import (
    BadAlignedImage,
    EmptyFaceset,
    FutureVersion,
    ParameterError,
    SourceNotFound,
)
from facegraft.faces.metadata import read_metadata

Points = list[list[float]]  # 68 points (x, y) in frame pixels, corner convention
TRACKS_VERSION = 1
_SAME_SHAPE = 0.01  # scaling to whole pixels changes proportions by less, down to 100 px
_SUFFIXES = {".png", ".jpg", ".jpeg"}


@dataclass(frozen=True, slots=True)
class StoredFace:
    """One face of one frame."""

    landmarks: Points
    size: float  # px, longer side of its box
    track: int  # -1 where nobody followed it
    score: float
    held: bool  # put in between frames where it was found


@dataclass(frozen=True, slots=True)
class TrackSummary:
    """One person's appearance, for the list in the sidebar. Frames count from the clip's start."""

    number: int
    first: int
    last: int
    count: int  # frames with a face in between
    largest: float  # px


@dataclass(frozen=True, slots=True)
class FaceTable:
    """Faces by frame index of the clip they were found in, the largest first."""

    size: tuple[int, int]  # width and height of the clip's frames, px; 0 where nobody knows
    frames: Mapping[int, Sequence[StoredFace]]
    track_sizes: Mapping[int, float]  # px by track: the median, as the command line ranks people

    def at(self, index: int, width: int, height: int) -> list[dict[str, Any]]:
        """Faces of frame `index` in a picture of another size, to which the clip was scaled, as the
        worker takes them: landmarks, track, score, held, the track's size over the clip, and its
        landmarks one frame before and after, None where it has none.

        Raises: ParameterError where that size has other proportions.
        """
        scale = self._scale(width, height)
        before, after = (self._by_track(index + step) for step in (-1, 1))
        return [
            {
                "landmarks": _scaled(face.landmarks, scale),
                "track": face.track,
                "score": face.score,
                "held": face.held,
                "track_size": self.track_sizes.get(face.track, face.size) * scale[0],
                "before": _scaled(before.get(face.track), scale),
                "after": _scaled(after.get(face.track), scale),
            }
            for face in self.frames.get(index, ())
        ]

    def tracks(self) -> list[TrackSummary]:
        """Every track, the one with most frames first."""
        found: dict[int, list[tuple[int, float]]] = {}
        for index, faces in self.frames.items():
            for face in faces:
                if face.track >= 0:
                    found.setdefault(face.track, []).append((index, face.size))
        summaries = [
            TrackSummary(n, min(p)[0], max(p)[0], len(p), max(size for _, size in p))
            for n, p in found.items()
        ]
        return sorted(summaries, key=lambda s: (-s.count, s.number))

    def _by_track(self, index: int) -> dict[int, Points]:
        return {f.track: f.landmarks for f in self.frames.get(index, ()) if f.track >= 0}

    def _scale(self, width: int, height: int) -> tuple[float, float]:
        if 0 in self.size:  # faces of other programs, taken as of this very clip
            return 1.0, 1.0
        fx, fy = width / self.size[0], height / self.size[1]
        if abs(fx / fy - 1) > _SAME_SHAPE:
            raise ParameterError(
                f"the faces come from a {self.size[0]}x{self.size[1]} clip and the picture is "
                f"{width}x{height}; put the node right behind the clip, or clear Faces"
            )
        return fx, fy


def _scaled(points: Points | None, scale: tuple[float, float]) -> Points | None:
    if points is None:
        return None
    return [[x * scale[0], y * scale[1]] for x, y in points]


def load_faces(path: Path) -> FaceTable:
    """The faces of a faceset folder or of a track file, read again where it changed.

    Raises: SourceNotFound, EmptyFaceset, BadAlignedImage and FutureVersion, naming the file.
    """
    if not path.exists():
        raise SourceNotFound(f"no faces at {path}; choose another place or clear the field")
    stamp = path.stat().st_mtime_ns
    return _load_file(path, stamp) if path.is_file() else _load_folder(path, stamp)


@lru_cache(maxsize=8)
def _load_folder(folder: Path, _stamp: int) -> FaceTable:
    found: dict[int, list[StoredFace]] = {}
    size: tuple[int, int] | None = None
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in _SUFFIXES or path.name[0] in "._":
            continue
        values = read_metadata(path)
        try:
            origin = values["origin"]
            this_size = (int(origin["frame_width"]), int(origin["frame_height"]))
            found.setdefault(int(origin["frame_index"]), []).append(_stored(values))
        except (KeyError, TypeError, ValueError) as error:
            raise BadAlignedImage(f"{path}: the face metadata lacks or garbles {error}") from error
        if size is not None and this_size != size:
            raise BadAlignedImage(
                f"{path} comes from a {this_size[0]}x{this_size[1]} clip, others in the folder "
                f"from {size[0]}x{size[1]}; keep one clip in a folder"
            )
        size = this_size
    if size is None:
        raise EmptyFaceset(f"{folder} holds no aligned face; make one with `facegraft extract`")
    return _table(size, found)


@lru_cache(maxsize=8)
def _load_file(path: Path, _stamp: int) -> FaceTable:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if values["version"] > TRACKS_VERSION:
            raise FutureVersion(
                f"{path} has version {values['version']}, this FaceGraft reads up to "
                f"{TRACKS_VERSION}; update the add-on"
            )
        width, height = (int(v) for v in values["size"])
        frames = {int(i): [_stored(face) for face in f] for i, f in values["frames"].items()}
    except FutureVersion:
        raise  # it is a ValueError too
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadAlignedImage(
            f"{path} is no track file, or damaged ({error}); track the faces again"
        ) from error
    return _table((width, height), frames)


def _stored(values: Mapping[str, Any]) -> StoredFace:
    x0, y0, x1, y1 = values["box"]
    return StoredFace(
        [[float(x), float(y)] for x, y in values["landmarks"]],
        max(x1 - x0, y1 - y0),
        int(values.get("track", -1)),
        float(values.get("score", 1.0)),
        bool(values.get("held", False)),
    )


def _table(size: tuple[int, int], frames: Mapping[int, list[StoredFace]]) -> FaceTable:
    ordered = {i: sorted(faces, key=lambda face: -face.size) for i, faces in frames.items()}
    sizes: dict[int, list[float]] = {}
    for face in (face for faces in frames.values() for face in faces if face.track >= 0):
        sizes.setdefault(face.track, []).append(face.size)
    return FaceTable(size, ordered, {track: median(found) for track, found in sizes.items()})


def face_under(faces: Sequence[Mapping[str, Any]], x: float, y: float) -> Mapping[str, Any] | None:
    """The smallest of `faces` whose landmarks' box, a little enlarged, holds a point; else None.

    Picture px, corner convention; `faces` as the worker reports them.
    """
    hits = [(width, face) for face, width in _boxes_holding(faces, x, y)]
    return min(hits, key=lambda hit: hit[0])[1] if hits else None


_REACH = 0.25  # of the points' box, since landmarks end at brows and jaw


def _boxes_holding(
    faces: Sequence[Mapping[str, Any]], x: float, y: float
) -> Iterator[tuple[Mapping[str, Any], float]]:
    for face in faces:
        xs, ys = ([p[axis] for p in face["landmarks"]] for axis in (0, 1))
        reach = _REACH * max(max(xs) - min(xs), max(ys) - min(ys))
        if min(xs) - reach <= x <= max(xs) + reach and min(ys) - reach <= y <= max(ys) + reach:
            yield face, max(xs) - min(xs)
