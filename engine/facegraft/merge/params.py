"""MergeParams: every control of the merge, once. Command line and hosts are made from this table.

Standard library only: hosts import it into their own Python. Rows are append-only, since hosts
address keyframes by position; sizes are in permille of the face square's side, so that a value
looks the same at every model resolution and render scale (on a 256 px model one permille is about
one DeepFaceLab pixel).
"""

from dataclasses import dataclass
from enum import StrEnum

from facegraft.controls import control

_SQUARE = "permille of the face square"


class MergeMode(StrEnum):
    ORIGINAL = "original"
    OVERLAY = "overlay"
    HIST_MATCH = "hist_match"
    SEAMLESS = "seamless"
    SEAMLESS_HIST_MATCH = "seamless_hist_match"
    RAW_RGB = "raw_rgb"
    RAW_PREDICT = "raw_predict"


class MaskMode(StrEnum):
    FULL = "full"
    HULL = "hull"
    LEARNED_PRD = "learned_prd"
    LEARNED_DST = "learned_dst"
    LEARNED_PRODUCT = "learned_product"
    LEARNED_SUM = "learned_sum"
    XSEG_PRD = "xseg_prd"
    XSEG_DST = "xseg_dst"
    XSEG_PRODUCT = "xseg_product"
    ALL_PRODUCT = "all_product"
    HOST = "host"


class ColorTransfer(StrEnum):
    NONE = "none"
    RCT = "rct"
    LCT = "lct"
    MKL = "mkl"
    MKL_M = "mkl_m"
    IDT = "idt"
    IDT_M = "idt_m"
    SOT_M = "sot_m"
    MIX_M = "mix_m"


class Sharpen(StrEnum):
    NONE = "none"
    BOX = "box"
    GAUSSIAN = "gaussian"


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
        "keeps its gradients and takes the frame's light, and can match histograms after; raw rgb "
        "pastes the whole square, raw predict gives the network's picture alone; original leaves "
        "the frame and gives only the matte",
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
        help="Lower values hold back highlights in the two hist match modes; 255 matches all",
        hard=(0, 255),
        group="Merge",
    )
    face_scale: float = control(
        0.0,
        label="Face scale",
        help="Size of the pasted face; positive enlarges it",
        hard=(-50.0, 50.0),
        unit="percent",
        group="Placement",
    )
    face_offset_x: float = control(
        0.0,
        label="Face offset X",
        help="Move the pasted face along its own width; positive to the picture's right of an "
        "upright face",
        hard=(-500.0, 500.0),
        soft=(-100.0, 100.0),
        unit=_SQUARE,
        group="Placement",
    )
    face_offset_y: float = control(
        0.0,
        label="Face offset Y",
        help="Move the pasted face along its own height; positive towards the chin",
        hard=(-500.0, 500.0),
        soft=(-100.0, 100.0),
        unit=_SQUARE,
        group="Placement",
    )
    face_rotation: float = control(
        0.0,
        label="Face rotation",
        help="Turn the pasted face about its square's centre; positive is clockwise",
        hard=(-180.0, 180.0),
        soft=(-15.0, 15.0),
        unit="degrees",
        group="Placement",
    )
    color_transfer: ColorTransfer = control(
        ColorTransfer.RCT,
        label="Transfer mode",
        help="Fit the face's colour to the frame: rct matches mean and spread in Lab, lct and mkl "
        "a linear map in RGB, idt, sot and mix whole distributions; -m counts the mask only",
        group="Color",
    )
    color_transfer_amount: float = control(
        1.0,
        label="Transfer amount",
        help="How far the colour transfer goes; 0 keeps the network's colours",
        hard=(0.0, 1.0),
        group="Color",
    )
    light_match: float = control(
        0.0,
        label="Light match",
        help="Take the frame's light, all that is softer than the light size, and keep the face's "
        "own detail",
        hard=(0.0, 1.0),
        group="Color",
    )
    light_size: float = control(
        80.0,
        label="Light size",
        help="Detail smaller than this is the face's own, shading larger than this the frame's",
        hard=(5.0, 500.0),
        soft=(20.0, 200.0),
        unit=_SQUARE,
        group="Color",
    )
    smooth_color: float = control(
        0.0,
        label="Steady color",
        help="Average the colour fit over this time to either side, against something that passes "
        "before the face; leave it at 0 where the clip's exposure flickers. A node needs the clip "
        "fitted first",
        hard=(0.0, 100.0),
        soft=(0.0, 25.0),
        unit="frames",
        group="Color",
        animatable=False,
    )
    mask_mode: MaskMode = control(
        MaskMode.LEARNED_PRODUCT,
        label="Mask mode",
        help="Full square, hull of the landmarks, the mask predicted with the face (prd), the one "
        "predicted for the footage (dst), their product or sum; xseg masks need an XSeg model; all "
        "product is learned times xseg; host takes the matte given beside the clip",
        group="Mask",
    )
    erode: float = control(
        0.0,
        label="Erode",
        help="Shrink the mask; negative grows it",
        hard=(-400.0, 400.0),
        soft=(-100.0, 100.0),
        unit=_SQUARE,
        group="Mask",
    )
    blur: float = control(
        0.0,
        label="Blur",
        help="Soften the mask's edge, fading out inside the square",
        hard=(0.0, 400.0),
        soft=(0.0, 200.0),
        unit=_SQUARE,
        group="Mask",
    )
    feather_top: float = control(
        0.0,
        label="Feather top",
        help="Fade the mask in from its upper edge, over the forehead",
        hard=(0.0, 500.0),
        soft=(0.0, 200.0),
        unit=_SQUARE,
        group="Mask",
    )
    feather_bottom: float = control(
        0.0,
        label="Feather bottom",
        help="Fade the mask in from its lower edge, under the chin",
        hard=(0.0, 500.0),
        soft=(0.0, 200.0),
        unit=_SQUARE,
        group="Mask",
    )
    feather_left: float = control(
        0.0,
        label="Feather left",
        help="Fade the mask in from its left edge in the picture of an upright face",
        hard=(0.0, 500.0),
        soft=(0.0, 200.0),
        unit=_SQUARE,
        group="Mask",
    )
    feather_right: float = control(
        0.0,
        label="Feather right",
        help="Fade the mask in from its right edge in the picture of an upright face",
        hard=(0.0, 500.0),
        soft=(0.0, 200.0),
        unit=_SQUARE,
        group="Mask",
    )
    smooth_mask: float = control(
        0.0,
        label="Steady mask",
        help="Average the mask over this time to either side, following the face; a node needs the "
        "clip fitted first",
        hard=(0.0, 100.0),
        soft=(0.0, 10.0),
        unit="frames",
        group="Mask",
        animatable=False,
    )
    super_resolution: float = control(
        0.0,
        label="Super resolution",
        help="How much of an enhancer's picture shows in the face; needs an enhancer model",
        hard=(0.0, 100.0),
        unit="percent",
        group="Detail",
    )
    sharpen_mode: Sharpen = control(
        Sharpen.NONE,
        label="Sharpen mode",
        help="Box or gaussian; a negative amount softens with a median instead",
        group="Detail",
    )
    sharpen_amount: float = control(
        0.0,
        label="Sharpen amount",
        help="Strength of sharpening; negative softens",
        hard=(-100.0, 100.0),
        soft=(-50.0, 20.0),
        group="Detail",
    )
    denoise: float = control(
        0.0,
        label="Denoise",
        help="Median over the face, repeatedly, as many rounds as its hundreds",
        hard=(0.0, 500.0),
        group="Detail",
    )
    bicubic_degrade: float = control(
        0.0,
        label="Bicubic degrade",
        help="Shrink the face and enlarge it again, to the softness of poor footage",
        hard=(0.0, 100.0),
        unit="percent",
        group="Detail",
    )
    color_degrade: float = control(
        0.0,
        label="Color degrade",
        help="Reduce the face to a palette of 256 colours, to the banding of poor footage",
        hard=(0.0, 100.0),
        unit="percent",
        group="Detail",
    )
    motion_blur: float = control(
        0.0,
        label="Motion blur",
        help="Blur the face along its own motion; 100 is an exposure as long as the frame",
        hard=(0.0, 100.0),
        unit="percent",
        group="Detail",
    )
    grain: float = control(
        0.0,
        label="Grain match",
        help="Add the frame's own grain to the face, measured around it",
        hard=(0.0, 2.0),
        soft=(0.0, 1.0),
        group="Detail",
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
