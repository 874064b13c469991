"""Faces as uint8 squares: decoded once into bounded memory, or in threads ahead of their use.

A square is the face in the training framing and resolution (DeepFaceLab's rule: the transform is
recomputed from the stored landmarks, pictures cubic with a repeated rim) with two masks beside its
colours: the face's (the stored one, else its hull), and eyes with mouth.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np

from facegraft.errors import BadAlignedImage
from facegraft.faces.align import compose, scaled, transform_points, warp_image
from facegraft.faces.face import AlignedFace
from facegraft.faces.faceset import read_image, read_mask, reframe_matrix
from facegraft.faces.landmarks import eyes_mouth_mask, hull_mask
from facegraft.model_spec import FaceType

CHANNELS = 5  # red, green, blue, hull, eyes and mouth
MARGIN = 1 / 8  # of the square, where the stored picture shows more than the training framing
_SIZES = list(FaceType)  # from the smallest framing to the largest

Key = tuple[Path, str]  # a file and its content
Load = Callable[[AlignedFace, FaceType, int, int], np.ndarray]


def load_square(face: AlignedFace, face_type: FaceType, resolution: int, margin: int) -> np.ndarray:
    """(S, S, 5) uint8 in the training framing, S = resolution + 2 margin px: RGB, face mask (the
    stored one, else the hull), mask of eyes and mouth. Raises: BadAlignedImage.
    """
    side = resolution + 2 * margin
    matrix = reframe_matrix(face, face_type, resolution)
    matrix[:, 2] += margin
    square = np.empty((side, side, CHANNELS), np.uint8)
    square[..., :3] = warp_image(
        read_image(face), matrix, side, side, cv2.INTER_CUBIC, cv2.BORDER_REPLICATE
    )
    points = transform_points(face.landmarks, compose(matrix, face.frame_to_aligned))
    hull = hull_mask(points, side, side, face.brow_amount)
    stored = read_mask(face)
    if stored is not None:  # drawn by hand or by a mask network: it knows what covers the face
        across = face.size / stored.shape[1]  # it may be smaller than the picture
        to_square = compose(matrix, scaled(np.eye(2, 3), across))
        hull = warp_image(
            stored, to_square, side, side, cv2.INTER_LINEAR, cv2.BORDER_CONSTANT
        ) / np.float32(255)
    parts = eyes_mouth_mask(points, side, side) * (hull > 0)
    parts /= max(float(parts.max()), 0.1)  # small eyes are softer than 1; a closed sliver may stay
    square[..., 3] = np.rint(hull * 255)
    square[..., 4] = np.rint(np.minimum(parts, 1) * 255)
    return square


def margin_of(faces: Sequence[AlignedFace], face_type: FaceType, resolution: int) -> int:
    """px around the square that the stored pictures can fill."""
    stored = {face.face_type for face in faces}
    shows_more = any(cut_closer(face_type, kind) for kind in stored)
    return round(resolution * MARGIN) if shows_more else 0


def cut_closer(kind: FaceType, than: FaceType) -> bool:
    return _SIZES.index(kind) < _SIZES.index(than)


class FaceCache:
    """Squares by face. All methods are for one thread; its own threads decode."""

    def __init__(
        self,
        face_type: FaceType,
        resolution: int,
        margin: int,
        room: int,  # faces kept
        threads: int,
        name: str,
        load: Load = load_square,  # a face, framing, resolution and margin to (S, S, 5)
    ) -> None:
        self.face_type, self.resolution, self.margin = face_type, resolution, margin
        self._load = load
        side = resolution + 2 * margin
        self.pool = ThreadPoolExecutor(max(1, threads), thread_name_prefix=f"{name}-faces")
        self._squares = np.empty((room, side, side, CHANNELS), np.uint8)  # paged in where used
        self._slots: dict[Key, int] = {}
        self._filling: dict[Key, Future[None]] = {}
        self._free = list(range(room - 1, -1, -1))

    def __len__(self) -> int:
        return len(self._slots)

    @property
    def used_bytes(self) -> int:
        return len(self) * self._squares[:1].nbytes

    def keep(self, face: AlignedFace) -> Future[None] | None:
        """Begin to decode the face into memory; None where it is there, or finds no room."""
        key = key_of(face)
        if key in self._slots or not self._free:
            return self._filling.get(key)
        slot = self._slots[key] = self._free.pop()
        self._filling[key] = self.pool.submit(self._fill, slot, face)
        return self._filling[key]

    def drop(self, face: AlignedFace) -> None:
        """Give the face's memory to another. A face that is being decoded is waited for."""
        key = key_of(face)
        if key in self._slots:
            filling = self._filling.pop(key, None)
            if filling is not None and not filling.cancel():
                filling.exception()
            self._free.append(self._slots.pop(key))

    def ahead(self, face: AlignedFace) -> Future[np.ndarray] | None:
        """Begin to decode a face that is not in memory."""
        return None if key_of(face) in self._slots else self.pool.submit(self._decode, face)

    def square(self, face: AlignedFace) -> np.ndarray:
        """(S, S, 5); waits where the face is not there yet. Raises: BadAlignedImage."""
        key = key_of(face)
        slot = self._slots.get(key)
        if slot is None:
            return self._decode(face)
        filling = self._filling.pop(key, None)
        if filling is not None:
            try:
                filling.result()
            except BadAlignedImage:
                self._free.append(self._slots.pop(key))
                raise
        return self._squares[slot]

    def _fill(self, slot: int, face: AlignedFace) -> None:
        self._squares[slot] = self._decode(face)

    def _decode(self, face: AlignedFace) -> np.ndarray:
        return self._load(face, self.face_type, self.resolution, self.margin)

    def close(self) -> None:
        self.pool.shutdown(wait=True, cancel_futures=True)


def key_of(face: AlignedFace) -> Key:
    return face.path, face.digest


def free_memory() -> int:
    """Bytes that a program can take without swapping; a quarter of the machine's where unknown."""
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            values = dict(line.split(":", 1) for line in file)
        return int(values["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError):
        pages = getattr(os, "sysconf", lambda _: 0)("SC_PHYS_PAGES")
        return pages * 4096 // 4 or 2 << 30
