"""How a training's preview changed: one face of each side at several iterations, as one picture.

    python install/demo/moments.py RUN OUTPUT.jpg ITERATION ...

RUN has trained with `--preview-history`; of the sheets that it kept, those nearest to the given
iterations are shown.
"""

import argparse
import sys
from pathlib import Path

import cv2
import numpy as np

from facegraft.errors import FacegraftError
from facegraft.media.images import read_image_file, write_image
from facegraft.training.preview import COLUMNS, ROWS
from facegraft.training.timelapse import list_history

LABEL = 100  # px, the column of iterations
TITLE = 26  # px, the sheets' own line of titles
FACE = 2  # which of a sheet's faces, counted from 0: nearly frontal
QUALITY = 85  # of a JPEG: about 100 kB for a page of the documentation
PAPER, INK = 24, (225, 225, 225)


def main() -> int:
    args = arguments()
    try:
        write_image(args.output, draw(args.run, args.iterations), quality=QUALITY)
    except FacegraftError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def draw(run: Path, iterations: list[int]) -> np.ndarray:
    """(H, W, 3) uint8 RGB."""
    files = {int(file.stem): file for file in list_history(run)}
    if not files:
        raise FacegraftError(f"{run} has kept no preview sheets; train it with --preview-history")
    strips = []
    for wanted in iterations:
        nearest = min(files, key=lambda have: abs(have - wanted))
        sheet = read_image_file(files[nearest])[0]
        cell = (sheet.shape[0] - TITLE) // ROWS
        block = sheet[:, : cell * len(COLUMNS)]
        top = TITLE + FACE * cell
        if not strips:
            strips.append(np.concatenate([_label("", TITLE), block[:TITLE]], axis=1))
        face = block[top : top + cell]
        strips.append(np.concatenate([_label(f"{nearest:,}", cell), face], axis=1))
    return np.concatenate(strips)


def _label(text: str, height: int) -> np.ndarray:
    paper = np.full((height, LABEL, 3), PAPER, np.uint8)
    at = (12, height // 2 + 6)
    cv2.putText(paper, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.6, INK, 1, cv2.LINE_AA)
    return paper


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="A run's preview at several iterations")
    parser.add_argument("run", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("iterations", type=int, nargs="+")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
