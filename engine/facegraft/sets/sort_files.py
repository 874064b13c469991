"""What an order is turned into: a list, new names, a folder of links, faces in the trash."""

import csv
import io
import os
import shutil
from collections.abc import Collection, Mapping
from enum import StrEnum
from pathlib import Path

from facegraft.errors import ParameterError, WriteError
from facegraft.faces.face import AlignedFace
from facegraft.faces.metadata import read_bytes
from facegraft.files import write_atomic, write_error
from facegraft.progress import Progress, Silent
from facegraft.sets.journal import operation
from facegraft.sets.lock import INSIDE
from facegraft.sets.sort import Order

_HEADER = ["place", "name", "chosen", "value"]


class LinkAs(StrEnum):
    SYMLINK = "symlink"
    HARDLINK = "hardlink"
    COPY = "copy"


def default_order_path(folder: Path, key: str) -> Path:
    """Where an order goes that is given no other place: into the set, or beside a packed one."""
    if folder.is_file():
        return folder.with_name(f"{folder.stem}-by-{key}.csv")
    return folder / INSIDE / "orders" / f"{key}.csv"


def write_order(path: Path, order: Order) -> None:
    """A CSV file: place, file name, chosen or not, and what it was sorted by.

    Raises: ParameterError where another kind of file is there; WriteError.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(_HEADER)
    for place, (face, value) in enumerate(zip(order.faces, order.values, strict=True)):
        shown = "" if value is None else f"{value:.6g}" if isinstance(value, float) else value
        writer.writerow([place, face.path.name, int(place < order.kept), shown])
    _refuse_other_files(path)
    write_atomic(path, buffer.getvalue().encode())


def _refuse_other_files(path: Path) -> None:
    try:
        with open(path, "rb") as file:
            is_ours = file.readline().decode(errors="replace").strip() == ",".join(_HEADER)
    except FileNotFoundError:
        return
    except OSError as error:
        raise write_error(path, error) from error
    if not is_ours:
        raise ParameterError(f"{path} is there and is no order file; choose another name")


def culled_faces(order: Order, cull: str, matches: Collection[str] | None) -> list[AlignedFace]:
    """The faces that `cull` takes: the last N, the last P% of all, `rest` (what was not chosen) or
    `all`; only of those whose names are in `matches`, where that is given.

    Raises: ParameterError for what is none of these, and for `all` without `matches`.
    """
    text = cull.strip().lower()
    among = [f for f in order.faces if matches is None or f.path.name in matches]
    if text == "rest":
        rest = {face.path.name for face in order.faces[order.kept :]}
        return [face for face in among if face.path.name in rest]
    if text == "all":
        if matches is None:
            raise ParameterError("cull all would leave nothing; say which with --where")
        return among
    is_share = text.endswith("%")
    try:
        number = float(text[:-1]) if is_share else int(text)
    except ValueError as error:
        raise ParameterError(
            f"cull {cull!r} is no number of faces, no share such as 10%, not rest and not all"
        ) from error
    if not number >= 0 or (is_share and number > 100):
        limit = "0% to 100%" if is_share else "at least 0"
        raise ParameterError(f"cull is {cull}; the limits are {limit}")
    count = round(len(among) * number / 100) if is_share else min(int(number), len(among))
    return among[len(among) - count :]


def change_set(
    folder: Path, order: Order, culled: Collection[AlignedFace], rename: bool
) -> Mapping[str, str]:
    """Move `culled` to the set's trash and, with `rename`, number the other faces in order.

    In one operation, which `undo` takes back. Gives where the culled went.
    Raises: SetInUse, WriteError, ParameterError for a packed set, which cannot be changed.
    """
    gone = {face.path.name for face in culled}
    left = [face.path.name for face in order.faces if face.path.name not in gone]
    did = [f"{len(gone)} faces culled"] * bool(gone) + ["files renamed"] * rename
    with operation(folder, f"sort by {order.key}, {' and '.join(did)}") as op:
        moved = op.trash([face.path.name for face in culled]) if gone else {}
        if rename:
            op.rename(dict(zip(left, _numbered(left), strict=True)))
    return moved


def _numbered(names: list[str]) -> list[str]:
    digits = max(5, len(str(len(names))))
    return [f"{n:0{digits}d}{Path(name).suffix.lower()}" for n, name in enumerate(names)]


def link_order(
    target: Path, order: Order, kind: LinkAs = LinkAs.SYMLINK, progress: Progress | None = None
) -> int:
    """Fill the new folder `target` with the chosen faces, numbered in order before their names.

    It appears whole or not at all. Gives how many. Raises: ParameterError where `target` holds
    something already, or a packed set is to be linked; WriteError.
    """
    progress = progress or Silent()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ParameterError(f"{target} is there already; choose a new or an empty folder")
    faces = order.faces[: order.kept]
    if kind is not LinkAs.COPY and faces and not faces[0].path.exists():
        raise ParameterError("the faces of a packed set can not be linked; use --link-as copy")
    progress.start(len(faces), "faces linked" if kind is not LinkAs.COPY else "faces copied")
    digits = max(5, len(str(len(faces))))
    fresh = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        fresh.mkdir(parents=True)
    except OSError as error:
        raise write_error(target, error) from error
    try:
        for n, face in enumerate(faces):
            _link(face, fresh / f"{n:0{digits}d}_{face.path.name}", kind)
            progress.advance()
        if target.exists():
            target.rmdir()
        os.rename(fresh, target)
    except OSError as error:
        shutil.rmtree(fresh, ignore_errors=True)
        if isinstance(error, WriteError):
            raise
        raise _link_error(target, kind, error) from error
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise
    return len(faces)


def _link(face: AlignedFace, path: Path, kind: LinkAs) -> None:
    if kind is LinkAs.SYMLINK:
        path.symlink_to(face.path.resolve())
    elif kind is LinkAs.HARDLINK:
        os.link(face.path, path)
    else:
        path.write_bytes(read_bytes(face.path))


def _link_error(target: Path, kind: LinkAs, error: OSError) -> WriteError:
    if kind is LinkAs.COPY:
        return write_error(target, error)
    reason = error.strerror or str(error)
    return WriteError(f"cannot make a {kind} in {target}: {reason}; use --link-as copy")
