"""Masks that a network computes: stored in the faces of a set, and taken out again.

The network sees each face in its own framing, made from the stored landmarks; its answer is warped
back over the stored square. Where the network's square ends before the stored one, nothing is face.
Stored masks are used by masked training and by the merge's XSeg modes through the faceset.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import cv2
import numpy as np

from facegraft.errors import BadAlignedImage, Cancelled, ParameterError
from facegraft.faces.align import invert, warp_image
from facegraft.faces.face import AlignedFace
from facegraft.faces.faceset import Faceset, read_image, reframe_matrix, rewritten
from facegraft.faces.metadata import read_mask_file
from facegraft.model_spec import FaceType
from facegraft.progress import Progress, Silent
from facegraft.sets.journal import operation

BATCH = 8  # faces a network is asked about at once
NOISE = 0.1  # what networks say of backgrounds; as DeepFaceLab, it is taken for nothing
MASK_SIDE = 256  # px at most: what a mask network resolves, and what fits into a file's comment


class Masker(Protocol):
    """`segment.Segmenter`, or a run's own network."""

    size: int  # px
    face_type: FaceType

    def segment_batch(self, squares: np.ndarray) -> np.ndarray:
        """(N, size, size, 3) float32 RGB 0..1 to (N, size, size) float32 0..1."""
        ...


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of a set's faces."""

    masked: int
    kept: int  # have a mask that a person drew, which stays
    damaged: tuple[str, ...]  # a sentence for each picture that does not read
    covered: float  # mean share of the square that the masks say is face


def apply_masks(
    faceset: Faceset,
    masker: Masker,
    name: str,
    progress: Progress | None = None,
    replace_drawn: bool = False,
) -> Applied:
    """Compute and store the mask of every face, in one operation that can be undone.

    `name` of the network, which the faces keep. Masks that people drew stay, unless
    `replace_drawn`; polygons stay always. Pictures that do not read are left out and named.

    Raises: Cancelled, with every face as it was; SetInUse, WriteError, ModelError.
    """
    progress = progress or Silent()
    _check_folder(faceset)
    faces = [face for face in faceset if replace_drawn or not _is_drawn(face)]
    progress.start(len(faces), "faces")
    damaged: list[str] = []
    shares: list[float] = []
    with operation(faceset.folder, f"masks by {name}") as op:
        for part in _batches(faces):
            good, squares = _read(part, masker, damaged)
            masks = masker.segment_batch(np.stack(squares)) if squares else []
            for face, mask in zip(good, masks, strict=True):
                stored = mask_of_square(face, mask, masker.face_type)
                shares.append(float(stored.mean()) / 255)
                op.write(face.path.name, rewritten(replace(face, mask_by=name), stored))
            if progress.cancelled:
                raise Cancelled("the masks stay as they were")
            progress.advance(len(part))
    for text in damaged:
        progress.note(text)
    return Applied(
        masked=len(shares),
        kept=len(faceset) - len(faces),
        damaged=tuple(damaged),
        covered=float(np.mean(shares)) if shares else 0.0,
    )


def remove_masks(
    faceset: Faceset, progress: Progress | None = None, drawn_too: bool = False
) -> int:
    """Take the masks out of a set's faces, those of networks only unless `drawn_too`; how many.

    Polygons stay. Raises: Cancelled, with every face as it was; SetInUse, WriteError.
    """
    progress = progress or Silent()
    _check_folder(faceset)
    faces = [
        face
        for face in faceset
        if read_mask_file(face.path) is not None and (drawn_too or not _is_drawn(face))
    ]
    progress.start(len(faces), "faces")
    with operation(faceset.folder, "masks removed") as op:
        for face in faces:
            op.write(face.path.name, rewritten(replace(face, mask_by=""), None))
            if progress.cancelled:
                raise Cancelled("the masks stay as they were")
            progress.advance()
    return len(faces)


def network_square(face: AlignedFace, masker: Masker) -> np.ndarray:
    """(size, size, 3) float32 RGB 0..1 as the network frames it. Raises: BadAlignedImage."""
    matrix = reframe_matrix(face, masker.face_type, masker.size)
    square = warp_image(
        read_image(face).astype(np.float32) / 255, matrix, masker.size, masker.size,
        cv2.INTER_CUBIC, cv2.BORDER_REPLICATE,
    )  # fmt: skip
    return np.clip(square, 0, 1)


def mask_of_square(face: AlignedFace, mask: np.ndarray, face_type: FaceType) -> np.ndarray:
    """(S, S) uint8, 255 face, of the stored square: a network's answer (R, R) float32 0..1 about
    its own framing. S is the stored size, or MASK_SIDE where that is less.
    """
    side = min(face.size, MASK_SIDE)
    shrink = side / face.size
    to_network = reframe_matrix(face, face_type, mask.shape[0])
    back = invert(to_network) * shrink
    warped = warp_image(np.where(mask < NOISE, 0, mask), back, side, side, cv2.INTER_LINEAR)
    return np.rint(np.clip(warped, 0, 1) * 255).astype(np.uint8)


def _check_folder(faceset: Faceset) -> None:
    """Raises: ParameterError for a set that is packed into one file."""
    if not faceset.folder.is_dir():
        raise ParameterError(
            f"{faceset.folder} is a packed faceset, which is not changed in place; unpack it, "
            "store the masks, and pack it again"
        )


def _is_drawn(face: AlignedFace) -> bool:
    return not face.mask_by and read_mask_file(face.path) is not None


def _batches(faces: Sequence[AlignedFace]) -> Iterator[Sequence[AlignedFace]]:
    for start in range(0, len(faces), BATCH):
        yield faces[start : start + BATCH]


def _read(
    faces: Sequence[AlignedFace], masker: Masker, damaged: list[str]
) -> tuple[list[AlignedFace], list[np.ndarray]]:
    good, squares = [], []
    for face in faces:
        try:
            squares.append(network_square(face, masker))
            good.append(face)
        except BadAlignedImage as error:
            damaged.append(str(error))
    return good, squares
