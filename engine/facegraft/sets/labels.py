"""Mask labels of a faceset: what people marked as face, taken in, given out, counted, removed.

A label is polygons in the image's own metadata, or a painted mask stored in the image; both are
told from masks that a network made (`AlignedFace.mask_by`). Labels come from and go to labelme
(a JSON per picture), COCO (one JSON), painted PNG masks named like the pictures, and aligned JPEGs
of DeepFaceLab. Changes go through the set's journal, so that `faceset undo` takes them back.
"""

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

import cv2
import numpy as np

from facegraft.dfl import app15
from facegraft.dfl.aligned import face_of
from facegraft.errors import LabelError, ParameterError, WriteError
from facegraft.faces.face import AlignedFace, Polygon
from facegraft.faces.faceset import Faceset, read_mask, rewritten
from facegraft.faces.polygons import polygon_mask
from facegraft.files import write_atomic, write_error
from facegraft.sets.coco import read_coco, to_coco
from facegraft.sets.journal import operation
from facegraft.sets.labelme import read_labelme, to_labelme


class LabelFormat(StrEnum):
    LABELME = "labelme"
    COCO = "coco"
    PNG = "png"
    DFL = "dfl"


@dataclass(frozen=True, slots=True, eq=False)
class Label:
    """What is known of one face; polygons, or a painted (H, W) uint8 mask, 255 face."""

    polygons: tuple[Polygon, ...] = ()
    painted: np.ndarray | None = None


@dataclass(frozen=True, slots=True)
class LabelCounts:
    """A set's labels in numbers."""

    faces: int
    with_polygons: int
    include: int  # polygons that say face
    exclude: int  # polygons that say no face
    painted: int  # faces with a painted mask and no polygon
    computed: int  # faces with a mask that a network made
    covered: float  # mean share of the square that the labels say is face; 0 without labels


def label_of(face: AlignedFace) -> Label | None:
    """The face's label; None where nobody marked it. Raises: BadAlignedImage."""
    if face.polygons:
        return Label(face.polygons)
    if face.mask_by:
        return None  # a network's
    painted = read_mask(face)
    return None if painted is None else Label(painted=painted)


def label_mask(label: Label, size: int) -> np.ndarray:
    """(size, size) uint8, 255 face; `size` is that of the face, whose pixels polygons count in."""
    if label.painted is None:
        return polygon_mask(label.polygons, size)
    return cv2.resize(label.painted, (size, size), interpolation=cv2.INTER_AREA)


def count_labels(faceset: Faceset) -> LabelCounts:
    """Raises: BadAlignedImage."""
    polygons = [polygon for face in faceset for polygon in face.polygons]
    painted = 0
    shares = []
    for face in faceset:
        label = label_of(face)
        if label is not None:
            painted += label.painted is not None
            shares.append(label_mask(label, face.size).mean() / 255)
    return LabelCounts(
        faces=len(faceset),
        with_polygons=sum(bool(face.polygons) for face in faceset),
        include=sum(polygon.is_face for polygon in polygons),
        exclude=sum(not polygon.is_face for polygon in polygons),
        painted=painted,
        computed=sum(bool(face.mask_by) for face in faceset),
        covered=float(np.mean(shares)) if shares else 0.0,
    )


def read_labels(
    faceset: Faceset, source: Path, kind: LabelFormat
) -> tuple[dict[Path, Label], list[str]]:
    """Labels by the path of the face, and the names of files that belong to no face of the set.

    source: a folder of labelme or PNG files or of aligned JPEGs of DeepFaceLab, named like the
    pictures; or COCO's file. Raises: LabelError, BadAlignedImage, DflFormatError.
    """
    if kind is LabelFormat.COCO:
        found = read_coco(source, tuple(faceset))
        return {path: Label(polygons) for path, polygons in found.items()}, []
    if not source.is_dir():
        raise LabelError(f"{source} is no folder; {kind} labels are one file per picture in one")
    suffixes = {
        LabelFormat.LABELME: (".json",),
        LabelFormat.PNG: (".png",),
        LabelFormat.DFL: (".jpg", ".jpeg"),
    }[kind]
    by_stem = {face.path.stem: face for face in faceset}
    labels: dict[Path, Label] = {}
    strangers: list[str] = []
    for path in sorted(p for p in source.iterdir() if p.suffix.lower() in suffixes):
        face = by_stem.get(path.stem)
        if face is None:
            strangers.append(path.name)
        else:
            label = _read_one(path, face, kind)
            if label is not None:
                labels[face.path] = label
    return labels, strangers


def _read_one(path: Path, face: AlignedFace, kind: LabelFormat) -> Label | None:
    match kind:
        case LabelFormat.LABELME:
            return Label(read_labelme(path, face))
        case LabelFormat.PNG:
            return Label(painted=_read_painted(path))
        case _:
            return _read_dfl(path, face)


def _read_painted(path: Path) -> np.ndarray:
    """(S, S) uint8: white is face; of a picture with alpha its alpha counts."""
    data = np.fromfile(path, np.uint8)
    picture = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if data.size else None
    if picture is None:
        raise LabelError(f"{path} is damaged or no PNG; save the mask again")
    if picture.dtype == np.uint16:
        picture = (picture // 257).astype(np.uint8)
    if picture.ndim == 3:
        has_alpha = picture.shape[2] == 4
        picture = picture[..., 3] if has_alpha else cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
    if picture.shape[0] != picture.shape[1]:
        height, width = picture.shape
        raise LabelError(f"{path} is {width}x{height} px; masks of aligned faces are squares")
    return picture


def _read_dfl(path: Path, face: AlignedFace) -> Label | None:
    """Polygons of an aligned JPEG, scaled to the face's square; None where it has none."""
    data, where = path.read_bytes(), str(path)
    values = app15.read_dict(data, where)
    theirs = None if values is None else face_of(values, where)
    if theirs is None or not theirs.polygons:
        return None
    width, height = app15.image_size(data, where)
    if width != height:
        raise LabelError(f"{path} is {width}x{height} px; aligned faces are squares")
    scale = face.size / width
    polygons = [
        Polygon(kind == 1, tuple((x * scale, y * scale) for x, y in points.tolist()))
        for kind, points in theirs.polygons
    ]
    return Label(tuple(polygons))


def store_labels(faceset: Faceset, labels: dict[Path, Label], title: str) -> int:
    """Write labels into their images in one operation; the count of images that changed.

    Polygons replace polygons and leave a stored mask; a painted mask replaces both.
    Raises: SetInUse, WriteError, BadAlignedImage.
    """
    changed = 0
    with operation(faceset.folder, title) as op:
        for face in faceset:
            label = labels.get(face.path)
            if label is None or (label.painted is None and label.polygons == face.polygons):
                continue
            if label.painted is None:
                data = rewritten(replace(face, polygons=label.polygons), read_mask(face))
            else:
                data = rewritten(replace(face, polygons=(), mask_by=""), label.painted)
            op.write(face.path.name, data)
            changed += 1
    return changed


def clear_labels(faceset: Faceset) -> int:
    """Remove polygons and painted masks; masks that a network made stay. Raises: as above."""
    changed = 0
    with operation(faceset.folder, "remove mask labels") as op:
        for face in faceset:
            if label_of(face) is not None:
                kept = read_mask(face) if face.mask_by else None
                op.write(face.path.name, rewritten(replace(face, polygons=()), kept))
                changed += 1
    return changed


def export_labels(faceset: Faceset, target: Path, kind: LabelFormat, overwrite: bool) -> int:
    """Write the labels to `target`, a file for COCO, else a folder; how many faces have one.

    Raises: WriteError for a file that is there, unless `overwrite`; ParameterError for DFL, which
    `export-dfl` of the whole set writes; BadAlignedImage.
    """
    if kind is LabelFormat.DFL:
        raise ParameterError(
            "labels travel inside DeepFaceLab's images; use `facegraft faceset export-dfl`"
        )
    labelled = [(face, label) for face in faceset if (label := label_of(face)) is not None]
    if kind is LabelFormat.COCO:
        faces = [face for face, label in labelled if label.polygons]
        _write(target, _json(to_coco(faces)), overwrite)
        return len(faces)
    count = 0
    for face, label in labelled:
        if kind is LabelFormat.PNG:
            data = cv2.imencode(".png", label_mask(label, face.size))[1].tobytes()
            _write(target / f"{face.path.stem}.png", data, overwrite)
        elif label.polygons:
            picture = _relative(face.path, target)
            _write(target / f"{face.path.stem}.json", _json(to_labelme(face, picture)), overwrite)
        else:
            continue  # labelme has no painted masks
        count += 1
    return count


def fetch_labelled(faceset: Faceset, target: Path) -> int:
    """Copy the faces that have a label into the folder `target`, for training elsewhere.

    Raises: WriteError where a file of that name is there; BadAlignedImage.
    """
    chosen: Sequence[AlignedFace] = [face for face in faceset if label_of(face) is not None]
    for face in chosen:
        if (target / face.path.name).exists():
            raise WriteError(f"{target / face.path.name} is there already; choose another folder")
    try:
        target.mkdir(parents=True, exist_ok=True)
        for face in chosen:
            shutil.copy2(face.path, target / face.path.name)
    except OSError as error:
        raise write_error(target, error) from error
    return len(chosen)


def _json(values: object) -> bytes:
    return json.dumps(values, indent=1).encode()


def _relative(path: Path, folder: Path) -> str:
    """The picture as seen from the label's folder, as labelme wants it."""
    try:
        return Path(os.path.relpath(path.resolve(), folder.resolve())).as_posix()
    except ValueError:  # on another drive
        return path.resolve().as_posix()


def _write(path: Path, data: bytes, overwrite: bool) -> None:
    if path.exists() and not overwrite:
        raise WriteError(f"{path} is there already; give --overwrite to replace it")
    write_atomic(path, data)
