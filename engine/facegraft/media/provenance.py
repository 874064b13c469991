"""How a picture came to be, written into the file: players, asset tools and archives show it.

    movies          the container's comment tag (`movie_writer.py`)
    EXR             header attributes `facegraft` and, where there is none yet, `comments`
    WebP            an XMP packet, by OpenCV
    PNG             the same packet in an iTXt chunk (OpenCV would take tEXt, which is Latin-1)
    JPEG            in an APP1 segment (both as XMP specification part 3, 1.1.3 and 1.1.5, say)
    TIFF            ImageDescription (tag 270) and the packet (tag 700), see `tiff.py`

The packet holds dc:description and IPTC's DigitalSourceType. Pixels are never touched.
"""

import struct
import zlib
from dataclasses import dataclass
from xml.sax.saxutils import escape

from facegraft.errors import ParameterError

EXR_ATTRIBUTE = "facegraft"
_APP1 = b"\xff\xe1"
_XMP_NAMESPACE = b"http://ns.adobe.com/xap/1.0/\0"


@dataclass(frozen=True, slots=True)
class Provenance:
    """text: one or two sentences for people. source_type: IPTC's address of the kind of picture."""

    text: str
    source_type: str = ""

    def xmp(self) -> bytes:
        """The XMP packet (ISO 16684-1), UTF-8."""
        source = (
            "<Iptc4xmpExt:DigitalSourceType>"
            f"{escape(self.source_type)}</Iptc4xmpExt:DigitalSourceType>"
            if self.source_type
            else ""
        )
        return (
            '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
            '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
            '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
            '<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" '
            'xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/">'
            '<dc:description><rdf:Alt><rdf:li xml:lang="x-default">'
            f"{escape(self.text)}</rdf:li></rdf:Alt></dc:description>{source}"
            '</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
        ).encode()


def into_png(data: bytes, about: Provenance) -> bytes:
    """The PNG with the packet right after IHDR, which always ends at byte 33."""
    body = b"iTXt" + b"XML:com.adobe.xmp" + b"\0\0\0\0\0" + about.xmp()
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    return data[:33] + chunk + data[33:]


def into_jpeg(data: bytes, about: Provenance) -> bytes:
    """The JPEG with the packet right after its JFIF segment.

    Raises: ParameterError for a packet that no segment holds.
    """
    body = _XMP_NAMESPACE + about.xmp()
    if len(body) > 65533:
        raise ParameterError(f"provenance of {len(body)} bytes; a JPEG holds 65533. Shorten it")
    position = 2  # after SOI
    if data[2:4] == b"\xff\xe0":
        position += 2 + struct.unpack(">H", data[4:6])[0]
    segment = _APP1 + struct.pack(">H", len(body) + 2) + body
    return data[:position] + segment + data[position:]
