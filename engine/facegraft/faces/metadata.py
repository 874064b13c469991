"""What an aligned image says of itself: versioned JSON inside the image file.

In PNG it is an iTXt chunk with keyword `facegraft` right after IHDR (PNG specification, 11.3.3.4);
in JPEG a comment segment (COM, ISO/IEC 10918-1 B.2.4.5) that begins with `facegraft:`, right after
SOI. Both stand at the head of the file, so that reading them costs one small read, and every image
viewer shows the picture as usual. Nothing here executes what it reads.

A mask that somebody drew or computed may follow, as a whole image file: in PNG in a private chunk
`fgMK`, in JPEG in a comment that begins with `facegraft-mask:`.
"""

import json
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from facegraft.errors import BadAlignedImage, FutureVersion
from facegraft.faces.pack import is_packed, packed_stamp, read_packed

METADATA_VERSION = 1
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_END = b"IEND\xaeB`\x82"
_KEYWORD = b"facegraft"
_ITXT_HEAD = _KEYWORD + b"\0\0\0\0\0"  # keyword, not compressed, no language, no translation
_JPEG_HEAD = b"\xff\xd8"
_JPEG_END = b"\xff\xd9"
_COM = 0xFE
_COM_PREFIX = _KEYWORD + b":"
_COM_LIMIT = 65533 - len(_COM_PREFIX)  # a JPEG segment's length is 16 bits
_MASK_CHUNK = b"fgMK"  # the letters' case: private, and void once the pixels change
_MASK_PREFIX = _KEYWORD + b"-mask:"
MASK_LIMIT = 65533 - len(_MASK_PREFIX)  # bytes
COMMENT_PREFIXES = (_COM_PREFIX, _MASK_PREFIX)  # all comments of ours in a JPEG
_HEAD_BYTES = 1 << 14  # holds the values of a usual face
_MOST_HEAD_BYTES = (1 << 17) + 64  # holds the two largest JPEG segments
_TAIL_BYTES = 16

# version -> function that turns that version's values into the next version's
_UPGRADERS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}


def embed(encoded: bytes, values: dict[str, Any], mask: bytes = b"") -> bytes:
    """The encoded PNG or JPEG with `values` inside, and with `mask`, an image file, where given.

    Raises: BadAlignedImage for other formats and for what does not fit.
    """
    text = json.dumps({"version": METADATA_VERSION, **values}, separators=(",", ":")).encode()
    if len(mask) > MASK_LIMIT:
        raise BadAlignedImage(
            f"the mask has {len(mask)} bytes, an aligned image holds {MASK_LIMIT}; make it smaller"
        )
    if encoded.startswith(_PNG_SIGNATURE):
        head = len(_PNG_SIGNATURE) + 25  # signature and IHDR, which is always 25 bytes
        inside = _chunk(b"iTXt", _ITXT_HEAD + text)
        if mask:
            inside += _chunk(_MASK_CHUNK, mask)
        return encoded[:head] + inside + encoded[head:]
    if encoded.startswith(_JPEG_HEAD):
        if len(text) > _COM_LIMIT:
            raise BadAlignedImage(
                f"the metadata has {len(text)} bytes, a JPEG comment holds {_COM_LIMIT}; use PNG"
            )
        inside = _comment(_COM_PREFIX + text)
        if mask:
            inside += _comment(_MASK_PREFIX + mask)
        return encoded[:2] + inside + encoded[2:]
    raise BadAlignedImage("aligned images are PNG or JPEG; choose .png or .jpg")


def _chunk(kind: bytes, content: bytes) -> bytes:
    body = kind + content
    return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))


def _comment(body: bytes) -> bytes:
    return b"\xff" + bytes([_COM]) + struct.pack(">H", len(body) + 2) + body


def without_metadata(encoded: bytes) -> bytes:
    """The PNG or JPEG file as it was before `embed`: picture, other programs' chunks and all.

    Raises: BadAlignedImage for other formats.
    """
    if encoded.startswith(_PNG_SIGNATURE):
        return _without(encoded, len(_PNG_SIGNATURE), _png_step)
    if encoded.startswith(_JPEG_HEAD):
        return _without(encoded, len(_JPEG_HEAD), _jpeg_step)
    raise BadAlignedImage("aligned images are PNG or JPEG; choose .png or .jpg")


def _without(encoded: bytes, at: int, step: Callable[[bytes, int], tuple[int, bool]]) -> bytes:
    kept = [encoded[:at]]
    while True:
        end, is_ours = step(encoded, at)
        if end <= at:  # the picture itself begins
            return b"".join([*kept, encoded[at:]])
        if not is_ours:
            kept.append(encoded[at:end])
        at = end


def _png_step(data: bytes, at: int) -> tuple[int, bool]:
    """Where the chunk at `at` ends, and whether it is ours; `at` itself for the pixels."""
    if at + 8 > len(data) or data[at + 4 : at + 8] == b"IDAT":
        return at, False
    length, kind = struct.unpack(">I4s", data[at : at + 8])
    is_ours = kind == _MASK_CHUNK or (kind == b"iTXt" and data.startswith(_ITXT_HEAD, at + 8))
    return at + 12 + length, is_ours


def _jpeg_step(data: bytes, at: int) -> tuple[int, bool]:
    """The same for a segment of a JPEG file."""
    if at + 4 > len(data) or data[at] != 0xFF or data[at + 1] == 0xDA:
        return at, False
    length = struct.unpack(">H", data[at + 2 : at + 4])[0]
    is_ours = data[at + 1] == _COM and data.startswith(COMMENT_PREFIXES, at + 4)
    return at + 2 + length, is_ours


def read_bytes(path: Path) -> bytes:
    """An aligned image's file, in a folder or in a pack. Raises: BadAlignedImage, BadPack."""
    try:
        return read_packed(path) if is_packed(path) else path.read_bytes()
    except OSError as error:
        raise BadAlignedImage(f"{path} cannot be read: {error.strerror}") from error


def read_mask_file(path: Path) -> bytes | None:
    """The image file of the mask inside an aligned image, None where it has none.

    Raises: BadAlignedImage when the file cannot be read, BadPack.
    """
    return find_mask_file(_read_ends(path, _MOST_HEAD_BYTES)[0])


def find_mask_file(encoded: bytes) -> bytes | None:
    """The same in the bytes of an aligned image's file."""
    if encoded.startswith(_PNG_SIGNATURE):
        return _find_chunk(encoded, _MASK_CHUNK, b"")[0]
    return _find_com(encoded, _MASK_PREFIX)[0]


def read_metadata(path: Path) -> dict[str, Any]:
    """The values of one aligned image, upgraded to the current version.

    Raises: BadAlignedImage (names the file: truncated, not PNG or JPEG, no metadata of ours),
    FutureVersion, BadPack.
    """
    head, tail = _read_ends(path, _HEAD_BYTES)
    text, is_cut = _find_text(path, head)
    if text is None and is_cut:
        head, tail = _read_ends(path, _MOST_HEAD_BYTES)
        text, _ = _find_text(path, head)
    is_png = head.startswith(_PNG_SIGNATURE)
    if not (tail.endswith(_PNG_END) if is_png else tail.rstrip(b"\0").endswith(_JPEG_END)):
        raise BadAlignedImage(f"{path} is cut short; delete it or extract that frame again")
    if text is None:
        raise BadAlignedImage(
            f"{path} carries no face metadata (saved again by an image editor?); "
            "extract it again or remove it from the faceset"
        )
    return _parse(path, text)


def _read_ends(path: Path, head_bytes: int) -> tuple[bytes, bytes]:
    """The first `head_bytes` of the file and its last few. Raises: BadAlignedImage, BadPack."""
    if is_packed(path):
        if (
            packed_stamp(path)[0] > head_bytes
        ):  # a pack is written whole, so its ends are not looked at
            head = read_packed(path, head_bytes)
            return head, _PNG_END if head.startswith(_PNG_SIGNATURE) else _JPEG_END
        whole = read_packed(path)
        return whole, whole[-_TAIL_BYTES:]
    try:
        with open(path, "rb", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            head = file.read(head_bytes)
            if size <= len(head):
                return head, head[-_TAIL_BYTES:]
            file.seek(size - _TAIL_BYTES)
            return head, file.read(_TAIL_BYTES)
    except OSError as error:
        raise BadAlignedImage(f"{path} cannot be read: {error.strerror}") from error


def _find_text(path: Path, head: bytes) -> tuple[bytes | None, bool]:
    """The JSON, and whether it may lie behind the end of `head`. Raises: BadAlignedImage."""
    if head.startswith(_PNG_SIGNATURE):
        return _find_chunk(head, b"iTXt", _ITXT_HEAD)
    if head.startswith(_JPEG_HEAD):
        return _find_com(head, _COM_PREFIX)
    if not head:
        raise BadAlignedImage(f"{path} is empty; delete it or extract that frame again")
    raise BadAlignedImage(f"{path} is neither PNG nor JPEG; remove it from the faceset")


def _parse(path: Path, text: bytes) -> dict[str, Any]:
    try:
        values: dict[str, Any] = json.loads(text)
        version = values["version"]
    except (ValueError, KeyError, TypeError) as error:
        raise BadAlignedImage(f"{path}: the face metadata is damaged ({error})") from error
    if not isinstance(version, int) or version > METADATA_VERSION:
        raise FutureVersion(
            f"{path} has metadata version {version}, this FaceGraft reads up to "
            f"{METADATA_VERSION}; update FaceGraft"
        )
    while values["version"] < METADATA_VERSION:
        values = _UPGRADERS[values["version"]](values)
    return values


def _find_chunk(head: bytes, wanted: bytes, prefix: bytes) -> tuple[bytes | None, bool]:
    """What follows `prefix` in the first PNG chunk of that kind that begins so, and whether `head`
    ends before one could be ruled out.
    """
    position = len(_PNG_SIGNATURE)
    while position + 8 <= len(head):
        length, kind = struct.unpack(">I4s", head[position : position + 8])
        start, end = position + 8, position + 8 + length
        if kind == wanted and head.startswith(prefix, start):
            return (head[start + len(prefix) : end], False) if end <= len(head) else (None, True)
        if kind == b"IDAT":
            return None, False
        position = end + 4
    return None, True


def _find_com(head: bytes, prefix: bytes) -> tuple[bytes | None, bool]:
    """The same for the JPEG comments."""
    position = 2
    while position + 4 <= len(head) and head[position] == 0xFF:
        kind, length = head[position + 1], struct.unpack(">H", head[position + 2 : position + 4])[0]
        start, end = position + 4, position + 2 + length
        if kind == _COM and head.startswith(prefix, start):
            return (head[start + len(prefix) : end], False) if end <= len(head) else (None, True)
        if kind == 0xDA:  # start of scan: no segments follow
            return None, False
        position = end
    return None, position + 4 > len(head)
