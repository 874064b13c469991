"""The losses of a run: `loss.csv`, one line per iteration, and the curve drawn from it.

The file is only ever appended to, so a crash costs at most its last lines; on resuming, lines after
the save that training goes on from are cut off.
"""

import math
from pathlib import Path

import cv2
import numpy as np

from facegraft.errors import WriteError
from facegraft.files import write_atomic

HISTORY_NAME = "loss.csv"
NAMES = ("src", "dst")  # of the losses of a swap model

WIDTH, HEIGHT = 960, 420  # px
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 20, 40, 50  # px of margin for labels
_PAPER, _GRID, _INK = (250, 250, 248), (222, 222, 218), (60, 60, 60)  # RGB
_COLORS = ((31, 119, 180), (214, 98, 20))  # blue and orange: kept apart by all eyes
_SMOOTH = 0.03  # share of the curve over which the line is averaged
_FONT = cv2.FONT_HERSHEY_SIMPLEX


class History:
    """Losses by iteration, in memory and on disk."""

    def __init__(self, run_folder: Path, iteration: int, names: tuple[str, str] = NAMES) -> None:
        """Take over what `run_folder` has up to `iteration`, the one that training goes on from."""
        self.path = run_folder / HISTORY_NAME
        kept = read_history(run_folder, iteration)
        self._chunks = [kept]
        self._unwritten: list[tuple[int, float, float]] = []
        header = f"iteration,{','.join(names)}\n"
        write_atomic(self.path, (header + "".join(map(_line, kept.tolist()))).encode())

    def add(self, iteration: int, src_loss: float, dst_loss: float) -> None:
        self._unwritten.append((iteration, src_loss, dst_loss))

    def flush(self) -> None:
        """Append what is new to the file. Raises: WriteError."""
        if not self._unwritten:
            return
        try:
            with open(self.path, "a", encoding="ascii") as file:
                file.writelines(map(_line, self._unwritten))
        except OSError as error:
            raise WriteError(f"cannot write {self.path}: {error.strerror}") from error
        self._chunks.append(np.array(self._unwritten, np.float64))
        self._unwritten.clear()

    @property
    def rows(self) -> np.ndarray:
        """(N, 3) float64: iteration, src loss, dst loss, of everything flushed."""
        self._chunks = [np.concatenate(self._chunks)]
        return self._chunks[0]


def _line(row: tuple[float, float, float] | list[float]) -> str:
    return f"{row[0]:.0f},{row[1]:.5g},{row[2]:.5g}\n"


def read_history(run_folder: Path, iteration: int) -> np.ndarray:
    """(N, 3) float64: iteration, src loss, dst loss up to `iteration`, without a torn last line or
    lines that are not ours.
    """
    path = run_folder / HISTORY_NAME
    if not path.exists():
        return np.empty((0, 3))
    rows = []
    for line in path.read_text(encoding="ascii", errors="replace").splitlines(keepends=True)[1:]:
        cells = line.split(",")
        try:
            row = (float(cells[0]), float(cells[1]), float(cells[2]))
        except (ValueError, IndexError):
            continue
        if line.endswith("\n"):
            rows.append(row)
    found = np.array(rows).reshape(-1, 3)
    return found[found[:, 0] <= iteration]


def draw_curve(rows: np.ndarray, names: tuple[str, str] = NAMES) -> np.ndarray:
    """(420, 960, 3) uint8 RGB of `rows` (N, 3): both losses over the iteration, logarithmic.

    The line is a running mean, the pale band behind it spans the smallest to the largest loss.
    """
    canvas = np.full((HEIGHT, WIDTH, 3), _PAPER, np.uint8)
    rows = rows[np.isfinite(rows).all(axis=1) & (rows[:, 1:] > 0).all(axis=1)]
    if len(rows) < 2:
        _text(canvas, "no losses yet", (_LEFT, HEIGHT // 2))
        return canvas
    first, last = rows[0, 0], rows[-1, 0]
    low, high = np.log10(rows[:, 1:].min()), np.log10(rows[:, 1:].max())
    low, high = low - 0.05, max(high + 0.05, low + 0.3)  # at least a factor of two in height

    def x_of(iteration: float) -> float:
        return _LEFT + (iteration - first) / (last - first) * (WIDTH - _LEFT - _RIGHT)

    def y_of(log_loss: np.ndarray | float) -> np.ndarray:
        share = (np.asarray(log_loss) - low) / (high - low)
        return HEIGHT - _BOTTOM - share * (HEIGHT - _TOP - _BOTTOM)

    for loss in _loss_ticks(low, high):
        y = int(y_of(math.log10(loss)))
        cv2.line(canvas, (_LEFT, y), (WIDTH - _RIGHT, y), _GRID, 1)
        _text(canvas, f"{loss:g}", (_LEFT - 8, y + 4), align="right")
    for iteration in _iteration_ticks(first, last):
        x = int(x_of(iteration))
        cv2.line(canvas, (x, _TOP), (x, HEIGHT - _BOTTOM), _GRID, 1)
        _text(canvas, f"{iteration:,}", (x, HEIGHT - _BOTTOM + 18), align="center")

    for column, (name, color) in enumerate(zip(names, _COLORS, strict=True), start=1):
        mean, smallest, largest, at = _columns(rows[:, 0], np.log10(rows[:, column]))
        x = np.array([x_of(v) for v in at])
        band = canvas.copy()
        outline = np.concatenate(
            [np.stack([x, y_of(smallest)], 1), np.stack([x, y_of(largest)], 1)[::-1]]
        )
        cv2.fillPoly(band, [np.rint(outline).astype(np.int32)], color, cv2.LINE_AA)
        canvas = cv2.addWeighted(band, 0.18, canvas, 0.82, 0)
        line = np.rint(np.stack([x, y_of(mean)], 1) * 16).astype(np.int32)
        cv2.polylines(canvas, [line], False, color, 2, cv2.LINE_AA, 4)
        smoothed = 10 ** mean[-1]
        _text(canvas, f"{name} {smoothed:.4g}", (_LEFT + 130 * (column - 1), 24), color, size=0.55)
    _text(canvas, "loss, logarithmic", (WIDTH - _RIGHT, 24), align="right")
    _text(canvas, "iteration", (WIDTH - _RIGHT, HEIGHT - 10), align="right")
    return canvas


def _columns(iteration: np.ndarray, value: np.ndarray) -> tuple[np.ndarray, ...]:
    """Running mean, smallest, largest and place of `value` in at most one bin per pixel."""
    bins = min(len(value), WIDTH - _LEFT - _RIGHT)
    starts = np.arange(bins) * len(value) // bins
    counts = np.diff(starts, append=len(value))
    mean = np.add.reduceat(value, starts) / counts
    reach = max(1, round(bins * _SMOOTH))
    padded = np.concatenate([[0.0], np.cumsum(mean)])
    stop = np.arange(1, bins + 1)
    begin = np.maximum(0, stop - reach)
    return (
        (padded[stop] - padded[begin]) / (stop - begin),
        np.minimum.reduceat(value, starts),
        np.maximum.reduceat(value, starts),
        iteration[starts],
    )


def _loss_ticks(low: float, high: float) -> list[float]:
    """Round numbers within a range of logarithms; more to a decade where it is short."""
    digits = (1, 2, 5) if high - low > 1 else (1, 1.5, 2, 3, 4, 5, 7)
    decades = range(math.floor(low), math.ceil(high) + 1)
    ticks = [digit * 10.0**decade for decade in decades for digit in digits]
    return [tick for tick in ticks if low <= math.log10(tick) <= high]


def _iteration_ticks(first: float, last: float) -> list[int]:
    """Four to eight round numbers."""
    rough = max(1.0, (last - first) / 6)
    power = 10 ** math.floor(math.log10(rough))
    step = int(next(s for s in (1, 2, 5, 10) if s * power >= rough) * power)
    return list(range(math.ceil(first / step) * step, int(last) + 1, step))


def _text(
    canvas: np.ndarray,
    text: str,
    at: tuple[int, int],
    color: tuple[int, int, int] = _INK,
    align: str = "left",
    size: float = 0.42,
) -> None:
    width = cv2.getTextSize(text, _FONT, size, 1)[0][0]
    x = at[0] - {"left": 0, "center": width // 2, "right": width}[align]
    cv2.putText(canvas, text, (x, at[1]), _FONT, size, color, 1, cv2.LINE_AA)
