"""COCO's instance segmentation file, one JSON for a whole set, to and from polygons of faces.

Format: https://cocodataset.org/#format-data. `images` name the files, `annotations` hold
`segmentation` as lists [x0, y0, x1, y1, ...] in pixels of the picture, `categories` say what an
annotation is. Run-length masks (`iscrowd` 1) are refused: they are no polygons.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from facegraft.errors import LabelError
from facegraft.faces.face import AlignedFace, Polygon
from facegraft.sets.labelme import FACE, NOT_FACE, meaning_of

_FACE_ID, _NOT_FACE_ID = 1, 2


def to_coco(faces: Iterable[AlignedFace]) -> dict[str, Any]:
    """The file's content for the faces that have polygons."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for face in faces:
        if not face.polygons:
            continue
        number = len(images) + 1
        images.append(
            {"id": number, "file_name": face.path.name, "width": face.size, "height": face.size}
        )
        for polygon in face.polygons:
            points = np.array(polygon.points, np.float64)
            low, high = points.min(axis=0), points.max(axis=0)
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": _FACE_ID if polygon.is_face else _NOT_FACE_ID,
                    "segmentation": [points.ravel().tolist()],
                    "area": _area(points),
                    "bbox": [*low.tolist(), *(high - low).tolist()],
                    "iscrowd": 0,
                }
            )
    categories = [{"id": _FACE_ID, "name": FACE}, {"id": _NOT_FACE_ID, "name": NOT_FACE}]
    return {"images": images, "annotations": annotations, "categories": categories}


def read_coco(path: Path, faces: Sequence[AlignedFace]) -> dict[Path, tuple[Polygon, ...]]:
    """Polygons by the path of the face, for the faces whose file names the file knows.

    Raises: LabelError naming the file: unreadable, unknown categories, run-length masks.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise LabelError(f"{path} cannot be read as JSON: {error}") from error
    try:
        meanings = {c["id"]: meaning_of(str(c["name"]), path) for c in values["categories"]}
        by_name = {face.path.name: face for face in faces}
        images = {image["id"]: image for image in values["images"]}
        found: dict[Path, tuple[Polygon, ...]] = {}
        for annotation in values["annotations"]:
            image = images[annotation["image_id"]]
            face = by_name.get(Path(image["file_name"]).name)
            if face is not None:
                is_face = meanings[annotation["category_id"]]
                polygons = _polygons(annotation, is_face, face.size / float(image["width"]), path)
                found[face.path] = found.get(face.path, ()) + polygons
        return found
    except (KeyError, TypeError, ValueError) as error:
        raise LabelError(f"{path} is no COCO file: it lacks or garbles {error}") from error


def _polygons(
    annotation: Mapping[str, Any], is_face: bool, scale: float, path: Path
) -> tuple[Polygon, ...]:
    parts = annotation["segmentation"]
    if not isinstance(parts, list):
        raise LabelError(
            f"{path}: annotation {annotation.get('id')} is a run-length mask; export polygons, or "
            "give the masks as painted PNG files"
        )
    return tuple(
        Polygon(is_face, tuple((float(x) * scale, float(y) * scale) for x, y in _pairs(part)))
        for part in parts
    )


def _pairs(numbers: Sequence[float]) -> Iterable[tuple[float, float]]:
    if len(numbers) < 6 or len(numbers) % 2:
        raise ValueError(f"a polygon of {len(numbers)} numbers")
    return zip(numbers[::2], numbers[1::2], strict=True)


def _area(points: np.ndarray) -> float:
    """Of a polygon without self-crossings (shoelace formula), px²."""
    x, y = points.T
    return float(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2)
