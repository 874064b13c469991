"""Sets joined into one, and one set split into several; faces are copied, byte by byte."""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from facegraft.errors import ParameterError
from facegraft.faces.face import AlignedFace
from facegraft.faces.faceset import Faceset
from facegraft.faces.metadata import read_bytes
from facegraft.progress import Progress, Silent
from facegraft.sets.journal import operation
from facegraft.sets.work import on_all_cores

_UNSAFE = re.compile(r'[<>:"/\\|?*\x00-\x1f]')


@dataclass(frozen=True, slots=True)
class Joined:
    """What came into a folder."""

    face_count: int
    renamed_count: int  # have another name, since theirs was taken
    same_count: int  # were there already, or twice, with the same bytes and name


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a set: the name of its folder, and its faces."""

    name: str
    faces: tuple[AlignedFace, ...]


def join_faces(
    faces: Sequence[AlignedFace], target: Path, title: str, progress: Progress | None = None
) -> Joined:
    """Copy faces, of one set or of several, into the folder `target`, which may hold faces; none
    is refused or replaced, unlike in `copy_faces.py`.

    A face whose name is taken by another one gets the name of its set before it. Raises:
    BadAlignedImage, SetInUse, WriteError, Cancelled.
    """
    with operation(target, title, create=True) as op:
        present = {p.name: p for p in target.iterdir()}
        taken = {name.casefold() for name in present}
        plan: list[tuple[AlignedFace, str]] = []
        first: dict[str, Path] = dict(present)
        same = renamed = 0
        for face in faces:
            name = face.path.name
            if name in first and _equal(first[name], face.path):
                same += 1
                continue
            if name.casefold() in taken:
                name = _free_name(face, taken)
                renamed += 1
            taken.add(name.casefold())
            first.setdefault(name, face.path)
            plan.append((face, name))

        def work(entry: tuple[AlignedFace, str]) -> None:
            op.write(entry[1], read_bytes(entry[0].path))

        on_all_cores(work, plan, progress or Silent(), "faces copied")
    return Joined(len(plan), renamed, same)


def split_by_track(faceset: Faceset) -> list[Part]:
    """One part per track: the people of a clip."""
    return _parts(faceset, [f"track_{face.face.track}" for face in faceset])


def split_by_source(faceset: Faceset) -> list[Part]:
    """One part per clip that the faces were cut from."""
    names = [Path(face.origin.source_name).stem for face in faceset]
    return _parts(faceset, [_UNSAFE.sub("_", n).lstrip("._ ") or "unknown" for n in names])


def split_by_share(faceset: Faceset, share: float, seed: int = 0) -> list[Part]:
    """Two parts, `first` with `share` (0 to 1) of the faces and `rest`, drawn by chance.

    Raises: ParameterError where a part would be empty.
    """
    count = round(len(faceset) * share)
    if not 0 < count < len(faceset):
        raise ParameterError(
            f"a share of {share} of {len(faceset)} faces leaves a part without faces; choose "
            "another"
        )
    drawn = set(random.Random(seed).sample(range(len(faceset)), count))
    return _parts(faceset, ["first" if n in drawn else "rest" for n in range(len(faceset))])


def write_parts(parts: Sequence[Part], folder: Path, progress: Progress | None = None) -> None:
    """Copy each part into a folder of its name in `folder`.

    Raises: ParameterError where one of them is there with something in it; as `join_faces`.
    """
    for part in parts:
        place = folder / part.name
        if place.exists() and (not place.is_dir() or any(place.iterdir())):
            raise ParameterError(f"{place} is there already; choose another folder")
    for part in parts:
        join_faces(part.faces, folder / part.name, "split", progress)


def _parts(faceset: Faceset, names: Sequence[str]) -> list[Part]:
    found: dict[str, list[AlignedFace]] = {}
    for name, face in zip(names, faceset, strict=True):
        found.setdefault(name, []).append(face)
    return [Part(name, tuple(faces)) for name, faces in sorted(found.items())]


def _equal(one: Path, other: Path) -> bool:
    return read_bytes(one) == read_bytes(other)


def _free_name(face: AlignedFace, taken: set[str]) -> str:
    stem, suffix = f"{face.path.parent.stem}_{face.path.stem}", face.path.suffix
    candidate, number = f"{stem}{suffix}", 1
    while candidate.casefold() in taken:
        number += 1
        candidate = f"{stem}-{number}{suffix}"
    return candidate
