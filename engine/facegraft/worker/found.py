"""A face of one frame, and what its user should know of it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from facegraft.faces.face import Face
from facegraft.worker.request import MergeRequest

STEADY_ROWS = ("smooth_color", "smooth_mask")


@dataclass(frozen=True, slots=True, eq=False)
class FoundFace:
    """A face of the frame, and what became of it."""

    face: Face
    motion: np.ndarray | None  # (2,) frame px from one frame to the next
    chosen: bool = True


def notes_on(request: MergeRequest, found: Sequence[FoundFace]) -> tuple[str, ...]:
    """What the user should know about rows that this frame could not follow."""
    params, notes = request.params, []
    for row, what in zip(STEADY_ROWS, ("colour", "mask"), strict=True):
        if getattr(params, row) and request.fits is None:
            notes.append(
                f"{row} needs a whole clip: this frame's own {what} is used; fit the clip (Fit "
                "Steady) and name that file, or render with `facegraft merge --params`"
            )
    chosen = [f for f in found if f.chosen]
    if params.motion_blur and chosen and all(f.motion is None for f in chosen):
        notes.append(
            "motion_blur needs to know how the face moves: give faces that are followed over the "
            "clip (tracks, or a faceset)"
        )
    return tuple(notes)
