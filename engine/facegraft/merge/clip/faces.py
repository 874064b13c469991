"""Which faces a frame of a clip has: from a faceset, or found and followed before the merge.

Both give a function from Frame to faces, which `run.py` asks for every frame.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from facegraft.errors import ParameterError
from facegraft.faces.clip import Detector, detect_clip
from facegraft.faces.face import AlignedFace, Face
from facegraft.faces.faceset import Faceset
from facegraft.faces.track import track_faces
from facegraft.media.source import NAME_DIGITS, Frame, FrameSource, SourceInfo
from facegraft.progress import Progress

FacesFor = Callable[[Frame], Sequence[Face]]


def faces_from_set(faceset: Faceset, info: SourceInfo, max_faces: int = 0) -> FacesFor:
    """The faces that an extraction of this clip left, largest first.

    Images are matched by the name of their frame, movies by its index. An image that was deleted
    from the faceset is a face that is not merged. `max_faces`: 0 for all.

    Raises: ParameterError where the clip has another shape than the one that was extracted. A clip
    of the same shape and another size is a proxy: the landmarks are scaled.
    """
    by_name: dict[str, list[Face]] = {}
    by_index: dict[int, list[Face]] = {}
    names_are_indices = True
    for aligned in faceset:
        face = _fitted(aligned, info)
        origin = aligned.origin
        by_name.setdefault(origin.frame_name, []).append(face)
        by_index.setdefault(origin.frame_index, []).append(face)
        names_are_indices &= origin.frame_name == f"{origin.frame_index:0{NAME_DIGITS}d}"
    of_movie = re.compile(rf"\d{{{NAME_DIGITS}}}")

    def faces_for(frame: Frame) -> Sequence[Face]:
        renamed = names_are_indices and not of_movie.fullmatch(frame.name)
        found = (
            by_index.get(frame.index, [])
            if info.is_movie or renamed
            else by_name.get(frame.name, [])
        )
        return _largest(found, max_faces)

    return faces_for


def find_faces(
    source: FrameSource,
    indices: Sequence[int],
    detector: Detector,
    max_faces: int,
    progress: Progress,
) -> FacesFor:
    """A pass over the frames at `indices` (rising) that finds, follows and steadies every face.

    Raises: UnreadableMedia, Cancelled.
    """
    detections = detect_clip(source, indices, detector, progress=progress)
    cuts = [n for n, detection in enumerate(detections) if detection.cut_before]
    tracked = track_faces([detection.faces for detection in detections], cuts)
    faces = {d.index: f for d, f in zip(detections, tracked, strict=True)}
    return lambda frame: _largest(faces.get(frame.index, []), max_faces)


def _largest(faces: Sequence[Face], count: int) -> Sequence[Face]:
    ordered = sorted(faces, key=lambda face: -face.size_px)
    return ordered[:count] if count else ordered


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
    return replace(aligned.face, landmarks=aligned.landmarks * scale, box=(x0, y0, x1, y1))
