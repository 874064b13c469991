"""MEASURES: what can be said of a face in numbers or words; what sort, filter and report read.

Some are in the face's metadata, others take its pixels (`picture_measures.py`), which are looked at
once: the set keeps the results.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from facegraft.embedding import Embedder
from facegraft.errors import FacesetError
from facegraft.faces.align import transform_points
from facegraft.faces.face import AlignedFace
from facegraft.faces.faceset import Faceset, read_image
from facegraft.progress import Progress, Silent
from facegraft.sets.measure_store import find_records, load_records, save_records
from facegraft.sets.picture_measures import RECORD, VERSION, measure_picture
from facegraft.sets.work import on_all_cores


@dataclass(frozen=True, slots=True)
class Measure:
    """One row of the table; either `of` a face's metadata, or a field of its picture's RECORD."""

    help: str
    of: Callable[[AlignedFace], float | str] | None = None
    field: str = ""

    @property
    def needs_picture(self) -> bool:
        return self.of is None


MEASURES: dict[str, Measure] = {
    "yaw": Measure("degrees, + turned to the right of the picture", lambda f: f.pose.yaw),
    "pitch": Measure("degrees, + looks down", lambda f: f.pose.pitch),
    "roll": Measure("degrees, + tilted clockwise", lambda f: f.pose.roll),
    "source_size": Measure("px, longer side of the face in its frame", lambda f: f.face.size_px),
    "size": Measure("px, side of the stored picture", lambda f: float(f.size)),
    "confidence": Measure("0 to 1, the detector's", lambda f: f.face.score),
    "track": Measure("number of the track, -1 outside a clip", lambda f: float(f.face.track)),
    "frame": Measure(
        "number of the frame, -1 where unknown", lambda f: float(f.origin.frame_index)
    ),
    "polygons": Measure("how many mask polygons it has", lambda f: float(len(f.polygons))),
    "sharpness": Measure("0 to 1; below 0.3 a face is soft at 256 px", field="sharpness"),
    "motion": Measure("0 to 1, blur along one direction", field="motion"),
    "brightness": Measure("0 to 1, mean luma of the face", field="brightness"),
    "hue": Measure("degrees -180 to 180 of the face's mean colour, 0 red", field="hue"),
    "black": Measure("0 to 1, share of black pixels in the square", field="black"),
    "name": Measure("text, the file's name", lambda f: f.path.name),
    "source": Measure("text, the clip or picture it is from", lambda f: f.origin.source_name),
    "frame_name": Measure("text, name of that frame", lambda f: f.origin.frame_name),
    "detector": Measure("text, what found it", lambda f: f.origin.detector),
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Measured:
    """The faces of a set whose pictures read, with what was measured.

    pictures: (N,) RECORD, one a face.
    damaged:  faces whose pictures do not read, and a sentence for each.
    """

    faces: tuple[AlignedFace, ...]
    pictures: np.ndarray
    damaged: tuple[tuple[AlignedFace, str], ...] = ()

    def values(self, name: str) -> np.ndarray:
        """(N,) float64 or text of one of MEASURES."""
        return values_of(self.faces, name, self.pictures)


def values_of(
    faces: Sequence[AlignedFace], name: str, pictures: np.ndarray | None = None
) -> np.ndarray:
    """(N,) float64 or text of one of MEASURES; `pictures` (N,) RECORD where it needs them."""
    measure = MEASURES[name]
    if measure.of is not None:
        return np.array([measure.of(face) for face in faces])
    assert pictures is not None
    return pictures[measure.field].astype(np.float64)


def measure_pictures(faceset: Faceset, progress: Progress | None = None) -> Measured:
    """Look at the pictures of a set, on all cores; faces that were looked at before cost nothing.

    Raises: Cancelled.
    """
    progress = progress or Silent()
    records, errors = _with_store(
        faceset, f"pictures-{VERSION}", RECORD, measure_picture, progress, "faces measured"
    )
    faces = tuple(faceset)
    good = [i for i in range(len(faces)) if i not in errors]
    damaged = tuple((faces[i], text) for i, text in errors.items())
    return Measured(tuple(faces[i] for i in good), records[good], damaged)


def measure_identity(
    faces: Sequence[AlignedFace], folder: Path, network: Path, progress: Progress | None = None
) -> np.ndarray:
    """(N, D) float32, a vector of length 1 for each face, by a face recognition network.

    Raises: NotAModel, ModelError, BadAlignedImage naming the file, Cancelled.
    """
    progress = progress or Silent()
    embedder = Embedder.open(network)
    length = len(_embedded(embedder, faces[0]))
    dtype = np.dtype([("key", "S32"), ("vector", "f4", (length,))])

    def measure(face: AlignedFace) -> np.ndarray:
        record = np.zeros((), dtype)
        record["vector"] = _embedded(embedder, face)
        return record

    digest = hashlib.sha256(network.read_bytes()).hexdigest()[:16]
    name = f"identity-{digest}"
    records, errors = _with_store(
        Faceset(folder, faces), name, dtype, measure, progress, "faces recognised"
    )
    if errors:
        raise FacesetError("\n".join(list(errors.values())[:3]))
    return records["vector"]


def _embedded(embedder: Embedder, face: AlignedFace) -> np.ndarray:
    points = transform_points(face.landmarks, face.frame_to_aligned)
    return embedder.embed(read_image(face), points)


def _with_store(
    faceset: Faceset,
    name: str,
    dtype: np.dtype,
    measure: Callable[[AlignedFace], np.ndarray],
    progress: Progress,
    unit: str,
) -> tuple[np.ndarray, dict[int, str]]:
    """(N,) records, those that the set keeps and those that are measured now, which it then keeps;
    and by face what went wrong.
    """
    faces = tuple(faceset)
    keys = [_key(face) for face in faces]
    stored = load_records(faceset.folder, name, dtype)
    places, is_there = find_records(stored, keys)
    records = np.zeros(len(faces), dtype)
    records[is_there] = stored[places[is_there]]
    missing = np.flatnonzero(~is_there).tolist()
    if not missing:
        return records, {}

    def measure_one(i: int) -> np.ndarray | str:
        try:
            return measure(faces[i])
        except FacesetError as error:
            return str(error)

    found = on_all_cores(measure_one, missing, progress, unit)
    errors = {}
    for i, one in zip(missing, found, strict=True):
        if isinstance(one, str):
            errors[i] = one
        else:
            records[i] = one
            records[i]["key"] = keys[i]
    good = [i for i in range(len(faces)) if i not in errors]
    save_records(faceset.folder, name, records[good], stored)
    return records, errors


def _key(face: AlignedFace) -> bytes:
    """What the measures of a face depend on: its picture, and where in it the face is."""
    digest = hashlib.blake2b(face.digest.encode(), digest_size=16)
    digest.update(np.ascontiguousarray(face.landmarks, np.float32).tobytes())
    digest.update(np.ascontiguousarray(face.frame_to_aligned, np.float64).tobytes())
    digest.update(str(face.brow_amount).encode())
    return digest.hexdigest().encode()
