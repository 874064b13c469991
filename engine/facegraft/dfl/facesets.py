"""Whole facesets: a folder of DeepFaceLab's aligned JPEGs or a faceset.pak to ours, and back.

JPEG pictures are carried over byte by byte, only the data inside the file changes. Landmarks,
framing, masks, polygons and what else DeepFaceLab reads come along both ways.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from facegraft.dfl import app15, pak
from facegraft.dfl.aligned import DflFace, dict_of, face_of
from facegraft.dfl.convert import from_dfl, to_dfl
from facegraft.errors import (
    BadAlignedImage,
    Cancelled,
    DflFormatError,
    EmptyFaceset,
    ParameterError,
    SourceNotFound,
)
from facegraft.faces.face import AlignedFace
from facegraft.faces.faceset import Faceset, read_image, write_encoded
from facegraft.faces.metadata import COMMENT_PREFIXES, MASK_LIMIT, read_bytes, read_mask_file
from facegraft.files import write_atomic
from facegraft.media.source import SourceInfo
from facegraft.progress import Progress, Silent

SUFFIXES = {".jpg", ".jpeg"}
REENCODE_QUALITY = 98  # of PNG faces, which DeepFaceLab does not read; no visible loss
_END = b"\xff\xd9"
_UNSAFE = re.compile(r'[<>:"/\\|?*\x00-\x1f]')  # what some file system forbids in a name
_LONGEST_STEM = 120  # letters; file systems end at 255 bytes, of which a letter may take 2 or more


@dataclass(frozen=True, slots=True)
class Transfer:
    """What an import or export moved."""

    face_count: int
    mask_count: int
    polygon_count: int
    changed_count: int  # import: names that were unsafe or taken; export: PNG made JPEG
    skipped: tuple[str, ...]  # one sentence for each file that was left out


@dataclass(frozen=True, slots=True)
class _File:
    name: str  # where it came from, for messages
    target: str  # file name in our faceset
    read: Callable[[], bytes]


def import_faceset(
    source: Path,
    folder: Path,
    progress: Progress | None = None,
    clip: SourceInfo | None = None,
    overwrite: bool = False,
) -> Transfer:
    """Faces of `source`, DeepFaceLab's folder or faceset.pak, into the faceset `folder`.

    `clip`: the movie or images that they were cut from, for size and time of the frames, which
    DeepFaceLab does not note. A file that is damaged, no face, or asks to run something is left out
    and said.

    Raises: SourceNotFound, EmptyFaceset where not one face could be read, ParameterError for files
    in the way without `overwrite`, WriteError, Cancelled (what was imported is kept).
    """
    progress = progress or Silent()
    files, renamed = _list_source(Path(source))
    refuse_existing(folder, [file.target for file in files], overwrite)
    progress.start(len(files), "faces imported")
    skipped: list[str] = []
    faces = masks = polygons = 0
    for file in files:
        if progress.cancelled:
            raise Cancelled(f"{folder} holds {faces} faces so far; --overwrite begins again")
        try:
            aligned, mask = _import_file(file, folder, clip)
        except (DflFormatError, BadAlignedImage, OSError) as error:
            skipped.append(str(error))
            progress.advance()
            progress.note(f"left out: {error}")
            continue
        faces += 1
        masks += bool(mask)
        polygons += len(aligned.polygons)
        progress.advance()
    if not faces:
        why = skipped[0] if skipped else "it holds no JPEG files"
        raise EmptyFaceset(f"not one face could be read from {source}: {why}")
    return Transfer(faces, masks, polygons, renamed, tuple(skipped))


def _list_source(source: Path) -> tuple[list[_File], int]:
    """The files of a folder or pak, and how many needed another name."""
    if source.is_dir():
        paths = sorted(p for p in source.iterdir() if p.suffix.lower() in SUFFIXES)
        if paths or not (source / pak.NAME).exists():
            named = [(str(path), path.name, path.read_bytes) for path in paths]
            return _with_targets(named)
        source = source / pak.NAME
    if not source.is_file():
        raise SourceNotFound(f"nothing at {source}; give a folder of aligned JPEGs or a .pak file")
    return _with_targets(
        [
            (
                f"{source.name}/{entry.filename[:80]!r}",
                f"{entry.person}_{entry.filename}" if entry.person else entry.filename,
                lambda entry=entry: pak.read_entry(source, entry),
            )
            for entry in pak.read_entries(source)
        ]
    )


def _with_targets(named: list[tuple[str, str, Callable[[], bytes]]]) -> tuple[list[_File], int]:
    files, taken, changed = [], set(), 0
    for where, name, read in named:
        target = safe_name(name, taken)
        taken.add(target.lower())  # some file systems take a.jpg and A.jpg for one
        changed += target != name
        files.append(_File(where, target, read))
    return files, changed


def safe_name(name: str, taken: set[str]) -> str:
    """A file name of ours from one that a stranger wrote: no folders, nothing hidden, not taken."""
    stem = re.sub(r"\.jpe?g$", "", name, flags=re.IGNORECASE)
    stem = _UNSAFE.sub("_", stem).lstrip("._ ").rstrip(". ")[:_LONGEST_STEM] or "face"
    candidate, number = f"{stem}.jpg", 1
    while candidate.lower() in taken:
        number += 1
        candidate = f"{stem}-{number}.jpg"
    return candidate


def _import_file(file: _File, folder: Path, clip: SourceInfo | None) -> tuple[AlignedFace, bytes]:
    data, where = file.read(), file.name
    values = app15.read_dict(data, where)
    if values is None:
        raise DflFormatError(f"{where} carries no face data of DeepFaceLab's")
    if _END not in data:
        raise DflFormatError(f"{where} is cut short")
    picture = app15.without_data(data[: data.rindex(_END) + len(_END)], COMMENT_PREFIXES, where)
    width, height = app15.image_size(picture, where)
    if width != height:
        raise DflFormatError(f"{where} has {width}x{height} px; aligned faces are square")
    face = face_of(values, where)
    aligned = from_dfl(face, folder / file.target, width, clip, where)
    mask = _fitting(face.xseg_mask)
    return write_encoded(aligned, picture, mask), mask


def _fitting(mask: bytes) -> bytes:
    """A mask file that fits into our metadata, b"" for one that is no picture."""
    if not mask:
        return b""
    try:
        image = cv2.imdecode(np.frombuffer(mask, np.uint8), cv2.IMREAD_GRAYSCALE)
    except cv2.error:
        image = None
    if image is None:
        return b""
    if len(mask) <= MASK_LIMIT:
        return mask
    half = cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    return _fitting(cv2.imencode(".png", half)[1].tobytes())


def export_faceset(
    faceset: Faceset,
    folder: Path,
    packed: bool = False,
    progress: Progress | None = None,
    overwrite: bool = False,
) -> Transfer:
    """Our faces as JPEGs with DeepFaceLab's data in `folder`, or `packed` as its faceset.pak.

    JPEG pictures stay as they are, PNG ones are encoded. A face whose data does not fit into
    DeepFaceLab's segment is left out and said.

    Raises: ParameterError for files in the way without `overwrite`, EmptyFaceset where no face
    fits, WriteError, Cancelled.
    """
    progress = progress or Silent()
    taken: set[str] = set()
    names = []
    for face in faceset:
        names.append(safe_name(f"{face.path.stem}.jpg", taken))
        taken.add(names[-1].lower())
    refuse_existing(folder, [pak.NAME] if packed else names, overwrite)
    progress.start(len(faceset), "faces exported")
    skipped: list[str] = []
    counts = {"masks": 0, "polygons": 0, "encoded": 0}

    def files() -> Iterator[tuple[str, int, DflFace, bytes]]:
        for aligned, name in zip(faceset, names, strict=True):
            if progress.cancelled:
                raise Cancelled("the export is not complete; --overwrite begins again")
            progress.advance()
            try:
                face, data = _export_face(aligned)
            except (DflFormatError, BadAlignedImage, OSError) as error:
                skipped.append(str(error))
                progress.note(f"left out: {error}")
                continue
            counts["masks"] += bool(face.xseg_mask)
            counts["polygons"] += len(face.polygons)
            counts["encoded"] += aligned.path.suffix.lower() == ".png"
            yield name, aligned.size, face, data
        if len(skipped) == len(faceset):
            raise EmptyFaceset(f"not one face could be exported: {skipped[0]}")

    if packed:
        exported = pak.write_pak(folder / pak.NAME, files())
    else:
        exported = 0
        for name, _, _, data in files():
            write_atomic(folder / name, data)
            exported += 1
    return Transfer(
        exported, counts["masks"], counts["polygons"], counts["encoded"], tuple(skipped)
    )


def _export_face(aligned: AlignedFace) -> tuple[DflFace, bytes]:
    where = str(aligned.path)
    if aligned.path.suffix.lower() == ".png":
        bgr = cv2.cvtColor(read_image(aligned), cv2.COLOR_RGB2BGR)
        options = [cv2.IMWRITE_JPEG_QUALITY, REENCODE_QUALITY]
        picture = cv2.imencode(".jpg", bgr, options)[1].tobytes()
    else:
        picture = app15.without_data(read_bytes(aligned.path), COMMENT_PREFIXES, where)
    face = to_dfl(aligned, read_mask_file(aligned.path) or b"")
    return face, app15.with_dict(picture, dict_of(face), where)


def refuse_existing(folder: Path, names: list[str], overwrite: bool) -> None:
    """Raises: ParameterError naming the first files that are there already."""
    there = [] if overwrite else [name for name in names if (folder / name).exists()]
    if there:
        more = f" and {len(there) - 3} more" if len(there) > 3 else ""
        raise ParameterError(
            f"{folder} holds {', '.join(there[:3])}{more} already; choose another folder, or give "
            "--overwrite"
        )
