"""Faces of one set copied into another, wholly or not at all."""

from collections.abc import Sequence
from pathlib import Path

from facegraft.errors import Cancelled, ParameterError
from facegraft.faces.face import AlignedFace
from facegraft.faces.metadata import read_bytes
from facegraft.progress import Progress, Silent
from facegraft.sets.journal import operation


def copy_faces(
    faces: Sequence[AlignedFace],
    target: Path,
    title: str,
    progress: Progress | None = None,
    overwrite: bool = False,
) -> int:
    """Copy files, metadata and masks included, into the set `target`, which may be new; gives how
    many were not there yet. `undo` of the target takes it back.

    Raises: ParameterError where none is to be copied, or another file of such a name is there and
    `overwrite` is False; SetInUse, WriteError, BadAlignedImage, Cancelled.
    """
    progress = progress or Silent()
    if not faces:
        raise ParameterError("no face matches; nothing is copied")
    copied = 0
    progress.start(len(faces), "faces copied")
    with operation(target, title, create=True) as op:
        for face in faces:
            if progress.cancelled:
                raise Cancelled(f"stopped; {target} is as it was")
            data, path = read_bytes(face.path), target / face.path.name
            is_there = path.exists() and path.read_bytes() == data
            if path.exists() and not is_there and not overwrite:
                raise ParameterError(
                    f"{target} has another {face.path.name}; choose another folder, or replace it "
                    "with --overwrite"
                )
            if not is_there:
                op.write(face.path.name, data)
                copied += 1
            progress.advance()
    return copied
