"""What a frame may bring along to its merge, beside image, faces, model and params.

`merge_frame` computes by itself whatever is not given here, but for what it cannot know from one
frame (motion, steady colour, steady mask) and what somebody else owns (networks, the host's matte).
Nothing of it is changed by a merge.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

import numpy as np

from facegraft.errors import ParameterError
from facegraft.inference import Prediction, SwapModel
from facegraft.merge.params import MergeParams

if TYPE_CHECKING:
    from facegraft.enhance import Enhancer
    from facegraft.merge.color.maps import ColorMap
    from facegraft.segment import Segmenter

T = TypeVar("T")


class Keeper(Protocol):
    """Keeps results of a merge's stages, so that a changed control computes no more than it must.

    `keep(key, compute)` gives what `compute()` gave for an equal key before. A key holds all that
    the result depends on but for the pixels of frame and matte: a keeper serves one picture.
    """

    def __call__(self, key: Hashable, compute: Callable[[], T]) -> T: ...


@dataclass(frozen=True, slots=True, eq=False)
class FaceExtras:
    """What belongs to one face of the frame.

    model, params: instead of those of the frame; None for the frame's.
    prediction:  what `predict_faces` gave for this face, to save the network's time.
    motion:      (2,) float, how far the face moves from one frame to the next, in frame px; what
                 `motion_blur` blurs along. None: it does not move.
    color_map:   what fits the face's colour, averaged over neighbouring frames (`smooth_color`),
                 instead of the one that this frame alone would give. See `fit_faces`.
    mask:        (MASK_SIZE, MASK_SIZE) float32 0..1, the mask before its edges are made, averaged
                 over neighbouring frames (`smooth_mask`), instead of this frame's own.
    given:       names color_map and mask, so that a keeper finds what was made with them; None:
                 what is made of them is not kept.
    """

    model: SwapModel | None = None
    params: MergeParams | None = None
    prediction: Prediction | None = None
    motion: np.ndarray | None = None
    color_map: "ColorMap | None" = None
    mask: np.ndarray | None = None
    given: Hashable = None


NO_FACE_EXTRAS = FaceExtras()


@dataclass(frozen=True, slots=True, eq=False)
class FrameExtras:
    """What belongs to the whole frame.

    faces:      one FaceExtras per face, in the order of the faces; empty where none has any.
    segmenter:  the XSeg model; the xseg masks and all_product need it.
    enhancer:   the super resolution model; super_resolution needs it.
    host_matte: (H, W) float32 0..1, of the frame's size; mask mode host needs it.
    seed:       of the grain; the frame's index, so that a frame always gets the same grain and
                two frames never do.
    occlusion:  also give what the segmenter sees of each face, as MergedFace.visible.
    keep:       where stages are remembered; None for nowhere.
    """

    faces: Sequence[FaceExtras] = ()
    segmenter: "Segmenter | None" = None
    enhancer: "Enhancer | None" = None
    host_matte: np.ndarray | None = None
    seed: int = 0
    occlusion: bool = False
    keep: Keeper | None = None

    def of_faces(self, count: int) -> Sequence[FaceExtras]:
        """`count` FaceExtras. Raises: ParameterError where another number is given."""
        if not self.faces:
            return (NO_FACE_EXTRAS,) * count
        if len(self.faces) != count:
            raise ParameterError(
                f"extras are given for {len(self.faces)} faces, the frame has {count}; give one "
                "for each face, in the same order"
            )
        return self.faces


NO_EXTRAS = FrameExtras()
