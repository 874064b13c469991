"""What the faces say of themselves, saved before an image editor drops it, and given back after.

Photoshop and others write a picture anew without our metadata. `save_metadata` notes values and
masks of every face in one file, `restore_metadata` puts them into the edited pictures again. A
picture that the editor made larger or smaller has its square, polygons and matrix scaled along.

The file holds one JSON line per face: {"name", "values" (as in `metadata.py`), "mask" (base64 of
an image file, or "")}, after a head {"version"}.
"""

import base64
import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from facegraft.errors import BadAlignedImage, FacesetError, FutureVersion, SourceNotFound
from facegraft.faces.align import scaled
from facegraft.faces.face import AlignedFace
from facegraft.faces.faceset import SUFFIXES, Faceset, aligned_bytes, from_values
from facegraft.faces.metadata import read_mask_file, read_metadata, without_metadata
from facegraft.files import write_atomic
from facegraft.progress import Progress, Silent
from facegraft.sets.journal import Operation, operation
from facegraft.sets.lock import INSIDE
from facegraft.sets.reframe import moved_polygon
from facegraft.sets.work import on_all_cores

FILE_NAME = "metadata.jsonl"  # in the set's folder of ours, where no other place is named
VERSION = 1


@dataclass(frozen=True, slots=True)
class Restored:
    """What was found and done, in faces."""

    restored_count: int
    scaled_count: int  # of these, with another size than they had
    same_count: int  # pictures that nobody touched
    problems: tuple[str, ...]  # one sentence for each face that could not get its values back


def metadata_path(folder: Path) -> Path:
    """Where a set's saved metadata lies if no other place is named."""
    return folder / INSIDE / FILE_NAME


def save_metadata(faceset: Faceset, path: Path) -> int:
    """Note values and masks of all faces in `path`; gives their number.

    Raises: BadAlignedImage, WriteError.
    """
    lines = [json.dumps({"version": VERSION})]
    for face in faceset:
        mask = base64.b64encode(read_mask_file(face.path) or b"").decode()
        values = read_metadata(face.path)
        lines.append(json.dumps({"name": face.path.name, "values": values, "mask": mask}))
    write_atomic(path, "\n".join([*lines, ""]).encode())
    return len(faceset)


def restore_metadata(folder: Path, path: Path, progress: Progress | None = None) -> Restored:
    """Give the pictures of `folder` what `path` notes of them, where they have changed.

    An edited picture may have become PNG or JPEG; the part of its name before the dot counts.
    Pictures that are gone or can not be read are told, and so are those that are no squares.
    Raises: SourceNotFound, FacesetError for a damaged file, FutureVersion, SetInUse, WriteError,
    Cancelled.
    """
    noted = _read(path)
    with operation(folder, "restore metadata") as op:

        def work(entry: dict[str, Any]) -> tuple[str, str]:
            try:
                return _restore(op, entry), ""
            except FacesetError as error:
                return "", str(error)

        done = on_all_cores(work, noted, progress or Silent(), "faces compared")
    kinds = [kind for kind, _ in done]
    return Restored(
        kinds.count("restored") + kinds.count("scaled"),
        kinds.count("scaled"),
        kinds.count("same"),
        tuple(problem for _, problem in done if problem),
    )


def _restore(op: Operation, entry: dict[str, Any]) -> str:
    """Raises: FacesetError naming the file."""
    path = _find(op.folder, entry["name"])
    try:
        data = path.read_bytes()
    except OSError as error:
        raise BadAlignedImage(f"{path} cannot be read: {error.strerror}") from error
    picture = without_metadata(data)
    digest = hashlib.sha256(picture).hexdigest()[:16]
    if digest == entry["values"]["digest"] and picture != data:
        return "same"
    image = _decoded(picture)
    if image is None:
        raise BadAlignedImage(f"{path} is damaged; save it from the editor again")
    height, width = image.shape[:2]
    if height != width:
        raise BadAlignedImage(f"{path} has {width}x{height} px; aligned faces are square, undo it")
    noted = from_values(path, entry["values"])
    face = scaled_face(noted, width)
    _, whole = aligned_bytes(face, picture, base64.b64decode(entry["mask"]))
    op.write(path.name, whole)
    return "restored" if face.size == noted.size else "scaled"


def scaled_face(face: AlignedFace, size: int) -> AlignedFace:
    """The face's values for the same square with a side of `size` px."""
    if size == face.size:
        return face
    factor = size / face.size
    return replace(
        face,
        size=size,
        frame_to_aligned=scaled(face.frame_to_aligned, factor),
        polygons=tuple(moved_polygon(p, scaled(np.eye(2, 3), factor)) for p in face.polygons),
    )


def _find(folder: Path, name: str) -> Path:
    """The face's file, or the one that an editor saved in the other format."""
    places = [folder / name]
    places += [folder / f"{Path(name).stem}{suffix}" for suffix in sorted(SUFFIXES)]
    for place in places:
        if place.is_file():
            return place
    raise BadAlignedImage(f"{name} is gone from {folder}")


def _decoded(picture: bytes) -> np.ndarray | None:
    try:
        return cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:
        return None


def _read(path: Path) -> list[dict[str, Any]]:
    try:
        head, *lines = path.read_text(encoding="utf-8").splitlines()
        version = json.loads(head)["version"]
        entries = [json.loads(line) for line in lines]
        usable = all({"name", "values", "mask"} <= entry.keys() for entry in entries)
    except FileNotFoundError as error:
        raise SourceNotFound(
            f"no saved metadata at {path}; run `facegraft faceset metadata save` before editing"
        ) from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise FacesetError(f"{path} is damaged ({error}); save the metadata again") from error
    if version != VERSION:
        raise FutureVersion(f"{path} has version {version}, this FaceGraft knows {VERSION}; update")
    if not usable:
        raise FacesetError(f"{path} is damaged; save the metadata again")
    return entries
