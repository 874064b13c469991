"""MergeParams: every control of the merge, once. Command line and hosts are made from this table.

Standard library only: hosts import it into their own Python. Rows are append-only, since hosts
address keyframes by position; sizes are in permille of the face square's side, so that a value
looks the same at every model resolution and render scale (on a 256 px model one permille is about
one DeepFaceLab pixel).
"""

from dataclasses import dataclass
from enum import StrEnum

from facegraft.controls import control


class MergeMode(StrEnum):
    ORIGINAL = "original"
    OVERLAY = "overlay"
    HIST_MATCH = "hist_match"
    SEAMLESS = "seamless"


class MaskMode(StrEnum):
    FULL = "full"
    HULL = "hull"
    LEARNED_PRD = "learned_prd"
    LEARNED_DST = "learned_dst"
    LEARNED_PRODUCT = "learned_product"


class ColorTransfer(StrEnum):
    NONE = "none"
    RCT = "rct"


class FaceFraming(StrEnum):
    """How the model frames a face; `auto` reads the model's own record."""

    AUTO = "auto"
    HALF = "half"
    MID_FULL = "mid_full"
    FULL = "full"
    WHOLE_FACE = "whole_face"
    HEAD = "head"


@dataclass(frozen=True, slots=True)
class MergeParams:
    """Values of every merge control for one frame. Steps and formulas: `merge/frame.py`."""

    mix: float = control(
        1.0,
        label="Mix",
        help="How much of the swap shows; 0 gives the source back exactly",
        hard=(0.0, 1.0),
        group="Output",
    )
    mode: MergeMode = control(
        MergeMode.OVERLAY,
        label="Mode",
        help="Overlay lays the face on; hist match fits its histogram to the frame first; seamless "
        "keeps its gradients and takes the frame's light; original leaves the frame and gives "
        "only the matte",
        group="Merge",
    )
    color_transfer: ColorTransfer = control(
        ColorTransfer.RCT,
        label="Color transfer",
        help="Fit the face's colour to the frame: rct matches mean and spread in Lab (Reinhard)",
        group="Merge",
    )
    face_scale: float = control(
        0.0,
        label="Face scale",
        help="Size of the pasted face; positive enlarges it",
        hard=(-50.0, 50.0),
        unit="percent",
        group="Merge",
    )
    hist_match_masked: bool = control(
        True,
        label="Masked hist match",
        help="Match histograms inside the mask only, in mode hist match",
        group="Merge",
    )
    hist_match_threshold: int = control(
        255,
        label="Hist match threshold",
        help="Lower values hold back highlights in mode hist match; 255 matches all",
        hard=(0, 255),
        group="Merge",
    )
    mask_mode: MaskMode = control(
        MaskMode.LEARNED_PRODUCT,
        label="Mask",
        help="Full square, hull of the landmarks, the mask predicted with the face (prd), the one "
        "predicted for the footage (dst), or the product of both",
        group="Mask",
    )
    erode: float = control(
        0.0,
        label="Erode",
        help="Shrink the mask; negative grows it",
        hard=(-400.0, 400.0),
        soft=(-100.0, 100.0),
        unit="permille of the face square",
        group="Mask",
    )
    blur: float = control(
        0.0,
        label="Blur",
        help="Soften the mask's edge, fading out inside the square",
        hard=(0.0, 400.0),
        soft=(0.0, 200.0),
        unit="permille of the face square",
        group="Mask",
    )
    face_type: FaceFraming = control(
        FaceFraming.AUTO,
        label="Face type",
        help="Framing the model was trained with; auto reads it from the model, and takes whole "
        "face where the model does not say",
        group="Model",
        animatable=False,
    )
    morph_value: float = control(
        0.75,
        label="Morph",
        help="Identity between dst (0) and src (1), for models with a morph input",
        hard=(0.0, 1.0),
        group="Model",
    )
