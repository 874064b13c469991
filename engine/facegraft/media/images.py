"""Single image files: PNG, JPEG, TIFF, BMP and WebP through OpenCV, 8 and 16 bit; TIFF floats, too.

OpenCV forgives damage (a truncated JPEG comes back with a grey bottom, a PNG with a broken chunk
with a black one), so the structure of both is checked first: a picture is read whole or not at all.
"""

import zlib
from pathlib import Path

import cv2
import numpy as np

from facegraft.errors import ParameterError, SourceNotFound, UnreadableMedia
from facegraft.files import write_atomic
from facegraft.media.provenance import Provenance, into_jpeg, into_png
from facegraft.media.tiff import with_tags, without_alpha_kind

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp"})
DEEP_SUFFIXES = frozenset({".png", ".tif", ".tiff"})  # these can hold 16 bit and alpha
JPEG_QUALITY = 95  # the highest where files still shrink well; chroma is kept in full
TIFF_SUFFIXES = frozenset({".tif", ".tiff"})  # and these floats
PIXEL_MAX = {"uint8": 255.0, "uint16": 65535.0}  # full scale by integer depth
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
PNG_LEVEL = 1  # of 9; higher levels take several times as long for a few percent


def read_image_file(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """Pixels (H, W, 3) RGB and alpha (H, W) or None, both uint8, uint16 or float32.

    Grey is expanded to RGB; a JPEG's EXIF orientation is applied.
    Raises: SourceNotFound, UnreadableMedia naming the file and what is wrong with it.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise SourceNotFound(f"no image at {path}; check the name") from None
    except OSError as error:
        raise UnreadableMedia(f"cannot read {path}: {error.strerror}") from error
    damage = _find_damage(data)
    if damage:
        raise UnreadableMedia(f"{path} is damaged: {damage}; export or copy it again")
    # orientation is applied only in the colour modes, alpha and depth kept only in UNCHANGED
    is_jpeg = data.startswith(b"\xff\xd8")
    flags = cv2.IMREAD_COLOR if is_jpeg else cv2.IMREAD_UNCHANGED
    try:
        image = cv2.imdecode(np.frombuffer(without_alpha_kind(data), np.uint8), flags)
    except cv2.error:
        image = None
    if image is None:
        raise UnreadableMedia(
            f"{path} is no image that OpenCV can read ({len(data)} bytes); PNG, JPEG and TIFF of "
            "8 or 16 bit are"
        )
    if image.dtype not in (np.uint8, np.uint16, np.float32):
        raise UnreadableMedia(
            f"{path} holds {image.dtype} pixels; convert it to 8 or 16 bit whole numbers, or to "
            "32-bit floats"
        )
    return _split_channels(image)


def _split_channels(image: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """RGB and alpha of what OpenCV decoded: grey, BGR or BGRA."""
    if image.ndim == 2:
        return cv2.cvtColor(image, cv2.COLOR_GRAY2RGB), None
    match image.shape[2]:
        case 1:
            return cv2.cvtColor(image, cv2.COLOR_GRAY2RGB), None
        case 2:
            grey, alpha = cv2.split(image)
            return cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB), alpha
        case 3:
            return cv2.cvtColor(image, cv2.COLOR_BGR2RGB), None
        case _:
            alpha = np.ascontiguousarray(image[..., 3])
            return cv2.cvtColor(image, cv2.COLOR_BGRA2RGB), alpha


def write_image(
    path: Path,
    pixels: np.ndarray,
    alpha: np.ndarray | None = None,
    quality: int = JPEG_QUALITY,
    about: Provenance | None = None,
) -> None:
    """Write one image, format by suffix; the file appears only once it is complete.

    pixels: (H, W, 3) RGB or (H, W) grey, uint8 or uint16, in TIFF also float32 of any value.
    alpha: (H, W) of the same kind, straight. quality: 1 to 100, for JPEG and lossy WebP alone.
    about: written into the file (not in BMP).
    Raises: WriteError; ParameterError where the format cannot hold the depth or the alpha.
    """
    write_atomic(path, encode_image(path.suffix, pixels, alpha, quality, about))


def encode_image(
    suffix: str,
    pixels: np.ndarray,
    alpha: np.ndarray | None = None,
    quality: int = JPEG_QUALITY,
    about: Provenance | None = None,
) -> bytes:
    """The bytes of an image file; arguments as in `write_image`. Raises: ParameterError."""
    suffix = suffix.lower()
    if suffix not in IMAGE_SUFFIXES:
        known = ", ".join(sorted(IMAGE_SUFFIXES))
        raise ParameterError(f"no image format for {suffix!r}; use one of {known}")
    if pixels.dtype != np.uint8 and suffix not in DEEP_SUFFIXES:
        raise ParameterError(f"{suffix} holds 8 bit, not {pixels.dtype}; use .png or .tif")
    if pixels.dtype.kind == "f" and suffix not in TIFF_SUFFIXES:
        raise ParameterError(f"{suffix} holds no {pixels.dtype}; use .tif or .exr")
    if alpha is not None and suffix not in DEEP_SUFFIXES:
        raise ParameterError(f"{suffix} holds no alpha; use .png or .tif")
    if alpha is not None:
        rgb = pixels if pixels.ndim == 3 else cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB)
        red, green, blue = cv2.split(rgb)
        image = cv2.merge([blue, green, red, alpha])
    elif pixels.ndim == 3:
        image = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
    else:
        image = pixels
    options = _encoder_options(suffix, quality)
    if about is not None and suffix == ".webp":
        packet = np.frombuffer(about.xmp(), np.uint8)
        done, data = cv2.imencodeWithMetadata(
            suffix, image, [cv2.IMAGE_METADATA_XMP], [packet], options
        )
    else:
        done, data = cv2.imencode(suffix, image, options)
    if not done:
        raise ParameterError(
            f"OpenCV cannot write {image.shape[1]}x{image.shape[0]} {image.dtype} as {suffix}"
        )
    match suffix:
        case ".tif" | ".tiff" if about is not None or alpha is not None:
            return with_tags(data.tobytes(), about, alpha is not None)
        case ".png" if about is not None:
            return into_png(data.tobytes(), about)
        case ".jpg" | ".jpeg" if about is not None:
            return into_jpeg(data.tobytes(), about)
        case _:
            return data.tobytes()


def to_depth(values: np.ndarray, bits: int) -> np.ndarray:
    """Any array of uint8, uint16 or float 0..1 as uint8 or uint16, rounded and clipped.

    Full scale goes to full scale: x / 255 as float comes back as x exactly.
    Raises: ParameterError for another dtype.
    """
    kind = values.dtype.name
    own = {"uint8": 255.0, "uint16": 65535.0, "float32": 1.0, "float64": 1.0}.get(kind)
    if own is None:
        raise ParameterError(f"pixels are {kind}; uint8, uint16 or float32 are taken")
    if kind == f"uint{bits}" or values.size == 0:
        return values.astype(f"uint{bits}", copy=False)
    gain = (255.0 if bits == 8 else 65535.0) / own
    return cv2.multiply(values, np.full(4, gain), dtype=cv2.CV_8U if bits == 8 else cv2.CV_16U)


def to_unit(values: np.ndarray) -> np.ndarray:
    """uint8 or uint16 as float32 0..1; floats as they are."""
    full = PIXEL_MAX.get(values.dtype.name)
    return values if full is None else values.astype(np.float32) * np.float32(1 / full)


def _encoder_options(suffix: str, quality: int) -> list[int]:
    match suffix:
        case ".jpg" | ".jpeg":
            full_chroma = int(cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444)
            sampling = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, full_chroma]
            return [cv2.IMWRITE_JPEG_QUALITY, quality, *sampling]
        case ".png":
            # one filter for all rows: half the time of trying them, at the same size; and runs
            # instead of matches, which a picture with grain has not: smaller and quicker
            filtering = [cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_UP]
            runs = [cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE]
            return [cv2.IMWRITE_PNG_COMPRESSION, PNG_LEVEL, *filtering, *runs]
        case ".webp":
            return [cv2.IMWRITE_WEBP_QUALITY, quality]
        case _:
            return []


def _find_damage(data: bytes) -> str:
    """What is visibly wrong with the bytes of a PNG or JPEG, or ''."""
    if not data:
        return "the file is empty"
    if data.startswith(b"\xff\xd8"):
        # entropy-coded data holds no FF D9 or FF DA, so a whole file ends after its last scan
        scan, end = data.rfind(b"\xff\xda"), data.rfind(b"\xff\xd9")
        return "" if end > scan >= 0 else "the JPEG ends in mid-picture"
    if data.startswith(PNG_SIGNATURE):
        return _find_png_damage(data)
    return ""


def _find_png_damage(data: bytes) -> str:
    """Walk the chunks (length, type, data, CRC-32) up to IEND."""
    view = memoryview(data)
    position = len(PNG_SIGNATURE)
    while position + 12 <= len(data):  # 12 bytes: length, type and CRC around the data
        length = int.from_bytes(view[position : position + 4], "big")
        body_end = position + 8 + length
        if body_end + 4 > len(data):
            break
        kind = bytes(view[position + 4 : position + 8])
        stored = int.from_bytes(view[body_end : body_end + 4], "big")
        if zlib.crc32(view[position + 4 : body_end]) != stored:
            return f"the PNG's {kind.decode('ascii', 'replace')} chunk fails its checksum"
        if kind == b"IEND":
            return ""
        position = body_end + 4
    return "the PNG ends in mid-picture"
