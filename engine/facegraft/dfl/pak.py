"""`faceset.pak`: many aligned JPEGs of DeepFaceLab's in one file.

Little-endian unsigned 64-bit numbers and one pickle:
    version 1 | P | index, a pickle of P bytes | n + 1 offsets | the files, one after the other
An offset counts from the first file's first byte, but the last one, the end, is written as an
absolute position, so readers go to the end of the file instead.
"""

import os
import shutil
import struct
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from facegraft.dfl.aligned import DflFace, polygons_dict
from facegraft.dfl.pickler import Call, to_pickle
from facegraft.dfl.unpickle import unpickle
from facegraft.errors import DflFormatError
from facegraft.files import atomic_path

NAME = "faceset.pak"
VERSION = 1
_FACE_SAMPLE = 1  # sample type of a face
_FACE_TYPE_NUMBERS = {
    "half_face": 0, "midfull_face": 1, "full_face": 2, "full_face_no_align": 3,
    "whole_face": 4, "head": 10, "head_no_align": 20,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class PakEntry:
    """One file inside; names are as the pak's maker wrote them and no safe paths."""

    filename: str
    person: str  # "" where the pak holds one person
    start: int
    length: int


def read_entries(path: Path) -> list[PakEntry]:
    """What a pak holds. Raises: DflFormatError, OSError."""
    file_size = path.stat().st_size
    with open(path, "rb") as file:
        version, index_size = _numbers(file.read(16), path)
        if version != VERSION:
            raise DflFormatError(f"{path} is of version {version}; version {VERSION} is read")
        if index_size > file_size - 16:
            raise DflFormatError(f"{path} is cut short: its index alone has {index_size} bytes")
        index = unpickle(file.read(index_size), str(path))
        if not isinstance(index, list):
            raise DflFormatError(f"{path} is damaged: its index is no list")
        offsets = _numbers(file.read(8 * (len(index) + 1)), path)
    if len(offsets) != len(index) + 1:
        raise DflFormatError(f"{path} is cut short after {len(offsets)} of {len(index)} offsets")
    base = 16 + index_size + 8 * len(offsets)
    starts = [base + offset for offset in offsets[:-1]]
    ends = [*starts[1:], file_size]
    entries = []
    for number, (values, start, end) in enumerate(zip(index, starts, ends, strict=True)):
        if not isinstance(values, dict) or not isinstance(values.get("filename"), str):
            raise DflFormatError(f"{path} is damaged: entry {number} of its index has no file name")
        if not base <= start <= end <= file_size:
            raise DflFormatError(f"{path} is cut short: entry {number} lies outside the file")
        person = values.get("person_name")
        entries.append(
            PakEntry(
                values["filename"], person if isinstance(person, str) else "", start, end - start
            )
        )
    return entries


def read_entry(path: Path, entry: PakEntry) -> bytes:
    """The JPEG file of an entry. Raises: OSError."""
    with open(path, "rb") as file:
        file.seek(entry.start)
        return file.read(entry.length)


def _numbers(data: bytes, path: Path) -> tuple[int, ...]:
    if len(data) % 8 or not data:
        raise DflFormatError(f"{path} is cut short")
    return struct.unpack(f"<{len(data) // 8}Q", data)


def write_pak(path: Path, files: Iterable[tuple[str, int, DflFace, bytes]]) -> int:
    """Write (file name, size in px, face, JPEG file with its data) one after the other.

    Atomic; the files are gathered beside `path` first, since the index stands before them. Gives
    their number. Raises: WriteError, and whatever `files` raises, with `path` untouched.
    """
    index: list[dict[str, Any]] = []
    offsets = [0]
    with atomic_path(path) as temporary, tempfile.TemporaryFile(dir=path.parent) as gathered:
        for name, size, face, data in files:
            index.append(_index_entry(name, size, face))
            gathered.write(data)
            offsets.append(offsets[-1] + len(data))
        pickled = to_pickle(index)
        base = 16 + len(pickled) + 8 * len(offsets)
        offsets[-1] += base  # absolute, as DeepFaceLab has it
        gathered.seek(0, os.SEEK_SET)
        with open(temporary, "wb") as file:
            file.write(struct.pack("<QQ", VERSION, len(pickled)))
            file.write(pickled)
            file.write(struct.pack(f"<{len(offsets)}Q", *offsets))
            shutil.copyfileobj(gathered, file, 1 << 20)
    return len(index)


def _index_entry(name: str, size: int, face: DflFace) -> dict[str, Any]:
    mask = np.frombuffer(face.xseg_mask, np.uint8) if face.xseg_mask else None
    return {
        "sample_type": Call("samplelib.Sample", "SampleType", (_FACE_SAMPLE,)),
        "filename": name,
        "face_type": Call("facelib.FaceType", "FaceType", (_FACE_TYPE_NUMBERS[face.face_type],)),
        "shape": (size, size, 3),
        "landmarks": face.landmarks.tolist(),
        "seg_ie_polys": polygons_dict(face),
        "xseg_mask": None,
        "xseg_mask_compressed": mask,
        "eyebrows_expand_mod": face.eyebrows_expand_mod,
        "source_filename": face.source_filename,
        "person_name": None,
    }
