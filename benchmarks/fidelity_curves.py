"""The scores of several `fidelity.py` runs in one picture: PSNR over minutes of training.

    python benchmarks/fidelity_curves.py curves.png "quick96 fp32=FOLDER" "quick96 bf16=FOLDER" ...

FOLDER is what `fidelity.py --work` was given. Doing nothing, the clip itself, is the grey line.
"""

import argparse
import json
from pathlib import Path

import cv2
import numpy as np

from facegraft.media.images import write_image

SCORES_NAME = "scores.json"
SIZE = (400, 680)  # of the picture, pixels
LEFT, RIGHT, TOP, BOTTOM = 60, 640, 60, 350  # of the curves in it
INK, GREY = (60, 60, 60), (150, 150, 150)
COLORS = ((31, 119, 180), (214, 39, 40), (44, 160, 44), (148, 103, 189), (255, 127, 14))


def main() -> None:
    parser = argparse.ArgumentParser(description="Scores of fidelity.py in one picture")
    parser.add_argument("picture", type=Path)
    parser.add_argument("runs", nargs="+", help="LABEL=FOLDER")
    args = parser.parse_args()
    runs = dict(run.rsplit("=", 1) for run in args.runs)
    write_image(args.picture, draw_curves({label: Path(at) for label, at in runs.items()}))
    print(args.picture)


def draw_curves(runs: dict[str, Path]) -> np.ndarray:
    """(H, W, 3) uint8 RGB of the scores in each folder."""
    scores = {label: json.loads((at / SCORES_NAME).read_text()) for label, at in runs.items()}
    idle = next(iter(scores.values()))[0]["idle_psnr"]
    values = [score["psnr"] for run in scores.values() for score in run] + [idle]
    low, high = min(values) - 0.3, max(values) + 0.3
    last = max(score["minutes"] for run in scores.values() for score in run)
    canvas = np.full((*SIZE, 3), 250, np.uint8)

    def at(minutes: float, psnr: float) -> tuple[int, int]:
        x = LEFT + minutes / last * (RIGHT - LEFT)
        return round(x), round(BOTTOM - (psnr - low) / (high - low) * (BOTTOM - TOP))

    write(canvas, "PSNR in the face region, dB, over minutes of training on two cores", (LEFT, 24))
    cv2.line(canvas, at(0, idle), at(last, idle), GREY, 1, cv2.LINE_AA)
    x, y = at(0, idle)
    write(canvas, f"doing nothing {idle:.2f}", (x, y - 6), GREY)
    for minutes in sorted({score["minutes"] for run in scores.values() for score in run}):
        write(canvas, f"{minutes:.0f}", (at(minutes, low)[0] - 8, BOTTOM + 28))
    for index, (label, run) in enumerate(scores.items()):
        color = COLORS[index % len(COLORS)]
        points = sorted((score["minutes"], score["psnr"]) for score in run)
        for before, after in zip(points, points[1:], strict=False):
            cv2.line(canvas, at(*before), at(*after), color, 2, cv2.LINE_AA)
        for minutes, psnr in points:
            x, y = at(minutes, psnr)
            cv2.circle(canvas, (x, y), 4, color, -1, cv2.LINE_AA)
            write(canvas, f"{psnr:.2f}", (x - 18, y - 10), color)
        write(canvas, label, (LEFT + 150 * index, 44), color)
    return canvas


def write(
    canvas: np.ndarray, text: str, at: tuple[int, int], color: tuple[int, int, int] = INK
) -> None:
    cv2.putText(canvas, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.45, color, 1, cv2.LINE_AA)


if __name__ == "__main__":
    main()
