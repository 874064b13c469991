"""DeepFaceLab's data of one aligned face, as values.

Its conventions, which `convert.py` turns into ours:
    points and matrices count from the centre of the first pixel, as OpenCV does: its crops are
    `cv2.warpAffine(frame, image_to_face_mat)`, and that very matrix takes its landmarks along
    polygons are cut to whole pixels before they are drawn, so they count from the pixel's corner
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from facegraft.errors import DflFormatError

DEFAULT_FACE_TYPE = "full_face"  # of files from before the key existed
_KNOWN_KEYS = {
    "face_type", "landmarks", "source_filename", "source_rect", "source_landmarks",
    "image_to_face_mat", "eyebrows_expand_mod", "seg_ie_polys", "xseg_mask",
}  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class DflFace:
    """What an aligned JPEG of DeepFaceLab's says; its pixel conventions.

    landmarks:         (68, 2) float64, aligned px.
    source_landmarks:  (68, 2) float64, frame px; None in some old files.
    source_rect:       left, top, right, bottom of the detector's box, frame px; None likewise.
    image_to_face_mat: (2, 3) float64, frame to aligned; None likewise.
    polygons:          (type, (N, 2) float64 aligned px); type 1 is face, 0 is not.
    xseg_mask:         a PNG or JPEG file, b"" where there is none.
    """

    face_type: str
    landmarks: np.ndarray
    source_filename: str
    source_landmarks: np.ndarray | None = None
    source_rect: tuple[float, ...] | None = None
    image_to_face_mat: np.ndarray | None = None
    eyebrows_expand_mod: float = 1.0
    polygons: tuple[tuple[int, np.ndarray], ...] = ()
    xseg_mask: bytes = field(default=b"", repr=False)
    unknown_keys: tuple[str, ...] = ()  # of older versions, which no program reads any more


def face_of(values: dict[str, Any], where: str) -> DflFace:
    """Raises: DflFormatError naming the file and the key that is missing or of another shape."""
    if values.get("landmarks") is None:
        raise DflFormatError(f"{where}: its face data has no landmarks")
    return DflFace(
        face_type=_text(values, "face_type", DEFAULT_FACE_TYPE, where),
        landmarks=_required_array(values, "landmarks", (68, 2), where),
        source_filename=_text(values, "source_filename", "", where),
        source_landmarks=_array(values, "source_landmarks", (68, 2), where),
        source_rect=_rect(values, where),
        image_to_face_mat=_array(values, "image_to_face_mat", (2, 3), where),
        eyebrows_expand_mod=_number(values, "eyebrows_expand_mod", 1.0, where),
        polygons=_polygons(values.get("seg_ie_polys"), where),
        xseg_mask=_mask(values.get("xseg_mask"), where),
        unknown_keys=tuple(sorted(str(key) for key in set(values) - _KNOWN_KEYS)),
    )


def dict_of(face: DflFace) -> dict[str, Any]:
    """The dict that DeepFaceLab reads: lists where any version takes them, arrays where it must."""
    values: dict[str, Any] = {
        "face_type": face.face_type,
        "landmarks": face.landmarks.tolist(),
        "source_filename": face.source_filename,
    }
    if face.source_rect is not None:  # its sorting by size indexes an array with a list
        values["source_rect"] = np.rint(face.source_rect).astype(np.int32)
    if face.source_landmarks is not None:
        values["source_landmarks"] = face.source_landmarks.tolist()
    if face.image_to_face_mat is not None:
        values["image_to_face_mat"] = face.image_to_face_mat.tolist()
    if face.eyebrows_expand_mod != 1.0:
        values["eyebrows_expand_mod"] = face.eyebrows_expand_mod
    if face.polygons:
        values["seg_ie_polys"] = polygons_dict(face)
    if face.xseg_mask:
        values["xseg_mask"] = np.frombuffer(face.xseg_mask, np.uint8)
    return values


def polygons_dict(face: DflFace) -> dict[str, Any]:
    return {"polys": [{"type": kind, "pts": pts.astype(np.float32)} for kind, pts in face.polygons]}


def _text(values: dict[str, Any], key: str, default: str, where: str) -> str:
    value = values.get(key)
    if value is None:
        return default
    if not isinstance(value, str):
        raise DflFormatError(f"{where}: its {key} is a {type(value).__name__}, not a text")
    return value


def _number(values: dict[str, Any], key: str, default: float, where: str) -> float:
    value = values.get(key)
    if value is None:
        return default
    if not isinstance(value, int | float):
        raise DflFormatError(f"{where}: its {key} is a {type(value).__name__}, not a number")
    return float(value)


def _array(
    values: dict[str, Any], key: str, shape: tuple[int, ...], where: str
) -> np.ndarray | None:
    if values.get(key) is None:
        return None
    return _required_array(values, key, shape, where)


def _required_array(
    values: dict[str, Any], key: str, shape: tuple[int, ...], where: str
) -> np.ndarray:
    array = _numbers(values[key], f"{where}: its {key}")
    if array.shape != shape or not np.isfinite(array).all():
        raise DflFormatError(
            f"{where}: its {key} has the shape {array.shape} or holds no numbers; {shape} is needed"
        )
    return array


def _numbers(value: Any, what: str) -> np.ndarray:
    """A list of lists or an array as float64. Raises: DflFormatError."""
    rows = value.tolist() if isinstance(value, np.ndarray) and value.ndim == 2 else value
    if not isinstance(rows, list | tuple | np.ndarray) or len(rows) > _MOST_POINTS:
        raise DflFormatError(f"{what} is no list of numbers")
    try:
        return np.array([[float(cell) for cell in row] for row in rows], np.float64)
    except (TypeError, ValueError) as error:
        raise DflFormatError(f"{what} is no list of numbers") from error


_MOST_POINTS = 1 << 16  # no segment of 64 KiB holds more


def _rect(values: dict[str, Any], where: str) -> tuple[float, ...] | None:
    value = values.get("source_rect")
    if value is None:
        return None
    (row,) = _numbers([value], f"{where}: its source_rect")
    if len(row) != 4:
        raise DflFormatError(f"{where}: its source_rect has {len(row)} numbers; 4 are needed")
    return tuple(row.tolist())


def _polygons(value: Any, where: str) -> tuple[tuple[int, np.ndarray], ...]:
    """Today's dict of dicts, or the list of pairs of older versions."""
    if value is None:
        return ()
    entries = value.get("polys") if isinstance(value, dict) else value
    if not isinstance(entries, list | tuple):
        raise DflFormatError(f"{where}: its seg_ie_polys is a {type(entries).__name__}")
    result = []
    for entry in entries:
        if isinstance(entry, dict):
            kind, points = entry.get("type"), entry.get("pts")
        elif isinstance(entry, list | tuple) and len(entry) == 2:
            kind, points = entry
        else:
            raise DflFormatError(f"{where}: a polygon is a {type(entry).__name__}")
        array = _numbers(points, f"{where}: a polygon")
        if not array.size:
            continue
        if kind not in (0, 1) or array.ndim != 2 or array.shape[1] != 2:
            raise DflFormatError(f"{where}: a polygon of type {kind!r} and shape {array.shape}")
        result.append((int(kind), array))
    return tuple(result)


def _mask(value: Any, where: str) -> bytes:
    """The image file in an array of (N,) or, from some versions of OpenCV, (N, 1)."""
    if value is None:
        return b""
    if not isinstance(value, np.ndarray) or value.dtype != np.uint8:
        raise DflFormatError(f"{where}: its xseg_mask is a {type(value).__name__}, no array")
    return value.tobytes()
