"""Names of a set's files: back to those of extraction, or numbered in an order."""

import csv
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from facegraft.errors import ParameterError
from facegraft.faces.face import AlignedFace
from facegraft.faces.faceset import Faceset

_UNSAFE = re.compile(r'[<>:"/\\|?*\x00-\x1f]')  # what some file system refuses
_MOST_DIGITS_FREE = 5  # digits of a number, more where a set is larger


def original_names(faceset: Faceset) -> dict[str, str]:
    """{present: original} of all faces: FRAME_N, N counting the faces of one frame.

    Faces of several clips get CLIP_FRAME_N. A face that bears such a name keeps it, others of its
    frame take the free numbers, the largest face first. A face that does not know its frame keeps
    its name, and so does one whose original name a face of unknown frame bears.
    """
    clips = {face.origin.source_name for face in faceset if face.origin.frame_name}
    by_stem: dict[str, list[AlignedFace]] = {}
    names: dict[str, str] = {}
    for face in faceset:
        if face.origin.frame_name:
            by_stem.setdefault(_stem(face, len(clips) > 1), []).append(face)
        else:
            names[face.path.name] = face.path.name
    taken = {name.casefold() for name in names.values()}
    for stem, faces in by_stem.items():
        names |= _numbered_within(stem, faces, taken)
    return {face.path.name: names[face.path.name] for face in faceset}


def numbered_names(order: Sequence[str], present: Sequence[str]) -> dict[str, str]:
    """{present: 00000.png, ...} in `order`; files that it does not name follow, in their order.

    Raises: ParameterError for a name that is not there, or there twice.
    """
    there = set(present)
    for name, count in Counter(order).items():
        if name not in there:
            raise ParameterError(f"the order names {name}, which is not in the set")
        if count > 1:
            raise ParameterError(f"the order names {name} {count} times")
    named = set(order)
    full = [*order, *(name for name in present if name not in named)]
    digits = max(_MOST_DIGITS_FREE, len(str(len(full) - 1)))
    return {name: f"{n:0{digits}d}{Path(name).suffix}" for n, name in enumerate(full)}


def read_order(path: Path) -> list[str]:
    """The file names of a text file with one per line, or of the CSV file that sorting writes.

    Raises: ParameterError.
    """
    try:
        with open(path, encoding="utf-8", newline="") as file:
            lines = file.read().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ParameterError(f"cannot read the order {path}: {error}") from error
    if lines and "name" in lines[0].split(","):
        return [row["name"] for row in csv.DictReader(lines)]
    return [line for line in lines if line.strip()]


def changes(names: Mapping[str, str]) -> dict[str, str]:
    """Only those that get another name."""
    return {old: new for old, new in names.items() if old != new}


def _stem(face: AlignedFace, with_clip: bool) -> str:
    origin = face.origin
    parts = [Path(origin.source_name).stem] if with_clip and origin.source_name else []
    return _UNSAFE.sub("_", "_".join([*parts, origin.frame_name])).lstrip("._ ") or "face"


def _numbered_within(stem: str, faces: Sequence[AlignedFace], taken: set[str]) -> dict[str, str]:
    """Names of the faces of one frame. `taken`: casefolded, of others; these are added."""
    pattern = re.compile(re.escape(stem) + r"_(\d+)\.[^.]+")
    keep = {f.path.name: f.path.name for f in faces if pattern.fullmatch(f.path.name)}
    numbers = {int(m[1]) for name in keep if (m := pattern.fullmatch(name))}
    taken |= {name.casefold() for name in keep}
    number = 0
    for face in sorted(faces, key=lambda face: -face.face.size_px):
        if face.path.name in keep:
            continue
        while number in numbers or f"{stem}_{number}{face.path.suffix}".casefold() in taken:
            number += 1
        numbers.add(number)
        keep[face.path.name] = f"{stem}_{number}{face.path.suffix}"
        taken.add(keep[face.path.name].casefold())
    return keep
