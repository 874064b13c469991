"""The faces of one side as batches of uint8 squares, with no step waiting for a file.

A face is decoded once, brought to the training framing and resolution (DeepFaceLab's rule: the
transform is recomputed from the stored landmarks, pictures cubic with a repeated rim) and kept in
memory with its hull mask as a fourth channel. What does not fit into the memory limit is decoded
again when its batch comes near, in threads, a few batches ahead.

Which faces make batch number `draw` is a function of seed, side and `draw` alone: shuffled epochs
laid end to end. So a resumed run goes on exactly, without any state to store.
"""

import hashlib
import logging
import os
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import cv2
import numpy as np
import torch

from facegraft.errors import BadAlignedImage, Cancelled
from facegraft.faces.align import compose, transform_points, warp_image
from facegraft.faces.face import AlignedFace
from facegraft.faces.faceset import read_image, reframe_matrix
from facegraft.faces.landmarks import hull_mask
from facegraft.model_spec import FaceType
from facegraft.progress import Progress

MEMORY_SHARE = 0.4  # of the memory that is free at start, for both sides together
BATCHES_AHEAD = 4  # hides a slow disk's seek; each costs a batch of memory
MARGIN = 1 / 8  # of the square, where the stored picture shows more than the training framing
BAD_NAMED = 5  # damaged files named in one message

_log = logging.getLogger(__name__)
_SIZES = list(FaceType)  # from the smallest framing to the largest


def random_seed(*key: int | str) -> int:
    """A 63-bit seed from a key such as (run seed, "src", draw number), alike on every machine."""
    text = "/".join(map(str, key)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big") >> 1


def load_square(face: AlignedFace, face_type: FaceType, resolution: int, margin: int) -> np.ndarray:
    """(S, S, 4) uint8, RGB and hull mask, S = resolution + 2 margin px, in the training framing.

    Raises: BadAlignedImage.
    """
    side = resolution + 2 * margin
    matrix = reframe_matrix(face, face_type, resolution)
    matrix[:, 2] += margin
    square = np.empty((side, side, 4), np.uint8)
    square[..., :3] = warp_image(
        read_image(face), matrix, side, side, cv2.INTER_CUBIC, cv2.BORDER_REPLICATE
    )
    points = transform_points(face.landmarks, compose(matrix, face.frame_to_aligned))
    square[..., 3] = np.rint(hull_mask(points, side, side) * 255)
    return square


class Samples:
    """One side's faces. Close it, or use it as a context manager, to end its threads."""

    def __init__(
        self,
        faces: Sequence[AlignedFace],
        side: str,
        face_type: FaceType,
        resolution: int,
        batch_size: int,
        seed: int,
        threads: int = 1,
        memory_bytes: int | None = None,  # None: half of MEMORY_SHARE of what is free
    ) -> None:
        self.faces, self.side = faces, side
        self.face_type, self.resolution = face_type, resolution
        self.batch_size, self.seed = batch_size, seed
        stored = {face.face_type for face in faces}
        shows_more = any(_SIZES.index(kind) > _SIZES.index(face_type) for kind in stored)
        self.margin = round(resolution * MARGIN) if shows_more else 0
        self.side_px = resolution + 2 * self.margin
        if memory_bytes is None:
            memory_bytes = int(free_memory() * MEMORY_SHARE / 2)
        room = min(len(faces), memory_bytes // (self.side_px**2 * 4))
        self._cache = np.empty((room, self.side_px, self.side_px, 4), np.uint8)
        self._pool = ThreadPoolExecutor(max(1, threads), thread_name_prefix=f"{side}-faces")
        self._coming: dict[int, list[Future[np.ndarray] | np.ndarray]] = {}
        self._orders: dict[int, np.ndarray] = {}

    def load(self, progress: Progress) -> None:
        """Decode what fits into memory. Raises: BadAlignedImage, Cancelled."""
        progress.start(len(self._cache), f"{self.side} faces")
        bad: list[str] = []
        jobs = [self._pool.submit(self._fill, i) for i in range(len(self._cache))]
        for job in jobs:
            try:
                job.result()
            except BadAlignedImage as error:
                bad.append(str(error))
            if progress.cancelled:
                raise Cancelled(f"while reading the {self.side} faces; nothing was trained")
            progress.advance()
        if bad:
            more = f"\n... and {len(bad) - BAD_NAMED} more" if len(bad) > BAD_NAMED else ""
            raise BadAlignedImage("\n".join(bad[:BAD_NAMED]) + more)
        self._report(progress)

    def _report(self, progress: Progress) -> None:
        smaller = [
            f for f in self.faces if _SIZES.index(f.face_type) < _SIZES.index(self.face_type)
        ]
        if smaller:
            progress.note(
                f"{len(smaller)} {self.side} faces are cut closer ({smaller[0].face_type}) than "
                f"the model's {self.face_type}; their rim is smeared, extract them again wider"
            )
        if len(self._cache) < len(self.faces):
            progress.note(
                f"{len(self._cache)} of {len(self.faces)} {self.side} faces fit into "
                f"{self._cache.nbytes / 2**30:.1f} GiB, the others are read again each time"
            )
        _log.info("%s: %d faces, %d px margin", self.side, len(self.faces), self.margin)

    def indices(self, draw: int) -> np.ndarray:
        """(batch_size,) face numbers of batch `draw`, counted from 0."""
        positions = np.arange(draw * self.batch_size, (draw + 1) * self.batch_size)
        epochs, places = np.divmod(positions, len(self.faces))
        return np.array([self._order(e)[p] for e, p in zip(epochs.tolist(), places, strict=True)])

    def _order(self, epoch: int) -> np.ndarray:
        if epoch not in self._orders:
            # the batches in flight span two epochs, or more where a set is smaller than they are
            self._orders = {e: o for e, o in self._orders.items() if e >= epoch - 1}
            rng = np.random.default_rng(random_seed(self.seed, self.side, "order", epoch))
            self._orders[epoch] = rng.permutation(len(self.faces))
        return self._orders[epoch]

    def batch(self, draw: int) -> torch.Tensor:
        """(batch_size, S, S, 4) uint8 on the CPU: RGB and mask. Raises: BadAlignedImage."""
        if len(self._cache) == len(self.faces):
            return torch.from_numpy(self._cache[self.indices(draw)])
        self._coming = {d: parts for d, parts in self._coming.items() if d >= draw}
        for ahead in range(draw, draw + 1 + BATCHES_AHEAD):
            if ahead not in self._coming:
                self._coming[ahead] = [self._request(i) for i in self.indices(ahead)]
        parts = self._coming[draw]  # kept: an un-warped repeat asks for it again
        arrays = [part.result() if isinstance(part, Future) else part for part in parts]
        return torch.from_numpy(np.stack(arrays))

    def squares(self, indices: Sequence[int]) -> torch.Tensor:
        """(len, R, R, 4) uint8: these faces as the model frames them, without margin."""
        inner = slice(self.margin, self.margin + self.resolution)
        parts = [self._request(i) for i in indices]
        arrays = [part.result() if isinstance(part, Future) else part for part in parts]
        return torch.from_numpy(np.stack([array[inner, inner] for array in arrays]))

    def _request(self, index: int) -> Future[np.ndarray] | np.ndarray:
        if index < len(self._cache):
            return self._cache[index]
        return self._pool.submit(self._decode, index)

    def _fill(self, index: int) -> None:
        self._cache[index] = self._decode(index)

    def _decode(self, index: int) -> np.ndarray:
        return load_square(self.faces[index], self.face_type, self.resolution, self.margin)

    def close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def __enter__(self) -> "Samples":
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()


def free_memory() -> int:
    """Bytes that a program can take without swapping; a quarter of the machine's where unknown."""
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            values = dict(line.split(":", 1) for line in file)
        return int(values["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError):
        pages = getattr(os, "sysconf", lambda _: 0)("SC_PHYS_PAGES")
        return pages * 4096 // 4 or 2 << 30
