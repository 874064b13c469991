"""Which faces every frame of a clip has: from a faceset, or found and followed before the merge.

Both give ClipFaces, the faces of the whole clip by frame. What is done to them next (steadied,
chosen, cast) takes one and gives another; `run.py` asks the last one for every frame.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from facegraft.errors import ParameterError
from facegraft.faces.clip import Detector, detect_clip
from facegraft.faces.face import AlignedFace, Face
from facegraft.faces.faceset import Faceset
from facegraft.faces.track import raw_points, track_faces
from facegraft.media.source import NAME_DIGITS, Frame, FrameSource, SourceInfo
from facegraft.progress import Progress

FacesFor = Callable[[Frame], Sequence[Face]]  # what a merge asks; ClipFaces is one


@dataclass(frozen=True, slots=True, eq=False)
class Track:
    """One face followed through one shot.

    indices: rising indices of the frames that have it. faces: its face in each of them.
    """

    number: int
    indices: tuple[int, ...]
    faces: tuple[Face, ...]

    @property
    def size_px(self) -> float:
        """Median size of its faces, from brow to chin."""
        return float(np.median([face.size_px for face in self.faces]))

    @property
    def center(self) -> tuple[float, float]:
        """Mean of its boxes' centres, in frame pixels."""
        x0, y0, x1, y1 = np.mean([face.box for face in self.faces], axis=0)
        return float(x0 + x1) / 2, float(y0 + y1) / 2

    def __repr__(self) -> str:
        first, last = self.indices[0], self.indices[-1]
        return f"Track({self.number}, {len(self.faces)} frames in {first}-{last})"


@dataclass(frozen=True, slots=True, eq=False)
class ClipFaces:
    """The faces of a clip by the index of the frame in its source; frames without one are absent.

    A track has one number in the whole clip and ends at a cut, so what looks along tracks never
    looks across cuts.
    """

    frames: Mapping[int, tuple[Face, ...]]

    def at(self, index: int) -> tuple[Face, ...]:
        return self.frames.get(index, ())

    def __call__(self, frame: Frame) -> tuple[Face, ...]:
        return self.at(frame.index)

    def tracks(self) -> list[Track]:
        """The tracks in the order of their numbers; faces that were never followed have none."""
        places: dict[int, dict[int, Face]] = {}
        for index in sorted(self.frames):
            for face in self.frames[index]:
                if face.track >= 0:  # a copy of a face made by hand counts once
                    places.setdefault(face.track, {}).setdefault(index, face)
        return [
            Track(number, tuple(places[number]), tuple(places[number].values()))
            for number in sorted(places)
        ]

    def __repr__(self) -> str:
        return f"ClipFaces({len(self.frames)} frames, {len(self.tracks())} tracks)"


def clip_faces(frames: Mapping[int, Sequence[Face]], max_faces: int = 0) -> ClipFaces:
    """Faces by frame, put in order: largest first, at most `max_faces` of a frame (0: all)."""
    ordered = {
        index: tuple(sorted(faces, key=lambda face: -face.size_px))[: max_faces or None]
        for index, faces in sorted(frames.items())
        if faces
    }
    return ClipFaces(ordered)


def faces_from_set(faceset: Faceset, source: FrameSource, max_faces: int = 0) -> ClipFaces:
    """The faces that an extraction of this clip left.

    Images are matched by the name of their frame, movies by its index. An image that was deleted
    from the faceset is a face that is not merged. Where the faceset holds faces of several clips
    and this is one of them, the others' are left out. Faces of other programs, which follow none,
    are followed here. `max_faces`: 0 for all.

    Raises: ParameterError where the clip has another shape than the one that was extracted. A clip
    of the same shape and another size is a proxy: the landmarks are scaled.
    """
    info = source.info
    of_this = [a for a in faceset if a.origin.source_name == info.path.name] or list(faceset)
    by_name: dict[str, list[Face]] = {}
    by_index: dict[int, list[Face]] = {}
    names_are_indices = True
    for aligned in of_this:
        face, origin = _fitted(aligned, info), aligned.origin
        by_name.setdefault(origin.frame_name, []).append(face)
        by_index.setdefault(origin.frame_index, []).append(face)
        names_are_indices &= origin.frame_name == f"{origin.frame_index:0{NAME_DIGITS}d}"
    of_movie = re.compile(rf"\d{{{NAME_DIGITS}}}")

    def found(index: int) -> list[Face]:
        if info.is_movie:
            return by_index.get(index, [])
        name = source.name_of(index)
        renamed = names_are_indices and not of_movie.fullmatch(name)
        return by_index.get(index, []) if renamed else by_name.get(name, [])

    frames = [found(index) for index in range(info.frame_count)]
    if any(face.track < 0 for faces in frames for face in faces):
        frames = track_faces(frames, smooth_sigma=0)
    return clip_faces(dict(enumerate(frames)), max_faces)


def find_faces(
    source: FrameSource,
    indices: Sequence[int],
    detector: Detector,
    max_faces: int,
    progress: Progress,
) -> ClipFaces:
    """A pass over the frames at `indices` (rising) that finds, follows and steadies every face.

    Raises: UnreadableMedia, Cancelled.
    """
    detections = detect_clip(source, indices, detector, progress=progress)
    cuts = [n for n, detection in enumerate(detections) if detection.cut_before]
    tracked = track_faces([detection.faces for detection in detections], cuts)
    frames = {d.index: faces for d, faces in zip(detections, tracked, strict=True)}
    return clip_faces(frames, max_faces)


def _fitted(aligned: AlignedFace, info: SourceInfo) -> Face:
    origin = aligned.origin
    unknown = not origin.frame_width  # faces of other programs, taken as of this very clip
    if unknown or (origin.frame_width, origin.frame_height) == (info.width, info.height):
        return aligned.face
    scale = info.width / origin.frame_width
    if abs(origin.frame_height * scale - info.height) > 1:  # px; proxies round their sides
        raise ParameterError(
            f"{info.path.name} is {info.width}x{info.height} px, the faces come from frames of "
            f"{origin.frame_width}x{origin.frame_height}; give the clip that they were extracted "
            "from, or leave --faces out"
        )
    x0, y0, x1, y1 = (value * scale for value in aligned.face.box)
    return replace(
        aligned.face,
        landmarks=aligned.landmarks * scale,
        raw_landmarks=raw_points(aligned.face) * scale,
        box=(x0, y0, x1, y1),
    )
