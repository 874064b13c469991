"""A faceset through a super resolution or face restoration network that the user supplies.

A pretty picture is not a truer one: such networks invent skin. The former pictures stay, in their
folder or, where the set itself is changed, in its journal.
"""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from facegraft.enhance import Enhancer
from facegraft.errors import Cancelled, ParameterError
from facegraft.faces.face import AlignedFace
from facegraft.faces.faceset import Faceset, aligned_bytes, encode_image, read_image
from facegraft.faces.metadata import read_mask_file
from facegraft.progress import Progress, Silent
from facegraft.sets.journal import operation
from facegraft.sets.meta_files import scaled_face
from facegraft.sets.reframe import MAX_SIZE, MIN_SIZE, refuse_taken


@dataclass(frozen=True, slots=True)
class Enhanced:
    face_count: int
    size: int  # px, the largest side that was written


def enhance_faceset(
    faceset: Faceset,
    enhancer: Enhancer,
    target: Path,
    size: int | None = None,
    progress: Progress | None = None,
) -> Enhanced:
    """Write what the network makes of every face into `target`, which may be the set's folder.

    size: px, of the written faces; None takes what the network gives. One face at a time, since
    onnxruntime is on all cores itself. Raises: ParameterError for a size outside its range or names
    that are taken; ModelError, NotAModel, BadAlignedImage, SetInUse, WriteError, Cancelled.
    """
    if size is not None and not MIN_SIZE <= size <= MAX_SIZE:
        raise ParameterError(f"size is {size} px; faces have {MIN_SIZE} to {MAX_SIZE}")
    progress = progress or Silent()
    in_place = target.exists() and target.resolve() == faceset.folder.resolve()
    progress.start(len(faceset), "faces enhanced")
    largest = 0
    with operation(target, f"enhance by {enhancer.path.name}", create=True) as op:
        if not in_place:
            refuse_taken(op, [face.path.name for face in faceset])
        for face in faceset:
            if progress.cancelled:
                raise Cancelled("stopped; no face was changed")
            changed, image = enhanced(face, enhancer, size)
            encoded = encode_image(image, face.path.suffix)
            mask = read_mask_file(face.path) or b""  # it covers the square at any size
            op.write(face.path.name, aligned_bytes(changed, encoded, mask)[1])
            largest = max(largest, changed.size)
            progress.advance()
    return Enhanced(len(faceset), largest)


def enhanced(
    face: AlignedFace, enhancer: Enhancer, size: int | None = None
) -> tuple[AlignedFace, np.ndarray]:
    """The face's values and picture (S, S, 3) uint8 RGB as the network sees it better."""
    picture = enhancer.enhance(read_image(face).astype(np.float32) / 255)
    side = size or min(MAX_SIZE, len(picture))
    if side != len(picture):
        how = cv2.INTER_AREA if side < len(picture) else cv2.INTER_CUBIC
        picture = np.clip(cv2.resize(picture, (side, side), interpolation=how), 0, 1)
    return scaled_face(face, side), np.rint(picture * 255).astype(np.uint8)
