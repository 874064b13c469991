"""What the pixels of an aligned face say of it: sharpness, motion blur, light, colour, likeness.

Every picture is looked at in a square of SIDE px, which makes sets of different sizes comparable
and lets a JPEG be decoded at a fraction of its size.

Sharpness is one minus the blur measure of Crete, Dolmiere, Ladret and Nicolas, "The blur effect:
perception and estimation with a new no-reference perceptual blur metric" (2007): how much of the
picture's steps a further blur takes away, along x and along y, the worse of both. It asks for the
share that is lost and not for the amount, so neither contrast nor exposure nor beards decide, which
they do in the variance of the Laplacian. Steps are weighted by the face's hull.

Motion blur takes detail away along one direction. The mean squared frequency along a direction is
the energy of the second difference over that of the first; it is compared with the direction across
for 0, 45, 90 and 135 degrees. 0: alike, 1: nothing left along one of them.
"""

import cv2
import numpy as np

from facegraft.errors import BadAlignedImage
from facegraft.faces.align import scaled, transform_points
from facegraft.faces.face import AlignedFace
from facegraft.faces.landmarks import hull_mask
from facegraft.faces.metadata import read_bytes

SIDE = 256  # px; what most models are trained at
BINS = 64  # of a histogram, of 256 values: noise must not decide
THUMB = 16  # px, side of the picture that absolute differences are taken of
REBLUR = 11  # px of the further blur, as in the paper
BLACK = 8  # of 255: the black around a frame, after JPEG
LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # Rec.601, as JPEG and OpenCV's grey
_EPSILON = 1e-9

# raised whenever a measure changes, so that stored ones are not taken for it
VERSION = 1
RECORD = np.dtype(
    [
        ("key", "S32"),
        ("sharpness", "f4"),  # 0..1
        ("motion", "f4"),  # 0..1
        ("brightness", "f4"),  # 0..1, mean luma of the face
        ("hue", "f4"),  # degrees -180..180, of the face's mean colour; 0 red, 60 yellow
        ("black", "f4"),  # 0..1, share of the square
        ("color_histogram", "f2", (3 * BINS,)),  # roots of the shares of the face's values, R G B
        ("gray_histogram", "f2", (BINS,)),
        ("thumb", "u1", (THUMB * THUMB,)),  # the whole square in grey
    ]
)


def measure_picture(face: AlignedFace) -> np.ndarray:
    """The face's values as one RECORD, its key empty. Raises: BadAlignedImage naming the file."""
    rgb = _decode(face)
    gray = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    matrix = scaled(face.frame_to_aligned, SIDE / face.size)
    landmarks = transform_points(face.landmarks, matrix)
    hull = hull_mask(landmarks, SIDE, SIDE, face.brow_amount)
    if not hull.any():
        raise BadAlignedImage(
            f"{face.path}: its landmarks lie outside its picture; extract it again"
        )
    inside = (hull > 0.5).astype(np.uint8)
    red, green, blue = (v / 255 for v in cv2.mean(rgb, inside)[:3])
    x, y, width, height = cv2.boundingRect(inside)
    around = np.s_[
        max(0, y - REBLUR) : y + height + REBLUR, max(0, x - REBLUR) : x + width + REBLUR
    ]
    record = np.zeros((), RECORD)
    record["sharpness"] = 1 - blur_effect(gray[around], inside[around])
    record["motion"] = motion_effect(gray[around], inside[around])
    record["brightness"] = float(LUMA @ (red, green, blue))
    record["hue"] = np.degrees(np.arctan2(np.sqrt(3) * (green - blue), 2 * red - green - blue))
    record["black"] = cv2.countNonZero(cv2.inRange(rgb, (0, 0, 0), (BLACK,) * 3)) / SIDE**2
    colors = [_histogram(rgb, channel, inside) for channel in range(3)]
    record["color_histogram"] = np.concatenate(colors) / np.sqrt(3)  # length 1, all three together
    record["gray_histogram"] = _histogram(gray, 0, inside)
    record["thumb"] = cv2.resize(gray, (THUMB, THUMB), interpolation=cv2.INTER_AREA).reshape(-1)
    return record


def blur_effect(gray: np.ndarray, inside: np.ndarray) -> float:
    """0 sharp to 1 nothing but blur, of (H, W) uint8 where `inside` (H, W) uint8 is not 0."""
    values = gray.astype(np.float32)
    worst = 0.0
    for dx, dy in ((1, 0), (0, 1)):
        size = (REBLUR, 1) if dx else (1, REBLUR)
        step = _steps(values, dx, dy)
        left = _steps(cv2.blur(values, size, borderType=cv2.BORDER_REFLECT), dx, dy)
        total = cv2.norm(step, cv2.NORM_L1, mask=inside)
        lost = cv2.norm(np.maximum(step - left, 0), cv2.NORM_L1, mask=inside)
        worst = max(worst, 1 - lost / total if total > 0 else 1.0)
    return worst


def motion_effect(gray: np.ndarray, inside: np.ndarray) -> float:
    """0 to 1: how much more detail is lost along one direction than across it; see the module."""
    values = cv2.GaussianBlur(gray.astype(np.float32), (0, 0), 1.0)  # grain has no direction
    inner = np.ascontiguousarray(inside[1:-1, 1:-1])
    height, width = values.shape
    twice = 2 * values[1:-1, 1:-1]

    def detail(dx: int, dy: int) -> float:
        ahead = values[1 + dy : height - 1 + dy, 1 + dx : width - 1 + dx]
        behind = values[1 - dy : height - 1 - dy, 1 - dx : width - 1 - dx]
        first = cv2.norm(ahead, behind, cv2.NORM_L2SQR, mask=inner)
        second = cv2.norm(cv2.add(ahead, behind), twice, cv2.NORM_L2SQR, mask=inner)
        return (second + _EPSILON) / (first + _EPSILON)

    pairs = (detail(1, 0), detail(0, 1)), (detail(1, 1), detail(1, -1))
    return max(1 - min(pair) / max(pair) for pair in pairs)


def _steps(values: np.ndarray, dx: int, dy: int) -> np.ndarray:
    """(H, W): size of the step along x or y, taken over three pixels across it (Sobel)."""
    return np.abs(cv2.Sobel(values, cv2.CV_32F, dx, dy, ksize=3, borderType=cv2.BORDER_REFLECT))


def _histogram(image: np.ndarray, channel: int, mask: np.ndarray) -> np.ndarray:
    """(BINS,): roots of the shares, so that a dot product is the Bhattacharyya coefficient."""
    counts = cv2.calcHist([image], [channel], mask, [BINS], [0, 256]).reshape(-1)
    return np.sqrt(counts / counts.sum())


def _decode(face: AlignedFace) -> np.ndarray:
    """(SIDE, SIDE, 3) uint8 RGB; decoded no larger than need be. Raises: BadAlignedImage."""
    data = np.frombuffer(read_bytes(face.path), np.uint8)
    times = face.size // SIDE
    flag = cv2.IMREAD_COLOR
    for least, reduced in (
        (8, cv2.IMREAD_REDUCED_COLOR_8),
        (4, cv2.IMREAD_REDUCED_COLOR_4),
        (2, cv2.IMREAD_REDUCED_COLOR_2),
    ):
        if times >= least:
            flag = reduced
            break
    try:
        bgr = cv2.imdecode(data, flag)
    except cv2.error as error:
        raise BadAlignedImage(f"{face.path} cannot be read: {error}") from error
    if bgr is None or bgr.shape[0] != bgr.shape[1]:
        raise BadAlignedImage(f"{face.path} is damaged; delete it or extract that frame again")
    if bgr.shape[0] != SIDE:
        way = cv2.INTER_AREA if bgr.shape[0] > SIDE else cv2.INTER_CUBIC
        bgr = cv2.resize(bgr, (SIDE, SIDE), interpolation=way)
    return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
