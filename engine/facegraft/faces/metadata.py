"""What an aligned image says of itself: versioned JSON inside the image file.

In PNG it is an iTXt chunk with keyword `facegraft` right after IHDR (PNG specification, 11.3.3.4);
in JPEG a comment segment (COM, ISO/IEC 10918-1 B.2.4.5) that begins with `facegraft:`, right after
SOI. Both stand at the head of the file, so that reading them costs one small read, and every image
viewer shows the picture as usual. Nothing here executes what it reads.
"""

import json
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from facegraft.errors import BadAlignedImage, FutureVersion

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
_HEAD_BYTES = 1 << 17  # holds the largest JPEG segment and what may stand before it

# version -> function that turns that version's values into the next version's
_UPGRADERS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}


def embed(encoded: bytes, values: dict[str, Any]) -> bytes:
    """The encoded PNG or JPEG with `values` inside. Raises: BadAlignedImage for other formats."""
    text = json.dumps({"version": METADATA_VERSION, **values}, separators=(",", ":")).encode()
    if encoded.startswith(_PNG_SIGNATURE):
        head = len(_PNG_SIGNATURE) + 25  # signature and IHDR, which is always 25 bytes
        body = b"iTXt" + _ITXT_HEAD + text
        chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
        return encoded[:head] + chunk + encoded[head:]
    if encoded.startswith(_JPEG_HEAD):
        if len(text) > _COM_LIMIT:
            raise BadAlignedImage(
                f"the metadata has {len(text)} bytes, a JPEG comment holds {_COM_LIMIT}; use PNG"
            )
        body = _COM_PREFIX + text
        segment = b"\xff" + bytes([_COM]) + struct.pack(">H", len(body) + 2) + body
        return encoded[:2] + segment + encoded[2:]
    raise BadAlignedImage("aligned images are PNG or JPEG; choose .png or .jpg")


def read_metadata(path: Path) -> dict[str, Any]:
    """The values of one aligned image, upgraded to the current version.

    Raises: BadAlignedImage (names the file: truncated, not PNG or JPEG, no metadata of ours),
    FutureVersion.
    """
    try:
        with open(path, "rb") as file:
            head = file.read(_HEAD_BYTES)
            file.seek(max(0, path.stat().st_size - 16))
            tail = file.read()
    except OSError as error:
        raise BadAlignedImage(f"{path} cannot be read: {error.strerror}") from error
    if head.startswith(_PNG_SIGNATURE):
        complete, text = tail.endswith(_PNG_END), _find_itxt(head)
    elif head.startswith(_JPEG_HEAD):
        complete, text = tail.rstrip(b"\0").endswith(_JPEG_END), _find_com(head)
    else:
        raise BadAlignedImage(f"{path} is neither PNG nor JPEG; remove it from the faceset")
    if not complete:
        raise BadAlignedImage(f"{path} is cut short; delete it or extract that frame again")
    if text is None:
        raise BadAlignedImage(
            f"{path} carries no face metadata (saved again by an image editor?); "
            "extract it again or remove it from the faceset"
        )
    return _parse(path, text)


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


def _find_itxt(head: bytes) -> bytes | None:
    position = len(_PNG_SIGNATURE)
    while position + 8 <= len(head):
        length, kind = struct.unpack(">I4s", head[position : position + 8])
        body = head[position + 8 : position + 8 + length]
        if kind == b"iTXt" and body.startswith(_ITXT_HEAD):
            return body[len(_ITXT_HEAD) :]
        if kind == b"IDAT":
            return None
        position += length + 12
    return None


def _find_com(head: bytes) -> bytes | None:
    position = 2
    while position + 4 <= len(head) and head[position] == 0xFF:
        kind, length = head[position + 1], struct.unpack(">H", head[position + 2 : position + 4])[0]
        body = head[position + 4 : position + 2 + length]
        if kind == _COM and body.startswith(_COM_PREFIX):
            return body[len(_COM_PREFIX) :]
        if kind == 0xDA:  # start of scan: no segments follow
            return None
        position += length + 2
    return None
