"""labelme's files, one JSON per picture, to and from the polygons of an aligned face.

Format: https://github.com/wkentaro/labelme. A file has `shapes`, each with `label`, `points` in
pixels of the picture counted from its upper left corner, and `shape_type`; `imageWidth` tells which
size the points speak of. Of the shapes, polygons, rectangles and circles make a mask.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from facegraft.errors import LabelError
from facegraft.faces.face import AlignedFace, Polygon

FORMAT = "5.0.1"  # the version that writes these fields; labelme reads all since
FACE, NOT_FACE = "face", "not face"  # the labels that we write
_MEANINGS = {
    FACE: True, "include": True, "skin": True,
    NOT_FACE: False, "not_face": False, "exclude": False, "occluder": False, "background": False,
}  # fmt: skip
_CIRCLE_POINTS = 48


def to_labelme(face: AlignedFace, image_path: str) -> dict[str, Any]:
    """The file's content; `image_path` is the picture as seen from the file's folder."""
    return {
        "version": FORMAT,
        "flags": {},
        "shapes": [
            {
                "label": FACE if polygon.is_face else NOT_FACE,
                "points": [list(point) for point in polygon.points],
                "group_id": None,
                "description": "",
                "shape_type": "polygon",
                "flags": {},
            }
            for polygon in face.polygons
        ],
        "imagePath": image_path,
        "imageData": None,  # the picture lies beside
        "imageHeight": face.size,
        "imageWidth": face.size,
    }


def read_labelme(path: Path, face: AlignedFace) -> tuple[Polygon, ...]:
    """The polygons of a labelme file, in pixels of `face`'s square.

    Raises: LabelError naming the file: unreadable, unknown labels or kinds of shapes, a picture
    that is no square.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise LabelError(f"{path} cannot be read as JSON: {error}") from error
    try:
        shapes, width, height = values["shapes"], values["imageWidth"], values["imageHeight"]
        if width is not None and width != height:
            raise LabelError(f"{path} is about a picture of {width}x{height} px; faces are squares")
        scale = 1.0 if width is None else face.size / float(width)
        return tuple(_polygon(shape, scale, path) for shape in shapes)
    except (KeyError, TypeError, ValueError) as error:
        raise LabelError(f"{path} is no labelme file: it lacks or garbles {error}") from error


def meaning_of(label: str, where: Path) -> bool:
    """Whether a label says face. Raises: LabelError naming the labels that are known."""
    try:
        return _MEANINGS[label.strip().lower()]
    except KeyError:
        known = ", ".join(_MEANINGS)
        raise LabelError(f"{where} has the label {label!r}; it can be {known}") from None


def _polygon(shape: Mapping[str, Any], scale: float, path: Path) -> Polygon:
    points = [(float(x) * scale, float(y) * scale) for x, y in shape["points"]]
    kind = shape.get("shape_type", "polygon")
    is_face = meaning_of(str(shape["label"]), path)
    match kind:
        case "polygon" if len(points) >= 3:
            return Polygon(is_face, tuple(points))
        case "rectangle" if len(points) == 2:
            (x0, y0), (x1, y1) = points
            return Polygon(is_face, ((x0, y0), (x1, y0), (x1, y1), (x0, y1)))
        case "circle" if len(points) == 2:
            return Polygon(is_face, _circle(points[0], math.dist(*points)))
    raise LabelError(
        f"{path} has a {kind} of {len(points)} points; polygons of 3 or more, rectangles and "
        "circles make a mask"
    )


def _circle(center: tuple[float, float], radius: float) -> tuple[tuple[float, float], ...]:
    angles = [2 * math.pi * n / _CIRCLE_POINTS for n in range(_CIRCLE_POINTS)]
    x, y = center
    return tuple((x + radius * math.cos(a), y + radius * math.sin(a)) for a in angles)
