"""Every mode, mask, transfer and filter of the merge on one real frame, as one labelled picture.

    python benchmarks/modes_sheet.py --model M.dfm [--clip CLIP] [--frame 45] [--out sheet.png]
                                     [--segmenter X.onnx] [--enhancer E.onnx]

To be looked at: figures do not show a wrong mode. The face is found in the frame and its two
neighbours, which say how it moves. Settings that need a network which is not given are drawn as an
empty cell with the sentence that refuses them. The default clip is ben_dst.mp4 of the footage.
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from facegraft.controls import parse_values
from facegraft.enhance import Enhancer
from facegraft.errors import FacegraftError
from facegraft.faces.detect import FaceDetector
from facegraft.faces.face import Face
from facegraft.inference import SwapModel
from facegraft.media.open import open_source
from facegraft.merge.detail.motion import motions
from facegraft.merge.extras import FaceExtras, FrameExtras
from facegraft.merge.frame import merge_frame
from facegraft.merge.params import ColorTransfer, MaskMode, MergeMode, MergeParams
from facegraft.segment import Segmenter

FOOTAGE = Path(__file__).parent.parent.parent / "shared" / "footage"
CELL = 220  # px, side of a picture; a line of text stands above it
TEXT = 18
COLUMNS = 8
SOFT = {"erode": 20, "blur": 60}  # what a compositor begins with
SECTIONS: dict[str, dict[str, dict[str, Any]]] = {
    "modes": {mode.value: {"mode": mode} for mode in MergeMode},
    "masks (the matte itself)": {mask.value: {"mask_mode": mask} for mask in MaskMode},
    "edges (the matte itself)": {
        "erode 80": {"erode": 80},
        "erode -80": {"erode": -80},
        "blur 150": {"blur": 150},
        "feather top 150": {"feather_top": 150},
        "feather bottom 150": {"feather_bottom": 150},
        "feather left 150": {"feather_left": 150},
        "feather right 150": {"feather_right": 150},
    },
    "transfers": {kind.value: {"color_transfer": kind} for kind in ColorTransfer},
    "transfers, seamless": {
        f"{kind.value}": {"color_transfer": kind, "mode": "seamless"}
        for kind in (ColorTransfer.NONE, ColorTransfer.RCT, ColorTransfer.SOT_M)
    },
    "light and placement": {
        "light match 1": {"light_match": 1},
        "light match 1, 30": {"light_match": 1, "light_size": 30},
        "scale 25": {"face_scale": 25},
        "offset x 100": {"face_offset_x": 100},
        "offset y 100": {"face_offset_y": 100},
        "rotation 20": {"face_rotation": 20},
        "hist threshold 180": {"mode": "hist_match", "hist_match_threshold": 180},
        "hist unmasked": {"mode": "hist_match", "hist_match_masked": False},
    },
    "detail": {
        "none": {},
        "super resolution 100": {"super_resolution": 100},
        "box 3": {"sharpen_mode": "box", "sharpen_amount": 3},
        "gaussian 3": {"sharpen_mode": "gaussian", "sharpen_amount": 3},
        "soften -30": {"sharpen_mode": "box", "sharpen_amount": -30},
        "denoise 300": {"denoise": 300},
        "bicubic degrade 80": {"bicubic_degrade": 80},
        "color degrade 100": {"color_degrade": 100},
        "motion blur 100": {"motion_blur": 100},
        "grain 1": {"grain": 1},
        "grain 2": {"grain": 2},
        "mix 0.5": {"mix": 0.5},
    },
}


def main() -> None:
    args = arguments()
    if not args.clip.exists():
        print(f"skipped: no {args.clip}; name a clip with one face")
        return
    image, face, way = look_at(args.clip, args.frame)
    height, width = image.shape[:2]
    yy, xx = np.mgrid[:height, :width].astype(np.float32)
    x0, y0, x1, y1 = face.box
    distance = np.hypot(xx - (x0 + x1) / 2, yy - (y0 + y1) / 2)
    matte = np.clip((0.5 * face.size_px - distance) / 8 + 0.5, 0, 1)  # a disc, for mask mode host
    extras = FrameExtras(
        [FaceExtras(motion=way)],
        segmenter=args.segmenter and Segmenter.open(args.segmenter),
        enhancer=args.enhancer and Enhancer.open(args.enhancer),
        host_matte=matte,
        seed=args.frame,
    )
    model = SwapModel.open(args.model)
    shown = (x0 + x1) / 2, (y0 + y1) / 2, 1.7 * face.size_px
    rows = [banner(f"{args.clip.name} frame {args.frame}, {args.model.name}, motion {way}")]
    for title, settings in SECTIONS.items():
        rows.append(banner(title))
        whole = [cell("the frame", cut(image, *shown))]
        for name, values in settings.items():
            params = replace(parse_values(MergeParams, SOFT), **typed(values))
            try:
                merged = merge_frame(image, [face], model, params, extras)
            except FacegraftError as error:
                whole.append(cell(f"{name}: {error}", np.zeros((CELL, CELL, 3), np.float32)))
                continue
            is_matte = "matte" in title
            picture = np.dstack([merged.matte] * 3) if is_matte else merged.result
            whole_frame = params.mode is MergeMode.RAW_PREDICT
            view = (width / 2, height / 2, float(max(height, width))) if whole_frame else shown
            whole.append(cell(name, cut(picture, *view)))
        rows += [row(whole[i : i + COLUMNS]) for i in range(0, len(whole), COLUMNS)]
    sheet = np.concatenate(rows)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(args.out), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR)):
        raise SystemExit(f"cannot write {args.out}")
    print(f"{args.out}: {sheet.shape[1]}x{sheet.shape[0]}")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--clip", type=Path, default=FOOTAGE / "ben_dst.mp4")
    parser.add_argument("--frame", type=int, default=45)
    parser.add_argument("--out", type=Path, default=Path("build/look/modes.png"))
    parser.add_argument("--segmenter", type=Path)
    parser.add_argument("--enhancer", type=Path)
    return parser.parse_args()


def look_at(path: Path, index: int) -> tuple[np.ndarray, Face, np.ndarray | None]:
    """Frame, its largest face, and how that moves."""
    detector = FaceDetector()
    with open_source(path) as source:
        found = [
            [replace(f, track=0) for f in detector.detect(source[i].image_u8, 1)]
            for i in (index - 1, index, index + 1)
        ]
        if not found[1]:
            raise SystemExit(f"{path} frame {index} shows no face")
        return source[index].display(), found[1][0], motions(*found)[0]


def typed(values: dict[str, Any]) -> dict[str, Any]:
    parsed = parse_values(MergeParams, values)
    return {name: getattr(parsed, name) for name in values}


def cut(picture: np.ndarray, x: float, y: float, side: float) -> np.ndarray:
    """(CELL, CELL, 3): a square of the picture; what lies outside it is black."""
    scale = CELL / side
    matrix = np.array([[scale, 0, CELL / 2 - x * scale], [0, scale, CELL / 2 - y * scale]])
    return cv2.warpAffine(picture, matrix, (CELL, CELL), flags=cv2.INTER_AREA)


def cell(name: str, picture: np.ndarray) -> np.ndarray:
    drawn = np.full((CELL + TEXT, CELL + 4, 3), 32, np.uint8)
    drawn[TEXT:, 2:-2] = np.rint(np.clip(picture, 0, 1) * 255)
    return labelled(drawn, name[:44], 0.36)


def row(cells: Sequence[np.ndarray]) -> np.ndarray:
    empty = np.full_like(cells[0], 32)
    return np.concatenate([*cells, *[empty] * (COLUMNS - len(cells))], axis=1)


def banner(text: str) -> np.ndarray:
    return labelled(np.full((TEXT + 6, COLUMNS * (CELL + 4), 3), 64, np.uint8), text, 0.5)


def labelled(drawn: np.ndarray, text: str, size: float) -> np.ndarray:
    cv2.putText(
        drawn, text, (4, 13), cv2.FONT_HERSHEY_SIMPLEX, size, (255, 255, 255), 1, cv2.LINE_AA
    )
    return drawn


if __name__ == "__main__":
    main()
