"""A faceset's folder into one file and back; `faces/pack.py` reads such a file in place.

The file is a ZIP whose entries are stored as they are: aligned images do not compress, and so a
face is found by its offset. Only faces go in; the trash, the journal and what else lies in the
folder stay there.
"""

import zipfile
from dataclasses import dataclass
from pathlib import Path

from facegraft.errors import BadPack, Cancelled, EmptyFaceset, FacesetError, ParameterError
from facegraft.faces.faceset import aligned_paths, is_face_name, read_aligned
from facegraft.faces.metadata import read_bytes
from facegraft.faces.pack import PACK_SUFFIX, read_index
from facegraft.files import atomic_path
from facegraft.progress import Progress, Silent
from facegraft.sets.journal import Operation, operation
from facegraft.sets.work import on_all_cores


@dataclass(frozen=True, slots=True)
class Packed:
    """What went in or came out."""

    face_count: int
    byte_count: int
    skipped: tuple[str, ...]  # files that are no faces, one sentence each
    present_count: int = 0  # unpacking only: faces that were there already, with the same bytes


def pack_faceset(
    folder: Path,
    pack: Path,
    progress: Progress | None = None,
    overwrite: bool = False,
    skip_bad: bool = False,
) -> Packed:
    """Write the faces of `folder` into the file `pack`; the folder stays as it is.

    Until the file is whole it has a hidden name beside its place. Raises: ParameterError for
    another suffix or where `pack` is there without `overwrite`; BadAlignedImage and FutureVersion
    for a file that is no face, unless `skip_bad`; EmptyFaceset, SourceNotFound, WriteError,
    Cancelled.
    """
    progress = progress or Silent()
    if pack.suffix.lower() != PACK_SUFFIX:
        raise ParameterError(f"{pack.name}: packed sets are called NAME{PACK_SUFFIX}")
    if pack.exists() and not overwrite:
        raise ParameterError(f"{pack} is there already; choose another name, or give --overwrite")
    paths = aligned_paths(folder)
    progress.start(len(paths), "faces packed")
    skipped: list[str] = []
    count = 0
    with atomic_path(pack) as temporary:
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as file:
            for path in paths:
                if progress.cancelled:
                    raise Cancelled("nothing was packed; the folder is as it was")
                try:
                    read_aligned(path)
                    data = read_bytes(path)
                except FacesetError as error:
                    if not skip_bad:
                        raise
                    skipped.append(str(error))
                    continue
                finally:
                    progress.advance()
                file.writestr(_entry(path), data)
                count += 1
        if not count:
            raise EmptyFaceset(f"{folder} holds no aligned face, so there is nothing to pack")
    return Packed(count, pack.stat().st_size, tuple(skipped))


def unpack_faceset(
    pack: Path, folder: Path, progress: Progress | None = None, overwrite: bool = False
) -> Packed:
    """Write the faces of `pack` into `folder`, which is made if need be: all of them or none.

    Faces that are there already with the same bytes are left as they are; a face that `overwrite`
    replaces comes back by undo. Raises: ParameterError for a file of a face's name with other
    content, without `overwrite`; BadPack; BadAlignedImage for a damaged face; SetInUse, WriteError,
    Cancelled.
    """
    if not pack.is_file():
        raise BadPack(f"{pack} is no file; give a packed set, NAME{PACK_SUFFIX}")
    index = read_index(pack)
    names = sorted(name for name in index if is_face_name(name))
    if not names:
        raise EmptyFaceset(f"{pack} holds no aligned face")
    with operation(folder, f"unpack {pack.name}", create=True) as op:

        def work(name: str) -> bool:
            return _unpack_into(op, pack / name, overwrite)

        stopped = f"nothing was unpacked; {folder} is as it was"
        present = on_all_cores(work, names, progress or Silent(), "faces unpacked", stopped)
    others = tuple(f"{name} is no face" for name in index if not is_face_name(name))
    return Packed(len(names), pack.stat().st_size, others, sum(present))


def _unpack_into(op: Operation, path: Path, overwrite: bool) -> bool:
    """Was the face there already?"""
    data, target = read_bytes(path), op.path(path.name)
    if target.exists():
        if target.read_bytes() == data:
            return True
        if not overwrite:
            raise ParameterError(
                f"{target} is there with other content; unpack into another folder, or give "
                "--overwrite"
            )
    op.write(path.name, data)
    return False


def _entry(path: Path) -> zipfile.ZipInfo:
    """Raises: ParameterError for a name that a ZIP cannot hold."""
    try:
        path.name.encode()
    except UnicodeEncodeError as error:
        raise ParameterError(
            f"{path.name!r} is not text in this system's encoding; rename it, then pack"
        ) from error
    entry = zipfile.ZipInfo(path.name, (1980, 1, 1, 0, 0, 0))  # equal sets make equal files
    entry.external_attr = 0o644 << 16
    return entry
