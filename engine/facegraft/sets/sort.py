"""Putting the faces of a set in order, by any of SORTS.

Faces that are alike in what is asked for keep the order of their names. A sort may also choose:
then the chosen faces come first, and `Order.kept` says how many they are.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from facegraft.errors import BadAlignedImage, ParameterError
from facegraft.faces.face import AlignedFace
from facegraft.faces.faceset import Faceset
from facegraft.progress import Progress, Silent
from facegraft.sets.measures import Measured, measure_identity, measure_pictures
from facegraft.sets.picture_measures import RECORD
from facegraft.sets.select import select_balanced
from facegraft.sets.similarity import chain, spread, total_distance, typical_likeness, unit_rows

FINAL_COUNT = 2000  # faces, DeepFaceLab's number; more adds time and little else


@dataclass(frozen=True, eq=False)
class Order:
    """A set's faces in order.

    values:  what each was sorted by, None where that is only its place.
    kept:    the first so many are chosen; the others are what a cull of the rest takes.
    damaged: faces at the end of `faces` whose pictures do not read, a sentence for each.
    """

    key: str
    faces: tuple[AlignedFace, ...]
    values: tuple[float | str | None, ...]
    kept: int
    damaged: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Wish:
    measured: Measured
    count: int | None
    folder: Path
    network: Path | None
    progress: Progress


# places in order, what they were sorted by (or None), how many are chosen
_Sorted = tuple[np.ndarray, np.ndarray | None, int]


@dataclass(frozen=True, slots=True)
class Sort:
    """One row of the table."""

    help: str
    run: Callable[[_Wish], _Sorted]
    needs_pictures: bool = True
    chooses: bool = False


def _by(name: str, descending: bool = False) -> Callable[[_Wish], _Sorted]:
    def run(wish: _Wish) -> _Sorted:
        values = wish.measured.values(name)
        order = np.argsort(-values if descending else values, kind="stable")
        return order, values[order], len(order)

    return run


def _by_origin(wish: _Wish) -> _Sorted:
    faces = wish.measured.faces
    order = np.array(sorted(range(len(faces)), key=lambda i: _origin_key(faces[i])), np.intp)
    return order, wish.measured.values("frame_name")[order], len(order)


def _one_face(wish: _Wish) -> _Sorted:
    """The largest face of each frame, by name; then the others."""
    largest: dict[tuple[str, str], int] = {}
    faces = wish.measured.faces
    for i, face in enumerate(faces):
        frame = (face.origin.source_name, face.origin.frame_name)
        best = largest.get(frame)
        if best is None or face.face.size_px > faces[best].face.size_px:
            largest[frame] = i
    chosen = np.array(sorted(largest.values()), np.intp)
    return _with_rest(chosen, len(faces)), None, len(chosen)


def _histogram_chain(wish: _Wish) -> _Sorted:
    order = chain(unit_rows(wish.measured.pictures["color_histogram"]), wish.progress)
    return order, None, len(order)


def _histogram_unlike(wish: _Wish) -> _Sorted:
    values = total_distance(unit_rows(wish.measured.pictures["gray_histogram"]), wish.progress)
    values = values / max(len(values) - 1, 1)
    order = np.argsort(-values, kind="stable")
    return order, values[order], len(order)


def _difference_chain(wish: _Wish) -> _Sorted:
    order = chain(np.ascontiguousarray(wish.measured.pictures["thumb"]), wish.progress)
    return order, None, len(order)


def _difference_spread(wish: _Wish) -> _Sorted:
    order = spread(np.ascontiguousarray(wish.measured.pictures["thumb"]), progress=wish.progress)
    return order, None, len(order)


def _identity(wish: _Wish) -> _Sorted:
    if wish.network is None:
        raise ParameterError(
            "identity needs a face recognition network of the ArcFace kind; give its ONNX file "
            "with --embedding"
        )
    vectors = measure_identity(wish.measured.faces, wish.folder, wish.network, wish.progress)
    values = typical_likeness(vectors).astype(np.float64)
    order = np.argsort(-values, kind="stable")
    return order, values[order], len(order)


def _final(wish: _Wish) -> _Sorted:
    quality = wish.measured.values("sharpness")
    looks = unit_rows(wish.measured.pictures["color_histogram"])
    return _selected(wish, quality, looks)


def _final_fast(wish: _Wish) -> _Sorted:
    return _selected(wish, wish.measured.values("source_size"), None)


def _selected(wish: _Wish, quality: np.ndarray, looks: np.ndarray | None) -> _Sorted:
    faces, count = wish.measured.faces, wish.count or FINAL_COUNT
    yaw, pitch = wish.measured.values("yaw"), wish.measured.values("pitch")
    times = np.empty(len(faces))
    times[sorted(range(len(faces)), key=lambda i: _origin_key(faces[i]))] = np.arange(len(faces))
    chosen = select_balanced(yaw, pitch, quality, count, looks, times)
    chosen = chosen[np.lexsort((chosen, pitch[chosen], yaw[chosen]))]
    order = _with_rest(chosen, len(faces))
    return order, quality[order], len(chosen)


SORTS: dict[str, Sort] = {
    "blur": Sort("sharpest first", _by("sharpness", True)),
    "motion-blur": Sort("least blur along one direction first", _by("motion")),
    "yaw": Sort("from turned left to turned right", _by("yaw"), False),
    "pitch": Sort("from looking up to looking down", _by("pitch"), False),
    "roll": Sort("from tilted left to tilted right", _by("roll"), False),
    "source-size": Sort("largest in its frame first", _by("source_size", True), False),
    "hist": Sort("similar colours side by side", _histogram_chain),
    "hist-dissim": Sort("most unlike the others in light first", _histogram_unlike),
    "brightness": Sort("brightest first", _by("brightness", True)),
    "hue": Sort("from blue over red and yellow to green", _by("hue")),
    "black": Sort("least black in the square first", _by("black")),
    "origname": Sort("by source and frame", _by_origin, False),
    "oneface": Sort("the largest face of each frame, then the rest", _one_face, False, True),
    "absdiff": Sort("similar pictures side by side", _difference_chain),
    "absdiff-dissim": Sort("each as unlike all before it as can be", _difference_spread),
    "identity": Sort("most like the set's own person first", _identity, False),
    "confidence": Sort("surest detection first", _by("confidence", True), False),
    "final": Sort("N sharp faces, even over yaw and pitch; the rest", _final, True, True),
    "final-fast": Sort("N large ones, likewise; no picture is read", _final_fast, False, True),
}
DFL_NAMES = {
    "face-yaw": "yaw",
    "face-pitch": "pitch",
    "face-source-rect-size": "source-size",
}


def sort_faces(
    faceset: Faceset,
    key: str,
    count: int | None = None,
    reverse: bool = False,
    network: Path | None = None,
    progress: Progress | None = None,
) -> Order:
    """The set's faces by one of SORTS.

    count: how many faces `final` chooses; of the other orders, the first so many count as chosen.
    reverse: turn the order of the chosen faces round, or of all where nothing is chosen.
    network: a face recognition ONNX file, for `identity`.
    Raises: ParameterError, Cancelled, NotAModel; BadAlignedImage where not one picture reads.
    """
    progress = progress or Silent()
    key = DFL_NAMES.get(key, key)
    if key not in SORTS:
        raise ParameterError(f"no order {key!r}; there are {', '.join(SORTS)}")
    if count is not None and count < 1:
        raise ParameterError(f"count is {count}; at least 1 face must be kept")
    sort = SORTS[key]
    measured = (
        measure_pictures(faceset, progress)
        if sort.needs_pictures
        else Measured(tuple(faceset), np.empty(0, RECORD))
    )
    if not measured.faces:
        raise BadAlignedImage(measured.damaged[0][1])
    order, values, kept = sort.run(_Wish(measured, count, faceset.folder, network, progress))
    if reverse:
        part = slice(0, kept)
        order = np.concatenate([order[part][::-1], order[kept:]])
        values = None if values is None else np.concatenate([values[part][::-1], values[kept:]])
    listed = [None] * len(order) if values is None else values.tolist()
    broken = [face for face, _ in measured.damaged]
    return Order(
        key=key,
        faces=(*(measured.faces[i] for i in order), *broken),
        values=(*listed, *([None] * len(broken))),
        kept=kept if sort.chooses else min(kept, count or kept),
        damaged=tuple(text for _, text in measured.damaged),
    )


def _with_rest(chosen: np.ndarray, total: int) -> np.ndarray:
    is_rest = np.ones(total, bool)
    is_rest[chosen] = False
    return np.concatenate([chosen, np.flatnonzero(is_rest)])


def _origin_key(face: AlignedFace) -> tuple[object, ...]:
    origin = face.origin
    return (
        _natural(origin.source_name),
        origin.frame_index if origin.frame_index >= 0 else float("inf"),
        _natural(origin.frame_name),
        face.path.name,
    )


def _natural(text: str) -> Sequence[tuple[int, str]]:
    """Digits as numbers, so that frame 10 follows frame 9."""
    return [
        (int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", text)
    ]
