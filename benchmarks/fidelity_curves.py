"""The scores of several `fidelity.py` runs over minutes of training, in one picture.

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
SIZE = (280, 680)  # of a panel, pixels
LEFT, RIGHT, TOP, BOTTOM = 60, 640, 60, 240  # of the curves in it
PANELS = (  # the score, what doing nothing gives, the title
    ("psnr", "idle_psnr", "PSNR in the face region, dB, over minutes of training on two cores"),
    ("sharpness", "", "Sharpness by the truth's"),
)
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
    """(H, W, 3) uint8 RGB of the scores in each folder: PSNR above, sharpness below."""
    scores = {label: json.loads((at / SCORES_NAME).read_text()) for label, at in runs.items()}
    return np.concatenate([panel(scores, *row) for row in PANELS])


def panel(scores: dict[str, list[dict[str, float]]], key: str, idle: str, title: str) -> np.ndarray:
    """One measure over minutes; `idle` names doing nothing's, or is empty."""
    every = [score for run in scores.values() for score in run]
    values = [score[key] for score in every] + [score[idle] for score in every[:1] if idle]
    margin = 0.1 * (max(values) - min(values)) + 1e-3
    low, high = min(values) - margin, max(values) + margin
    last = max(score["minutes"] for score in every)
    canvas = np.full((*SIZE, 3), 250, np.uint8)

    def at(minutes: float, value: float) -> tuple[int, int]:
        x = LEFT + minutes / last * (RIGHT - LEFT)
        return round(x), round(BOTTOM - (value - low) / (high - low) * (BOTTOM - TOP))

    write(canvas, title, (LEFT, 24))
    for value in (min(values), max(values)):
        write(canvas, f"{value:.2f}", (8, at(0, value)[1] + 5))
    if idle:
        level = every[0][idle]
        cv2.line(canvas, at(0, level), at(last, level), GREY, 1, cv2.LINE_AA)
        x, y = at(0, level)
        write(canvas, f"doing nothing {level:.2f}", (x, y - 6), GREY)
    for minutes in sorted({score["minutes"] for score in every}):
        write(canvas, f"{minutes:.0f}", (at(minutes, low)[0] - 8, BOTTOM + 24))
    for index, (label, run) in enumerate(scores.items()):
        color = COLORS[index % len(COLORS)]
        points = sorted((score["minutes"], score[key]) for score in run)
        for before, after in zip(points, points[1:], strict=False):
            cv2.line(canvas, at(*before), at(*after), color, 2, cv2.LINE_AA)
        for minutes, value in points:
            cv2.circle(canvas, at(minutes, value), 4, color, -1, cv2.LINE_AA)
        write(canvas, label, (LEFT + 150 * index, 44), color)
    return canvas


def write(
    canvas: np.ndarray, text: str, at: tuple[int, int], color: tuple[int, int, int] = INK
) -> None:
    cv2.putText(canvas, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.45, color, 1, cv2.LINE_AA)


if __name__ == "__main__":
    main()
