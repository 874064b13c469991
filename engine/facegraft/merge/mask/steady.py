"""A face's mask averaged over neighbouring frames, so that its edge does not flicker.

Masks are averaged in the face's own square, where the face stands still while it moves through the
frame; so the average follows the face, and a moving head smears nothing. What is averaged is the
mask before its edges are made (`face_mask.base_mask`). Which frames count how much is the caller's:
`clip/steady.py` gives Gaussian weights along one track, and tracks end at cuts.
"""

from collections.abc import Iterable

import numpy as np

_STEPS = 65535  # masks wait as 16-bit numbers: half a float's room, 1/257 of an 8-bit step


class MaskWindow:
    """Masks of the frames around the one that is rendered.

    One mask of 512 x 512 takes half a MiB. With a radius of r frames and k faces, a run that
    forgets what it has passed holds at most (2 r + 1) k of them: 10 MiB for a face and 10 frames,
    100 MiB for the largest radius of 100.
    """

    def __init__(self) -> None:
        self._masks: dict[tuple[int, int], np.ndarray] = {}

    def __len__(self) -> int:
        return len(self._masks)

    def __contains__(self, place: tuple[int, int]) -> bool:
        """Whether the mask of (frame, track) is here."""
        return place in self._masks

    def put(self, frame: int, track: int, mask: np.ndarray) -> None:
        """Remember a (S, S) float32 0..1 mask."""
        scaled = np.clip(mask, 0, 1) * np.float32(_STEPS) + np.float32(0.5)
        self._masks[frame, track] = scaled.astype(np.uint16)

    def average(self, track: int, weights: Iterable[tuple[int, float]]) -> np.ndarray | None:
        """The weighted mean of the track's masks, (S, S) float32 0..1; `weights` are pairs of frame
        and weight. Frames whose mask is not here are left out and the others count for more; None
        where none is here.
        """
        total: np.ndarray | None = None
        weight_sum = 0.0
        for frame, weight in weights:
            mask = self._masks.get((frame, track))
            if mask is None or weight <= 0:
                continue
            part = mask * np.float32(weight)
            total = part if total is None else np.add(total, part, out=total)
            weight_sum += weight
        return None if total is None else total * np.float32(1 / (weight_sum * _STEPS))

    def forget(self, before: int) -> None:
        """Drop the masks of frames before this one."""
        for place in [place for place in self._masks if place[0] < before]:
            del self._masks[place]

    def __repr__(self) -> str:
        size = sum(mask.nbytes for mask in self._masks.values()) / 2**20
        return f"MaskWindow({len(self)} masks, {size:.1f} MiB)"
