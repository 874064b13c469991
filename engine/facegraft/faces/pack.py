"""Packed facesets: the faces of a folder in one ZIP file, read in place (APPNOTE.TXT 4.3).

Every face keeps its file's name and bytes, so any unzip tool opens a pack. `sets/pack.py` stores
them uncompressed; a pack that somebody else compressed is read too. The path of a packed face is
that of the pack with the face's name behind it, `faces.facepack/00000_0.jpg`.

Each read opens the file anew: safe for threads and forks, and nothing is left open.
"""

import os
import struct
import zipfile
import zlib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from facegraft.errors import BadAlignedImage, BadPack

PACK_SUFFIX = ".facepack"
_LOCAL_HEAD = struct.Struct("<4s22xHH")  # signature; lengths of name and extra field
_ENCRYPTED = 1  # bit of the flags


class Entry(NamedTuple):
    """Where a file lies in the pack."""

    offset: int  # of its local header
    stored: int  # bytes in the pack
    size: int  # bytes of the file
    crc: int
    is_deflated: bool


def is_packed(path: Path) -> bool:
    """Is `path` a face within a pack?"""
    return path.parent.suffix.lower() == PACK_SUFFIX and path.parent.is_file()


def read_index(pack: Path) -> Mapping[str, Entry]:
    """What is in the pack, by name. Raises: BadPack."""
    try:
        return _index(pack, _stamp(os.stat(pack)))
    except OSError as error:
        raise BadPack(f"{pack} cannot be read: {error.strerror}") from error


def read_packed(path: Path, limit: int | None = None) -> bytes:
    """The bytes of a face in a pack, or its first `limit` bytes; whole ones are checked by CRC.

    Raises: BadAlignedImage, BadPack.
    """
    pack = path.parent
    try:
        with open(pack, "rb") as file:
            entry = _index(pack, _stamp(os.fstat(file.fileno()))).get(path.name)
            if entry is None:
                raise BadAlignedImage(f"{pack} holds no {path.name} any more")
            file.seek(entry.offset)
            signature, name_length, extra_length = _LOCAL_HEAD.unpack(file.read(30))
            if signature != b"PK\x03\x04":
                raise BadPack(f"{pack} is damaged: no file begins where {path.name} should")
            file.seek(entry.offset + 30 + name_length + extra_length)
            is_part = limit is not None and limit < entry.size
            data = file.read(limit if is_part and not entry.is_deflated else entry.stored)
    except (OSError, struct.error) as error:
        raise BadPack(f"{pack} cannot be read: {error}") from error
    if entry.is_deflated:
        try:
            data = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, entry.size)
        except zlib.error as error:
            raise BadAlignedImage(f"{path} is damaged: {error}") from error
    if is_part:
        return data[:limit]
    if len(data) != entry.size or zlib.crc32(data) != entry.crc:
        raise BadAlignedImage(f"{path} is damaged; pack the set again, or extract that frame again")
    return data


def packed_stamp(path: Path) -> tuple[int, int]:
    """Bytes and CRC of a face in a pack. Raises: BadAlignedImage where it is not there, BadPack."""
    entry = read_index(path.parent).get(path.name)
    if entry is None:
        raise BadAlignedImage(f"{path.parent} holds no {path.name} any more")
    return entry.size, entry.crc


def _stamp(status: os.stat_result) -> tuple[int, int]:
    return status.st_size, status.st_mtime_ns


@lru_cache(maxsize=8)
def _index(pack: Path, _stamp: tuple[int, int]) -> Mapping[str, Entry]:
    try:
        with zipfile.ZipFile(pack) as file:
            infos = file.infolist()
    except (zipfile.BadZipFile, struct.error, UnicodeDecodeError) as error:
        raise BadPack(
            f"{pack} is no packed faceset, or it is cut short ({error}); pack the faceset again"
        ) from error
    entries: dict[str, Entry] = {}
    for info in infos:
        if info.is_dir():
            continue
        if info.flag_bits & _ENCRYPTED or info.compress_type not in (
            zipfile.ZIP_STORED,
            zipfile.ZIP_DEFLATED,
        ):
            raise BadPack(f"{pack}: {info.filename} is encrypted or compressed in a rare way")
        if info.filename in entries:
            raise BadPack(f"{pack} holds {info.filename} twice; pack the faceset again")
        entries[info.filename] = Entry(
            info.header_offset, info.compress_size, info.file_size, info.CRC,
            info.compress_type == zipfile.ZIP_DEFLATED,
        )  # fmt: skip
    return entries
