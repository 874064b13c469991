"""Between PyAV's video frames and RGB arrays: matrix, range, depth, chroma siting and rotation.

Reading goes through swscale with its exact options; into planar RGB, because its packed RGB paths
lose up to three levels of 255 (8 bit) or garble the picture (10-bit 4:2:0, bilinear). Writing is
one matrix product in OpenCV and a chroma filter of ours, because swscale's own places 4:2:0 chroma
half a pixel beside where H.264 and H.265 say it is. Both are within one level of the
closed form of BT.601, BT.709 and BT.2020.
"""

import logging

import av
import cv2
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter

from facegraft.errors import UnreadableMedia
from facegraft.media.tags import LUMA_WEIGHTS, MATRICES, RANGES, guess_matrix

_log = logging.getLogger(__name__)

EXACT = (
    Interpolation.BICUBIC
    | Interpolation.ACCURATE_RND
    | Interpolation.FULL_CHR_H_INT
    | Interpolation.FULL_CHR_H_INP
)
SWS_MATRICES = {
    "bt709": Colorspace.ITU709,
    "fcc": Colorspace.FCC,
    "bt470bg": Colorspace.ITU601,
    "smpte170m": Colorspace.ITU601,
    "smpte240m": Colorspace.SMPTE240M,
    "bt2020nc": Colorspace.BT2020,
}
# order of the channels of the RGB formats that are written; planar ones begin with "gbr"
CHANNELS = {
    "rgb24": "rgb",
    "rgba": "rgba",
    "bgr0": "bgra",
    "bgra": "bgra",
    "rgb48be": "rgb",
    "rgba64be": "rgba",
    "gbrp16le": "gbr",
    "gbrap16le": "gbra",
}


def read_pixels(
    frame: av.VideoFrame, reformatter: VideoReformatter
) -> tuple[np.ndarray, np.ndarray | None]:
    """Pixels (H, W, 3) RGB full range and alpha (H, W) or None; uint8, or uint16 above 8 bit.

    The rotation tag is applied. `reformatter` is kept by the caller for speed.
    Raises: UnreadableMedia for a colour matrix that is no weighted sum (ICtCp, YCgCo).
    """
    kind = frame.format
    has_alpha = any(part.is_alpha for part in kind.components) or kind.name == "pal8"
    bits = max(part.bits for part in kind.components)
    is_grey = not kind.is_rgb and len(kind.components) - has_alpha == 1
    matrix = MATRICES.get(frame.colorspace, "") or guess_matrix(frame.width, frame.height)
    full_range_kind = kind.is_rgb or is_grey or kind.name.startswith("yuvj")
    known_range = RANGES.get(frame.color_range, "")
    is_full = (known_range or "tv") == "pc" if not full_range_kind else known_range != "tv"
    if matrix not in SWS_MATRICES and not (kind.is_rgb or is_grey):
        raise UnreadableMedia(
            f"the movie's colour matrix is {matrix!r}; BT.601, BT.709 and BT.2020 (constant "
            "luminance excepted) are read. Convert it to one of those first"
        )
    deep = bits > 8
    space = SWS_MATRICES.get(matrix, Colorspace.ITU709)
    planar = reformatter.reformat(
        frame,
        format=("gbrap" if has_alpha else "gbrp") + ("16le" if deep else ""),
        interpolation=EXACT,
        src_colorspace=space,
        dst_colorspace=space,
        src_color_range=ColorRange.JPEG if is_full else ColorRange.MPEG,
        dst_color_range=ColorRange.JPEG,
    )
    green, blue, red, *rest = (_plane(planar, i, deep) for i in range(len(planar.planes)))
    pixels = cv2.merge([red, green, blue])
    alpha = rest[0].copy() if rest else None
    if deep:
        # swscale widens by shifting, which leaves white short of 65535
        shifted = ((1 << bits) - 1) << (16 - bits)
        is_limited_yuv = not (kind.is_rgb or is_grey or is_full)
        pixels = _scale(pixels, 65535 / (255 << 8 if is_limited_yuv else shifted))
        alpha = None if alpha is None else _scale(alpha, 65535 / shifted)
    if is_grey and not is_full:  # swscale takes grey as full range whatever its tag says
        pixels = _expand_grey(pixels, bits)
    return _orient(frame, pixels), None if alpha is None else _orient(frame, alpha)


def _scale(values: np.ndarray, gain: float) -> np.ndarray:
    """Rounded and saturated product, in the depth of `values`."""
    return values if gain == 1 else cv2.multiply(values, np.full(4, gain))


def _expand_grey(pixels: np.ndarray, bits: int) -> np.ndarray:
    """Stored levels 16 to 235 (times 4 for 10 bit, ...) to the full range."""
    full = np.float32(np.iinfo(pixels.dtype).max)
    level = full * (1 << (bits - 8)) / ((1 << bits) - 1)  # of one 8-bit step
    spread = (pixels - np.float32(16 * level)) * np.float32(full / (219 * level))
    return np.clip(np.rint(spread), 0, full).astype(pixels.dtype)


def _orient(frame: av.VideoFrame, image: np.ndarray) -> np.ndarray:
    """Apply the display matrix: rows (a b u; c d v; x y w), x' = a x + c y, y' = b x + d y."""
    data = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return image
    a, b, _, c, d = np.frombuffer(data, np.int32)[:5].tolist()
    if min(abs(a) + abs(d), abs(b) + abs(c)) > 0:
        _log.warning("rotation by %d degrees is rounded to a quarter turn", frame.rotation)
    if abs(b) + abs(c) > abs(a) + abs(d):
        image = cv2.transpose(image)
        flip_x, flip_y = c < 0, b < 0
    else:
        flip_x, flip_y = a < 0, d < 0
    match flip_x, flip_y:
        case True, True:
            return cv2.flip(image, -1)
        case True, False:
            return cv2.flip(image, 1)
        case False, True:
            return cv2.flip(image, 0)
    return image


def _plane(frame: av.VideoFrame, index: int, deep: bool) -> np.ndarray:
    """A view (H, W) of one plane's memory, without the padding of its rows."""
    plane = frame.planes[index]
    rows = np.frombuffer(memoryview(plane), np.uint16 if deep else np.uint8)
    return rows.reshape(plane.height, -1)[:, : plane.width]


def make_frame(
    pixels: np.ndarray, alpha: np.ndarray | None, pix_fmt: str, matrix: str
) -> av.VideoFrame:
    """A video frame of one of the codec table's pixel formats.

    pixels: (H, W, 3) RGB full range, or (H, W) grey where `pix_fmt` is YUV; uint8 for 8-bit
    formats, uint16 for deeper ones; sides are multiples of the chroma step. alpha: (H, W) of the
    same depth, where `pix_fmt` has alpha.
    matrix: name of the YUV matrix; YUV comes out in range "tv".
    """
    height, width = pixels.shape[:2]
    frame = av.VideoFrame(width, height, pix_fmt)
    if pix_fmt.startswith("yuv"):
        _fill_yuv(frame, pixels, alpha, matrix)
        return frame
    layers = dict(zip("rgb", cv2.split(pixels), strict=True))
    order = CHANNELS[pix_fmt]
    if len(order) == 4:
        layers["a"] = _opaque(pixels) if alpha is None else alpha
    if pix_fmt.startswith("gbr"):
        for index, name in enumerate(order):
            _write_plane(frame, index, layers[name])
        return frame
    packed = cv2.merge([layers[name] for name in order])
    if pix_fmt.endswith("be"):
        packed = packed.byteswap()
    _write_plane(frame, 0, packed.reshape(height, -1))
    return frame


def _opaque(pixels: np.ndarray) -> np.ndarray:
    return np.full(pixels.shape[:2], np.iinfo(pixels.dtype).max, pixels.dtype)


def _fill_yuv(
    frame: av.VideoFrame, pixels: np.ndarray, alpha: np.ndarray | None, matrix: str
) -> None:
    kind = frame.format
    bits = kind.components[0].bits
    to_yuv = _rgb_to_yuv(matrix, bits, pixels.dtype)
    if pixels.ndim == 2:
        _fill_grey(frame, pixels, to_yuv)
    else:
        luma, *chroma = cv2.split(cv2.transform(pixels, to_yuv))
        _write_plane(frame, 0, luma)
        half_x = kind.chroma_width(frame.width) < frame.width
        half_y = kind.chroma_height(frame.height) < frame.height
        for index, plane in enumerate(chroma, start=1):
            _write_plane(frame, index, _halve_chroma(plane, half_x, half_y))
    if len(frame.planes) == 4:
        layer = _opaque(pixels) if alpha is None else alpha
        full = np.iinfo(pixels.dtype).max
        _write_plane(frame, 3, _scale(layer, ((1 << bits) - 1) / full))


def _fill_grey(frame: av.VideoFrame, grey: np.ndarray, to_yuv: np.ndarray) -> None:
    """Every level through a table, five times as quick as a picture of three equal channels."""
    levels = np.arange(int(np.iinfo(grey.dtype).max) + 1, dtype=grey.dtype)
    table = cv2.transform(cv2.merge([levels[None]] * 3), to_yuv)[0]
    luma = np.ascontiguousarray(table[:, 0])
    _write_plane(frame, 0, cv2.LUT(grey, luma) if luma.size == 256 else luma[grey])
    for index in (1, 2):
        plane = frame.planes[index]
        neutral = np.full((plane.height, plane.width), table[0, index], grey.dtype)
        _write_plane(frame, index, neutral)


def _rgb_to_yuv(matrix: str, bits: int, dtype: np.dtype) -> np.ndarray:
    """(3, 4) affine map from full-range RGB of `dtype` to limited-range YUV of `bits` (H.273)."""
    red, blue = LUMA_WEIGHTS[matrix]
    luma = np.array([red, 1 - red - blue, blue])
    step = 1 << (bits - 8)
    cb = 224 * step * (np.array([0, 0, 1]) - luma) / (2 * (1 - blue))
    cr = 224 * step * (np.array([1, 0, 0]) - luma) / (2 * (1 - red))
    linear = np.stack([219 * step * luma, cb, cr]) / np.iinfo(dtype).max
    offset = np.array([[16], [128], [128]]) * step
    return np.concatenate([linear, offset], axis=1).astype(np.float32)


def _halve_chroma(plane: np.ndarray, half_x: bool, half_y: bool) -> np.ndarray:
    """Chroma samples sit on every second column, and between two rows (H.264's default siting)."""
    if not half_x and not half_y:
        return plane
    across = np.array([0.25, 0.5, 0.25], np.float32) if half_x else np.array([1], np.float32)
    down = np.array([0.5, 0.5], np.float32) if half_y else np.array([1], np.float32)
    anchor = (len(across) // 2, 0)
    smooth = cv2.sepFilter2D(plane, -1, across, down, None, anchor, 0, cv2.BORDER_REPLICATE)
    return smooth[:: 2 if half_y else 1, :: 2 if half_x else 1]


def _write_plane(frame: av.VideoFrame, index: int, rows: np.ndarray) -> None:
    """Copy (H, W) samples into a plane whose rows may be padded."""
    plane = frame.planes[index]
    memory = np.frombuffer(memoryview(plane), rows.dtype).reshape(plane.height, -1)
    memory[:, : rows.shape[1]] = rows
