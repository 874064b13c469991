"""The demo's contact sheet: who is put on, and for some frames source, face, matte and result.

    python sheet.py REQUEST.json

The request is the one of `scene.py`. Face and matte come from the node's own outputs.
"""

import json
import sys
from pathlib import Path

import cv2
import numpy as np

from facegraft.errors import FacegraftError
from facegraft.media.images import read_image_file, write_image
from facegraft.media.open import open_source

CELL = 224  # px, half the clip's side
LABEL = 96  # px, the column of names
CAPTION = 30  # px, the line of values above the pictures
PAPER, INK = 24, 225  # grey levels
GAP = 4  # px
_DISPLAY_GREY = 46  # behind the cut-out face


def main() -> int:
    request = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    try:
        write_image(Path(request["sheet"]), draw(request))
    except FacegraftError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def draw(request: dict) -> np.ndarray:
    """(H, W, 3) uint8 RGB."""
    stills = Path(request["stills_folder"])
    frames = request["stills"]["Matte"]  # counted from 1, as Blender does
    values = json.loads((stills / "values.json").read_text(encoding="utf-8"))
    with open_source(request["src"]) as src, open_source(request["clip"]) as clip:
        step = src.info.frame_count // len(frames)
        identity = [src[i * step + step // 2].image_u8 for i in range(len(frames))]
        source = [clip[frame - 1].image_u8 for frame in frames]
    with open_source(request["movie"]) as movie:
        result = [movie[frame - 1].image_u8 for frame in frames]
    mattes = [read_image_file(stills / f"Matte_{frame:04d}.png")[0] for frame in frames]
    layers = [read_image_file(stills / f"Face Layer_{frame:04d}.png")[0] for frame in frames]
    grey = np.float32(_DISPLAY_GREY)
    faces = [
        np.clip(layer + (1 - matte.astype(np.float32) / 255) * grey, 0, 255).astype(np.uint8)
        for layer, matte in zip(layers, mattes, strict=True)
    ]
    rows = [
        ("src", "this face", identity),
        ("source", "on this shot", source),
        ("face", "layer", faces),
        ("matte", "", mattes),
        ("result", "from Blender", result),
    ]
    height = CAPTION + len(rows) * (CELL + GAP)
    sheet = np.full((height, LABEL + len(frames) * (CELL + GAP), 3), PAPER, np.uint8)
    for column, frame in enumerate(frames):
        keyed = [f"{key} {value:.2f}" for key, value in values[str(frame)].items()]
        caption = f"{frame}: " + ", ".join(keyed)
        _write(sheet, caption, LABEL + column * (CELL + GAP) + 4, 20, 0.40)
    for row, (name, note, pictures) in enumerate(rows):
        top = CAPTION + row * (CELL + GAP)
        _write(sheet, name, 8, top + CELL // 2, 0.55)
        _write(sheet, note, 8, top + CELL // 2 + 18, 0.34)
        for column, picture in enumerate(pictures):
            left = LABEL + column * (CELL + GAP)
            cell = cv2.resize(picture, (CELL, CELL), interpolation=cv2.INTER_AREA)
            sheet[top : top + CELL, left : left + CELL] = cell
    return sheet


def _write(sheet: np.ndarray, text: str, x: int, y: int, size: float) -> None:
    font = cv2.FONT_HERSHEY_SIMPLEX
    cv2.putText(sheet, text, (x, y), font, size, (INK, INK, INK), 1, cv2.LINE_AA)


if __name__ == "__main__":
    sys.exit(main())
