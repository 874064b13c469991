"""Text and charts on a page, (H, W, 3) uint8 RGB, drawn in place with OpenCV's own font."""

from collections.abc import Sequence

import cv2
import numpy as np

PAPER, INK, PALE, LINE = (250, 250, 248), (38, 40, 46), (120, 124, 132), (214, 216, 220)
SRC, DST, LACK = (38, 110, 190), (214, 130, 30), (200, 44, 50)  # blue, orange, red
_BOLD, _PLAIN = 700, 400


def text_width(text: str, size: int, bold: bool = False) -> int:
    """px."""
    rect = cv2.getTextSize((0, 0), text, (0, 0), _font(), size, _BOLD if bold else _PLAIN)
    return int(rect[0] + rect[2])


def put_text(
    page: np.ndarray,
    text: str,
    at: tuple[int, int],
    size: int = 15,
    color: tuple[int, int, int] = INK,
    bold: bool = False,
    align: str = "left",
) -> None:
    """One line; `at` is the left end, the middle or the right end of its baseline."""
    x, y = at
    if align != "left":
        width = text_width(text, size, bold)
        x -= width if align == "right" else width // 2
    cv2.putText(page, text, (x, y), color, _font(), size, _BOLD if bold else _PLAIN)


def wrapped(text: str, width: int, size: int) -> list[str]:
    """The text in lines of at most `width` px; a longer word has its own line."""
    lines, line = [], ""
    for word in text.split():
        longer = f"{line} {word}".strip()
        if line and text_width(longer, size) > width:
            lines.append(line)
            longer = word
        line = longer
    return [*lines, line] if line else lines


def fitted(text: str, width: int, size: int) -> str:
    """The text, its middle left out where it is wider than `width` px."""
    if text_width(text, size) <= width:
        return text
    keep = len(text)
    while keep > 2:
        keep -= 1
        shorter = text[: keep - keep // 2] + "…" + text[len(text) - keep // 2 :]
        if text_width(shorter, size) <= width:
            return shorter
    return text[:1]


def draw_map(
    page: np.ndarray,
    at: tuple[int, int],
    cell: int,
    counts: np.ndarray,
    color: tuple[int, int, int],
    lacking: np.ndarray | None = None,
) -> None:
    """Cells (rows, columns) shaded by their counts, on a scale of logarithms so that single faces
    are seen; cells where `lacking` is True in red.
    """
    x, y = at
    rows, columns = counts.shape
    most = max(int(counts.max()), 1)
    cv2.rectangle(page, (x, y), (x + columns * cell, y + rows * cell), (255, 255, 255), -1)
    for row, column in np.argwhere(counts > 0).tolist():
        shade = 0.25 + 0.75 * np.log1p(counts[row, column]) / np.log1p(most)
        hue = LACK if lacking is not None and lacking[row, column] else color
        fill = tuple(int(255 - (255 - c) * shade) for c in hue)
        left, top = x + column * cell, y + row * cell
        cv2.rectangle(page, (left, top), (left + cell - 1, top + cell - 1), fill, -1)
    cv2.rectangle(page, (x, y), (x + columns * cell, y + rows * cell), LINE, 1)


def draw_bars(
    page: np.ndarray,
    at: tuple[int, int],
    size: tuple[int, int],
    shares: Sequence[tuple[np.ndarray, tuple[int, int, int]]],
    labels: Sequence[tuple[float, str]],
) -> None:
    """Histograms over each other: the first filled, further ones as outlines.

    labels: (place along the axis in bars, text).
    """
    x, y = at
    width, height = size
    most = max(max(float(values.max()) for values, _ in shares), 1e-9)
    base = y + height
    for n, (values, color) in enumerate(shares):
        step = width / len(values)
        tops = (base - values / most * (height - 6)).round().astype(int)
        lefts = (x + np.arange(len(values) + 1) * step).round().astype(int)
        if n == 0:
            for k, top in enumerate(tops.tolist()):
                if top < base:
                    corner = (int(lefts[k + 1]) - 2, base)
                    cv2.rectangle(page, (int(lefts[k]) + 1, top), corner, color, -1)
            continue
        before = base
        for k, top in enumerate([*tops.tolist(), base]):
            left = int(lefts[k])
            if top != before:
                cv2.line(page, (left, before), (left, top), color, 2)
            if top < base:
                cv2.line(page, (left, top), (int(lefts[k + 1]), top), color, 2)
            before = top
    cv2.line(page, (x, base), (x + width, base), PALE, 1)
    bars = len(shares[0][0])
    for place, label in labels:
        left = x + round(place * width / bars)
        cv2.line(page, (left, base), (left, base + 5), PALE, 1)
        put_text(page, label, (left, base + 21), 13, PALE, align="middle")


def _font() -> cv2.FontFace:
    return cv2.FontFace("sans")  # OpenCV's built-in one
