"""What a person says about faces that the detector missed or misplaced, by frame.

A hint is 68 landmarks, which are taken as they are; or five points (the eyes' centres as seen from
left to right, nose, corners of the mouth) or a rough box, which tell the network where to look.
All in frame pixels, counted from the corner of the first one. Read from
    JSON    {"frames": {"00042": [{"box": [x0, y0, x1, y1]}, {"points": [[x, y], ...]}]}}
    COCO    `keypoints` (x, y, visibility) of 5 or 68 points, or a `bbox` alone
    labelme one file per frame: a rectangle, or 5 or 68 shapes of one point each, in their order
where a frame is named as in the faceset's files, or by its image's name.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from facegraft.errors import LabelError

POINT_COUNTS = (5, 68)


@dataclass(frozen=True, slots=True, eq=False)
class Hint:
    """One face: `points` (5 or 68, 2) float64, or a `box` (x0, y0, x1, y1)."""

    points: np.ndarray | None = None
    box: tuple[float, float, float, float] | None = None


def read_hints(path: Path) -> dict[str, list[Hint]]:
    """Hints by the name of the frame; `path` is a file of any kind above or a folder of labelme's.

    Raises: LabelError naming file and frame.
    """
    if path.is_dir():
        files = sorted(p for p in path.iterdir() if p.suffix.lower() == ".json")
        if not files:
            raise LabelError(f"{path} holds no .json file; labelme writes one for each frame")
        return {file.stem: _labelme(_load(file), file) for file in files}
    values = _load(path)
    try:
        if "frames" in values:
            return {
                str(name): [_own(entry, f"{path}, frame {name}") for entry in entries]
                for name, entries in values["frames"].items()
            }
        if "annotations" in values:
            return _coco(values, path)
        if "shapes" in values:
            return {path.stem: _labelme(values, path)}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise LabelError(f"{path} lacks or garbles {error}") from error
    raise LabelError(
        f'{path} has neither "frames" nor COCO\'s "annotations" nor labelme\'s "shapes"'
    )


def _load(path: Path) -> Mapping[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise LabelError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(values, dict):
        raise LabelError(f"{path} holds a {type(values).__name__}; it is an object")
    return values


def _own(entry: Mapping[str, Any], where: str) -> Hint:
    for key in ("landmarks", "points"):
        if key in entry:
            return _points(entry[key], where)
    if "box" in entry:
        return _box(entry["box"], where)
    raise LabelError(f"{where}: a face has landmarks, points or a box; this one has {list(entry)}")


def _coco(values: Mapping[str, Any], path: Path) -> dict[str, list[Hint]]:
    names = {image["id"]: Path(image["file_name"]).stem for image in values["images"]}
    hints: dict[str, list[Hint]] = {}
    for annotation in values["annotations"]:
        name = names[annotation["image_id"]]
        where = f"{path}, frame {name}"
        if annotation.get("keypoints"):
            numbers = np.array(annotation["keypoints"], np.float64)
            hint = _points(numbers.reshape(-1, 3)[:, :2].tolist(), where)
        else:
            x, y, width, height = annotation["bbox"]
            hint = _box([x, y, x + width, y + height], where)
        hints.setdefault(name, []).append(hint)
    return hints


def _labelme(values: Mapping[str, Any], path: Path) -> list[Hint]:
    """Rectangles are boxes; all single points together are one face."""
    try:
        shapes = values["shapes"]
        boxes = [
            _box([*np.min(shape["points"], axis=0), *np.max(shape["points"], axis=0)], str(path))
            for shape in shapes
            if shape["shape_type"] == "rectangle"
        ]
        points = [shape["points"][0] for shape in shapes if shape["shape_type"] == "point"]
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise LabelError(f"{path} is no labelme file: it lacks or garbles {error}") from error
    found = boxes + ([_points(points, str(path))] if points else [])
    if not found:
        raise LabelError(f"{path} has no rectangle and no point")
    return found


def _points(values: Iterable[Sequence[float]], where: str) -> Hint:
    points = np.array(list(values), np.float64)
    if points.ndim != 2 or points.shape[1] != 2 or len(points) not in POINT_COUNTS:
        raise LabelError(f"{where}: points have shape {points.shape}; a face has 5 or 68 (x, y)")
    if not np.isfinite(points).all():
        raise LabelError(f"{where}: a point is not finite")
    return Hint(points=points)


def _box(values: Sequence[float], where: str) -> Hint:
    x0, y0, x1, y1 = map(float, values)
    if not (x0 < x1 and y0 < y1):
        raise LabelError(f"{where}: box {x0:g}, {y0:g}, {x1:g}, {y1:g} has no area")
    return Hint(box=(x0, y0, x1, y1))
