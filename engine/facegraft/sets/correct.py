"""Putting right what the detector got wrong, frame by frame, without a window.

`fit_hint` turns what a person says about a face into landmarks; `redo_frames` looks again where
somebody deleted the debug picture; `store_faces` cuts the faces of those frames alone anew, in the
framing and size of the set. A face that takes the place of another keeps its file, its track and
its labels; everything goes through the set's journal. A picture-and-mouse tool calls the same.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from facegraft.errors import Cancelled, ParameterError
from facegraft.faces.align import (
    align_matrix,
    compose,
    fit_similarity,
    invert,
    scaled,
    transform_points,
    warp_image,
)
from facegraft.faces.boxes import iou
from facegraft.faces.face import AlignedFace, Face, Origin, Polygon
from facegraft.faces.faceset import Faceset, aligned_bytes, encode_image, encode_mask, read_mask
from facegraft.faces.landmarks import HEAD_3D, LEFT_EYE, RIGHT_EYE
from facegraft.faces.mesh import Square
from facegraft.media.source import Frame, FrameSource
from facegraft.progress import Progress
from facegraft.sets.hints import Hint
from facegraft.sets.journal import operation

_SAME = 0.4  # least overlap of boxes, to take two faces of a frame for one
_FOLLOWED = 0.3  # and of two frames
_NEAR = 5  # frames to either side that a new face may get its track from
_MARGIN = 1.5  # side of what the network looks at, over the size of the face
_BY_HAND = 0.5  # score of landmarks that no network confirmed
_NOSE, _MOUTH_CORNERS = 30, (48, 54)


class Fitter(Protocol):
    """A detector that can be told where to look."""

    @property
    def name(self) -> str: ...
    def fit(self, image_u8: np.ndarray, square: Square) -> Face | None: ...


@dataclass(frozen=True, slots=True)
class CorrectReport:
    """What became of the frames."""

    frames: int
    replaced: int  # faces
    added: int
    notes: tuple[str, ...]  # a sentence for each face or frame that nothing became of


def frame_indices(names: Iterable[str], source: FrameSource) -> dict[str, int]:
    """Index by name: a frame's own name, or its number. Raises: ParameterError naming strangers."""
    known = {source.name_of(i): i for i in range(source.info.frame_count)}
    found = {}
    for name in names:
        index = known.get(name)
        if index is None and name.isdigit() and int(name) < source.info.frame_count:
            index = int(name)
        if index is None:
            raise ParameterError(
                f"{source.info.path.name} has no frame {name!r}; its frames are "
                f"{source.name_of(0)} to {source.name_of(source.info.frame_count - 1)}"
            )
        found[name] = index
    return found


def deleted_overlays(folder: Path, source: FrameSource) -> list[int]:
    """Frames whose debug picture is not in `folder` any more; they are to be done again.

    Raises: ParameterError where the folder holds none at all, so that a wrong folder is noticed.
    """
    there = {path.stem for path in folder.iterdir()} if folder.is_dir() else set()
    names = [source.name_of(i) for i in range(source.info.frame_count)]
    if not there.intersection(names):
        raise ParameterError(
            f"{folder} holds no debug picture of {source.info.path.name}; give the folder that "
            "`facegraft extract --debug` wrote"
        )
    return [i for i, name in enumerate(names) if name not in there]


def fit_hint(image_u8: np.ndarray, hint: Hint, fitter: Fitter) -> Face | None:
    """The face that a hint means, in an RGB frame; None where a box shows the network no face.

    68 landmarks are taken as they are. Five points become a mean head where the network sees none.
    """
    if hint.box is not None:
        x0, y0, x1, y1 = hint.box
        center = np.array([(x0 + x1) / 2, (y0 + y1) / 2])
        return fitter.fit(image_u8, Square(center, _MARGIN * max(x1 - x0, y1 - y0), 0.0))
    assert hint.points is not None  # a hint has one or the other
    if len(hint.points) == len(HEAD_3D):
        return _by_hand(hint.points, 1.0)
    to_frame = fit_similarity(five_of(HEAD_3D[:, :2]), hint.points)
    head = transform_points(HEAD_3D[:, :2], to_frame)
    axes = to_frame[:, :2] / np.linalg.det(to_frame[:, :2]) ** 0.5
    upright = head @ axes
    low, high = upright.min(axis=0), upright.max(axis=0)
    angle = float(np.arctan2(axes[1, 0], axes[0, 0]))
    square = Square(axes @ ((low + high) / 2), _MARGIN * float((high - low).max()), angle)
    return fitter.fit(image_u8, square) or _by_hand(head, _BY_HAND)


def five_of(points: np.ndarray) -> np.ndarray:
    """(68, 2) to (5, 2): the eyes' centres from left to right, nose, corners of the mouth."""
    eyes = [points[group].mean(axis=0) for group in (RIGHT_EYE, LEFT_EYE)]
    return np.array([*eyes, points[_NOSE], *points[list(_MOUTH_CORNERS)]])


def _by_hand(points: np.ndarray, score: float) -> Face:
    points = points.astype(np.float32)
    box = (*points.min(axis=0).tolist(), *points.max(axis=0).tolist())
    return Face(points, box, score, points)


def store_faces(
    source: FrameSource,
    faceset: Faceset,
    indices: Sequence[int],
    find: Callable[[Frame], tuple[Sequence[Face], Sequence[str]]],
    maker: str,
    title: str,
    progress: Progress,
) -> CorrectReport:
    """Cut what `find` gives for the frames at `indices` into the set, in one operation.

    `find` gives a frame's faces and a sentence for each that it could not find. `maker` is noted as
    their detector. Faces of a frame that none of the new ones lies on stay.
    Raises: SetInUse, WriteError, UnreadableMedia, Cancelled (nothing is changed then).
    """
    stored = faceset.by_frame_index()
    name = source.info.path.name
    ours = {i: [f for f in fs if f.origin.source_name == name] for i, fs in stored.items()}
    replaced = added = 0
    notes: list[str] = []
    progress.start(len(indices), "frames done again")
    with operation(faceset.folder, title) as op:
        for index in sorted(indices):
            if progress.cancelled:
                raise Cancelled(f"{faceset.folder} is as it was")
            frame = source[index]
            faces, missing = find(frame)
            notes += [f"frame {frame.name}: {text}" for text in missing]
            for face in faces:
                former = _same_face(face, ours.get(index, ()))
                model = former or faceset[0]  # whose framing, size and format it takes
                track = former.face.track if former else _track_near(face, index, ours)
                face = replace(face, track=track)
                path = former.path if former else _free_path(frame, ours.get(index, ()), model)
                aligned, data = _cut(frame, face, path, model, name, maker, former)
                op.write(aligned.path.relative_to(faceset.folder).as_posix(), data)
                rest = [f for f in ours.get(index, ()) if f is not former]
                ours[index] = [*rest, aligned]
                replaced += former is not None
                added += former is None
            progress.advance()
    return CorrectReport(len(indices), replaced, added, tuple(notes))


def _same_face(face: Face, stored: Sequence[AlignedFace]) -> AlignedFace | None:
    if not stored:
        return None
    overlap = iou(np.array(face.box), np.array([f.face.box for f in stored]))
    best = int(np.argmax(overlap))
    return stored[best] if overlap[best] >= _SAME else None


def _track_near(face: Face, index: int, stored: Mapping[int, Sequence[AlignedFace]]) -> int:
    """The track of a face of the nearest frames that lies about where this one does, else -1."""
    for distance in range(1, _NEAR + 1):
        near = [*stored.get(index - distance, ()), *stored.get(index + distance, ())]
        near = [f for f in near if f.face.track >= 0]
        if near:
            overlap = iou(np.array(face.box), np.array([f.face.box for f in near]))
            best = int(np.argmax(overlap))
            if overlap[best] >= _FOLLOWED:
                return near[best].face.track
    return -1


def _free_path(frame: Frame, taken: Sequence[AlignedFace], model: AlignedFace) -> Path:
    names = {face.path.stem for face in taken}
    number = 0
    while True:
        path = model.path.with_name(f"{frame.name}_{number}{model.path.suffix}")
        if path.stem not in names and not path.exists():
            return path
        number += 1


def _cut(
    frame: Frame,
    face: Face,
    path: Path,
    model: AlignedFace,
    source_name: str,
    maker: str,
    former: AlignedFace | None,
) -> tuple[AlignedFace, bytes]:
    """The face's file, with the labels of the one whose place it takes."""
    matrix = align_matrix(face.landmarks, model.face_type, model.size)
    image = warp_image(frame.image_u8, matrix, model.size, model.size, cv2.INTER_CUBIC)
    height, width = frame.pixels.shape[:2]
    aligned = AlignedFace(
        path=path,
        face=face,
        face_type=model.face_type,
        size=model.size,
        frame_to_aligned=matrix,
        pose=face.pose,
        origin=Origin(source_name, frame.name, frame.index, str(frame.pts), width, height, maker),
    )
    mask = b""
    if former is not None:
        moved = compose(matrix, invert(former.frame_to_aligned))
        aligned = replace(
            aligned,
            brow_amount=former.brow_amount,
            mask_by=former.mask_by,
            polygons=tuple(
                Polygon(p.is_face, tuple(map(tuple, transform_points(np.array(p.points), moved))))
                for p in former.polygons
            ),
        )
        stored = read_mask(former)
        if stored is not None:
            to_square = compose(moved, scaled(np.eye(2, 3), former.size / stored.shape[1]))
            size = model.size
            mask = encode_mask(warp_image(stored, to_square, size, size, cv2.INTER_LINEAR))
    return aligned_bytes(aligned, encode_image(image, path.suffix), mask)
