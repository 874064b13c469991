"""What a set is worth: how many faces of which poses, how sharp, how large, what repeats and what
does not belong; and how src covers dst. `advice.py` says it in words, `sheet_report.py` draws it.
"""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from facegraft.errors import BadAlignedImage
from facegraft.faces.face import AlignedFace
from facegraft.faces.faceset import Faceset
from facegraft.progress import Progress
from facegraft.sets.coverage import CELL, PITCH_SPAN, YAW_SPAN, Coverage, cover, pose_map, poses_of
from facegraft.sets.measures import Measured, measure_identity, measure_pictures
from facegraft.sets.picture_measures import THUMB
from facegraft.sets.similarity import nearest, typical_likeness, unit_rows

DUPLICATE = 1.0  # of 255, mean difference: less than a video codec makes of one look
_ALIKE_LOOKED_AT = 16  # neighbours of a face
OUTLIER = 4.0  # robust standard deviations below the median
_LEAST_SPREAD = 0.03  # of likeness; in one still scene a turned head is no outlier
SOFT = 0.3  # sharpness; by eye, no lashes are to be seen
SMALL_PX = 100  # of the face in its frame: enlarged at every training resolution
CUT = 0.2  # black share of the square

SHARPNESS_EDGES = np.linspace(0.0, 0.8, 33)
SIZE_EDGES = np.array([0, 50, 75, 100, 150, 200, 300, 400, 600, 800, 1200, 1600, np.inf])  # px


@dataclass(frozen=True, eq=False)
class SetReport:
    """One set. Arrays run along `faces`, the faces whose pictures read."""

    folder: Path
    measured: Measured
    map: np.ndarray  # (pitch, yaw) counts of `pose_map`
    likeness: np.ndarray  # (N,) to the set's own face, 1 at most
    outliers: tuple[AlignedFace, ...]  # least like it first
    duplicates: tuple[tuple[AlignedFace, AlignedFace], ...]  # a face, and the one it repeats
    by_network: bool  # is likeness that of persons, or only of colours?

    @property
    def faces(self) -> tuple[AlignedFace, ...]:
        return self.measured.faces

    @property
    def poses(self) -> np.ndarray:
        """(N, 2) yaw and pitch, degrees."""
        return poses_of(self.faces)

    def count(self, name: str) -> Counter[Any]:
        """How many faces have each value of one of MEASURES."""
        return Counter(self.measured.values(name).tolist())

    @property
    def face_types(self) -> Counter[str]:
        return Counter(face.face_type.value for face in self.faces)


@dataclass(frozen=True, eq=False)
class Report:
    """A set, and where given the set that it is to replace."""

    src: SetReport
    dst: SetReport | None = None
    coverage: Coverage | None = None


def make_report(
    src: Faceset,
    dst: Faceset | None = None,
    network: Path | None = None,
    progress: Progress | None = None,
) -> Report:
    """network: a face recognition ONNX file, by which strangers are found; without one, colours.

    Raises: BadAlignedImage where not one picture reads, NotAModel, Cancelled.
    """
    first = _report_set(src, network, progress)
    if dst is None:
        return Report(first)
    second = _report_set(dst, network, progress)
    return Report(first, second, cover(first.poses, second.poses))


def _report_set(faceset: Faceset, network: Path | None, progress: Progress | None) -> SetReport:
    measured = measure_pictures(faceset, progress)
    if not measured.faces:
        raise BadAlignedImage(measured.damaged[0][1])
    if network is None:
        looks = unit_rows(measured.pictures["color_histogram"])
    else:
        looks = measure_identity(measured.faces, faceset.folder, network, progress)
    likeness = typical_likeness(looks)
    return SetReport(
        folder=faceset.folder,
        measured=measured,
        map=pose_map(poses_of(measured.faces)),
        likeness=likeness,
        outliers=tuple(measured.faces[i] for i in find_outliers(likeness)),
        duplicates=find_duplicates(measured, progress),
        by_network=network is not None,
    )


def find_outliers(likeness: np.ndarray) -> np.ndarray:
    """Places of those far below the median, the farthest first."""
    median = np.median(likeness)
    spread = max(1.4826 * float(np.median(np.abs(likeness - median))), _LEAST_SPREAD)
    order = np.argsort(likeness, kind="stable")
    return order[likeness[order] < median - OUTLIER * spread]


def find_duplicates(
    measured: Measured, progress: Progress | None = None
) -> tuple[tuple[AlignedFace, AlignedFace], ...]:
    """Faces, in order, that hardly differ from one before them that is itself no duplicate."""
    faces = measured.faces
    if len(faces) < 2:
        return ()
    thumbs = np.ascontiguousarray(measured.pictures["thumb"])
    distances, places = nearest(thumbs, _ALIKE_LOOKED_AT, progress)
    is_alike = distances <= DUPLICATE * THUMB**2
    # being alike goes both ways, but lists of neighbours are cut off
    alike: list[set[int]] = [set() for _ in faces]
    for i, j in zip(np.nonzero(is_alike)[0].tolist(), places[is_alike].tolist(), strict=True):
        alike[i].add(j)
        alike[j].add(i)
    kept: set[int] = set()
    pairs = []
    for i in range(len(faces)):
        before = alike[i] & kept
        if before:
            pairs.append((faces[i], faces[min(before)]))
        else:
            kept.add(i)
    return tuple(pairs)


def report_values(report: Report, advice: tuple[str, ...]) -> dict[str, Any]:
    """The report as JSON."""
    values: dict[str, Any] = {"version": 1, "src": _set_values(report.src)}
    if report.dst is not None and report.coverage is not None:
        values["dst"] = _set_values(report.dst)
        values["coverage"] = {
            "covered": round(report.coverage.covered, 4),
            "gaps": [
                {
                    "yaw": [round(v, 1) for v in gap.yaw],
                    "pitch": [round(v, 1) for v in gap.pitch],
                    "count": gap.count,
                    "farthest": round(gap.farthest, 1),
                }
                for gap in report.coverage.gaps
            ],
            "farthest_faces": [
                report.dst.faces[i].path.name
                for i in np.argsort(-report.coverage.distances, kind="stable")[:20]
                if report.coverage.distances[i] > 0
            ],
        }
    values["advice"] = list(advice)
    return values


def _set_values(one: SetReport) -> dict[str, Any]:
    measured = one.measured
    return {
        "folder": one.folder.name,
        "faces": len(one.faces),
        "damaged": [face.path.name for face, _ in measured.damaged],
        "sources": dict(one.count("source")),
        "tracks": {str(int(k)): v for k, v in sorted(one.count("track").items())},
        "sizes": {str(int(k)): v for k, v in sorted(one.count("size").items())},
        "face_types": dict(one.face_types),
        "with_polygons": sum(1 for face in one.faces if face.polygons),
        "pose_map": {
            "cell": CELL,
            "yaw_from": -YAW_SPAN,
            "pitch_from": -PITCH_SPAN,
            "counts": one.map.tolist(),
        },
        "measures": {
            name: _summary(measured.values(name))
            for name in ("yaw", "pitch", "roll", "source_size", "confidence",
                         "sharpness", "motion", "brightness", "hue", "black")
        },
        "sharpness_histogram": _histogram(measured.values("sharpness"), SHARPNESS_EDGES),
        "size_histogram": _histogram(measured.values("source_size"), SIZE_EDGES),
        "duplicates": [[a.path.name, b.path.name] for a, b in one.duplicates],
        "outliers_by": "identity" if one.by_network else "colour",
        "outliers": [face.path.name for face in one.outliers],
    }  # fmt: skip


def _summary(values: np.ndarray) -> dict[str, float]:
    ends = np.percentile(values, [0, 10, 50, 90, 100])
    names = ("least", "tenth", "median", "ninetieth", "most")
    return {name: round(float(v), 4) for name, v in zip(names, ends, strict=True)}


def _histogram(values: np.ndarray, edges: np.ndarray) -> dict[str, list[float | None]]:
    counts = np.histogram(np.clip(values, edges[0], edges[-2]), bins=edges)[0]
    return {
        "edges": [round(float(e), 4) if np.isfinite(e) else None for e in edges],
        "counts": counts.tolist(),
    }
