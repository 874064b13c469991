"""A folder of aligned faces that people may look at, delete and rename by hand.

Every image carries its own metadata (`metadata.py`), so there is no index to fall out of step; the
order is that of the file names. Folders and files that begin with `_` or `.` are not faces. The
same faces packed into one file (`pack.py`) are read like the folder.
"""

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Self, overload

import cv2
import numpy as np

from facegraft.errors import BadAlignedImage, EmptyFaceset, FacesetError, SourceNotFound
from facegraft.faces.align import align_matrix, compose, invert, scaled
from facegraft.faces.face import AlignedFace, Face, Origin, Polygon
from facegraft.faces.landmarks import Pose
from facegraft.faces.metadata import (
    MASK_LIMIT,
    embed,
    read_bytes,
    read_mask_file,
    read_metadata,
    without_metadata,
)
from facegraft.faces.pack import read_index
from facegraft.files import write_atomic
from facegraft.model_spec import FaceType

SUFFIXES = {".png", ".jpg", ".jpeg"}
_READERS = 8  # threads; on a network disk the time is spent waiting
_PER_READER = 64  # faces that a thread takes at once
_BAD_NAMED = 3
JPEG_QUALITY = 95  # 1 to 100; DFL's 90 shows blocks on skin at 512 px


class Faceset(Sequence[AlignedFace]):
    """The aligned faces of a folder or pack, in file-name order; images are read when asked for."""

    def __init__(self, folder: Path, faces: Sequence[AlignedFace]) -> None:
        self.folder = folder
        self._faces = tuple(faces)

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Read every face's metadata, not its pixels. `folder` may be a pack.

        Raises: SourceNotFound, EmptyFaceset, BadPack; BadAlignedImage and FutureVersion naming the
        first files that are no faces.
        """
        folder = Path(folder)
        faces, problems = read_faces(aligned_paths(folder))
        if problems:
            lines = [str(problem) for problem in problems[:_BAD_NAMED]]
            more = len(problems) - _BAD_NAMED
            raise type(problems[0])("\n".join([*lines, *([f"and {more} more"] * (more > 0))]))
        if not faces:
            raise EmptyFaceset(
                f"{folder} holds no aligned face; make a faceset with `facegraft extract CLIP "
                f"{folder}`"
            )
        return cls(folder, faces)

    @property
    def digest(self) -> str:
        """sha256 over the faces' digests: what a training run was made from."""
        return hashlib.sha256("".join(f.digest for f in self._faces).encode()).hexdigest()

    def by_frame_index(self) -> dict[int, list[AlignedFace]]:
        """Faces by the index of the frame they were cut from."""
        frames: dict[int, list[AlignedFace]] = {}
        for face in self._faces:
            frames.setdefault(face.origin.frame_index, []).append(face)
        return frames

    def __len__(self) -> int:
        return len(self._faces)

    @overload
    def __getitem__(self, index: int) -> AlignedFace: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[AlignedFace]: ...
    def __getitem__(self, index: int | slice) -> AlignedFace | Sequence[AlignedFace]:
        return self._faces[index]

    def __iter__(self) -> Iterator[AlignedFace]:
        return iter(self._faces)

    def __repr__(self) -> str:
        return f"Faceset({self.folder}, {len(self)} faces)"


def aligned_paths(folder: Path) -> list[Path]:
    """The files of a folder or pack that should be aligned faces, by name.

    Raises: SourceNotFound, BadPack.
    """
    if folder.is_file():
        names: Iterable[str] = read_index(folder)
    elif folder.is_dir():
        names = os.listdir(folder)
    else:
        raise SourceNotFound(
            f"no faceset folder or pack {folder}; make one with `facegraft extract`"
        )
    return [folder / name for name in sorted(names) if is_face_name(name)]


def is_face_name(name: str) -> bool:
    """Should a file of this name in a faceset be a face?"""
    return name[0] not in "._" and "/" not in name and os.path.splitext(name)[1].lower() in SUFFIXES


def read_faces(paths: Sequence[Path]) -> tuple[list[AlignedFace], list[FacesetError]]:
    """All faces that can be read, in order, and why the others can not."""
    chunks = [paths[i : i + _PER_READER] for i in range(0, len(paths), _PER_READER)]

    def read(chunk: Sequence[Path]) -> list[AlignedFace | FacesetError]:
        return [_read_or_error(path) for path in chunk]

    with ThreadPoolExecutor(_READERS, thread_name_prefix="faces") as pool:
        found = [one for chunk in pool.map(read, chunks) for one in chunk]
    faces = [one for one in found if isinstance(one, AlignedFace)]
    return faces, [one for one in found if isinstance(one, FacesetError)]


def _read_or_error(path: Path) -> AlignedFace | FacesetError:
    try:
        return read_aligned(path)
    except FacesetError as error:
        return error


def read_aligned(path: Path) -> AlignedFace:
    """One aligned image's values. Raises: BadAlignedImage, FutureVersion, both naming the file."""
    return from_values(path, read_metadata(path))


def read_image(face: AlignedFace) -> np.ndarray:
    """(S, S, 3) uint8 RGB. Raises: BadAlignedImage naming the file."""
    try:
        encoded = np.frombuffer(read_bytes(face.path), np.uint8)
        bgr = cv2.imdecode(encoded, cv2.IMREAD_COLOR) if encoded.size else None
    except cv2.error as error:
        raise BadAlignedImage(f"{face.path} cannot be read: {error}") from error
    if bgr is None:
        raise BadAlignedImage(f"{face.path} is damaged; delete it or extract that frame again")
    if bgr.shape[:2] != (face.size, face.size):
        raise BadAlignedImage(
            f"{face.path} is {bgr.shape[1]}x{bgr.shape[0]} px, its metadata says {face.size}; "
            "it was resized by hand, extract it again"
        )
    return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)


def write_aligned(
    path: Path,
    image: np.ndarray,
    face: Face,
    face_type: FaceType,
    frame_to_aligned: np.ndarray,
    origin: Origin,
) -> AlignedFace:
    """Write `image` (S, S, 3) uint8 RGB with its metadata, atomically; PNG or JPEG by suffix.

    Raises: WriteError, BadAlignedImage for another suffix.
    """
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise BadAlignedImage(f"{path.name}: aligned images are PNG or JPEG; choose .png or .jpg")
    encoded = encode_image(image, path.suffix)
    aligned = AlignedFace(
        path=path,
        face=face,
        face_type=face_type,
        size=image.shape[0],
        frame_to_aligned=frame_to_aligned,
        pose=face.pose,
        origin=origin,
    )
    return write_encoded(aligned, encoded)


def encode_image(image: np.ndarray, suffix: str) -> bytes:
    """(S, S, 3) uint8 RGB as PNG or JPEG, by the suffix of its file."""
    is_png = suffix.lower() == ".png"
    options = [] if is_png else [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    return cv2.imencode(suffix.lower(), bgr, options)[1].tobytes()


def write_encoded(aligned: AlignedFace, encoded: bytes, mask: bytes = b"") -> AlignedFace:
    """Write a picture that is PNG or JPEG already to `aligned.path`, its bytes as they are.

    `mask`: an image file of the square's mask, see `read_mask`. Gives `aligned` with its digest.
    Raises: WriteError, BadAlignedImage for other formats and for what does not fit.
    """
    aligned, data = aligned_bytes(aligned, encoded, mask)
    write_atomic(aligned.path, data)
    return aligned


def aligned_bytes(
    aligned: AlignedFace, encoded: bytes, mask: bytes = b""
) -> tuple[AlignedFace, bytes]:
    """`aligned` with the digest of the picture `encoded`, and its whole file; as `write_encoded`.

    Raises: BadAlignedImage for other formats and for what does not fit.
    """
    aligned = replace(aligned, digest=hashlib.sha256(encoded).hexdigest()[:16])
    return aligned, embed(encoded, _to_values(aligned), mask)


def read_mask(face: AlignedFace) -> np.ndarray | None:
    """(H, W) uint8, 255 face, of the whole square at any size; None where none is stored.

    Raises: BadAlignedImage naming the file.
    """
    stored = read_mask_file(face.path)
    if stored is None:
        return None
    try:
        mask = cv2.imdecode(np.frombuffer(stored, np.uint8), cv2.IMREAD_GRAYSCALE)
    except cv2.error:
        mask = None
    if mask is None:
        raise BadAlignedImage(f"{face.path}: the stored mask is damaged; make it again")
    return mask


def rewritten(aligned: AlignedFace, mask: np.ndarray | None) -> bytes:
    """The face's file with what `aligned` says and this mask or none; the picture's bytes stay.

    mask: (H, W) uint8, 255 face, of the whole square at any size; halved until it fits.
    Raises: BadAlignedImage.
    """
    picture = without_metadata(read_bytes(aligned.path))
    return embed(picture, _to_values(aligned), b"" if mask is None else encode_mask(mask))


def encode_mask(mask: np.ndarray) -> bytes:
    """(H, W) uint8 as a PNG file that fits into an aligned image, at half its size if need be."""
    encoded = cv2.imencode(".png", mask)[1].tobytes()
    if len(encoded) <= MASK_LIMIT:
        return encoded
    return encode_mask(cv2.resize(mask, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA))


def reframe_matrix(face: AlignedFace, face_type: FaceType, size: int) -> np.ndarray:
    """(2, 3): from the stored square to a square of another type and size of the same face."""
    if face_type is face.face_type:  # keep a hand-made framing
        return scaled(np.eye(2, 3), size / face.size)
    return compose(align_matrix(face.landmarks, face_type, size), invert(face.frame_to_aligned))


def _to_values(aligned: AlignedFace) -> dict[str, Any]:
    face = aligned.face
    raw = None if face.raw_landmarks is None else _rounded(face.raw_landmarks)
    values = {
        "face_type": aligned.face_type.value,
        "size": aligned.size,
        "landmarks": _rounded(face.landmarks),
        "raw_landmarks": raw,
        "box": [round(float(v), 2) for v in face.box],
        "score": round(float(face.score), 4),
        "track": face.track,
        "frame_to_aligned": np.asarray(aligned.frame_to_aligned).tolist(),
        "pose": {k: round(v, 2) for k, v in asdict(aligned.pose).items()},
        "origin": asdict(aligned.origin),
        "digest": aligned.digest,
    }
    if aligned.brow_amount != 1.0:
        values["brow_amount"] = aligned.brow_amount
    if aligned.polygons:
        values["polygons"] = [
            {"is_face": p.is_face, "points": [[round(x, 3), round(y, 3)] for x, y in p.points]}
            for p in aligned.polygons
        ]
    if aligned.mask_by:
        values["mask_by"] = aligned.mask_by
    if aligned.imported:
        values["imported"] = dict(aligned.imported)
    return values


def from_values(path: Path, values: dict[str, Any]) -> AlignedFace:
    """The face of `path` from what `read_metadata` gives. Raises: BadAlignedImage."""
    try:
        return _from_values(path, values)
    except (KeyError, TypeError, ValueError) as error:
        raise BadAlignedImage(f"{path}: the face metadata lacks or garbles {error}") from error


def _from_values(path: Path, values: dict[str, Any]) -> AlignedFace:
    raw = values["raw_landmarks"]
    x0, y0, x1, y1 = map(float, values["box"])
    return AlignedFace(
        path=path,
        face=Face(
            landmarks=_points(values["landmarks"]),
            box=(x0, y0, x1, y1),
            score=float(values["score"]),
            raw_landmarks=None if raw is None else _points(raw),
            track=int(values["track"]),
        ),
        face_type=FaceType(values["face_type"]),
        size=int(values["size"]),
        frame_to_aligned=np.array(values["frame_to_aligned"], np.float64).reshape(2, 3),
        pose=Pose(**values["pose"]),
        origin=Origin(**values["origin"]),
        digest=str(values["digest"]),
        brow_amount=float(values.get("brow_amount", 1.0)),
        polygons=tuple(
            Polygon(bool(p["is_face"]), tuple((float(x), float(y)) for x, y in p["points"]))
            for p in values.get("polygons", ())
        ),
        imported=dict(values.get("imported", {})),
        mask_by=str(values.get("mask_by", "")),
    )


def _rounded(points: np.ndarray) -> list[list[float]]:
    return np.round(points.astype(np.float64), 3).tolist()  # a thousandth of a pixel


def _points(values: list[list[float]]) -> np.ndarray:
    return np.array(values, np.float32).reshape(68, 2)
