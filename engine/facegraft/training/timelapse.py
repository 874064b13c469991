"""A movie of the preview sheets that a run has kept, each with its iteration drawn above it."""

from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from facegraft.errors import Cancelled, SourceNotFound
from facegraft.media.images import read_image_file
from facegraft.media.writer import VideoWriter
from facegraft.progress import Progress
from facegraft.training.preview import HISTORY_FOLDER, HISTORY_SUFFIX

_STRIP = 40  # px above the sheet
_PAPER, _INK = 24, (220, 220, 220)  # RGB, as on the sheet
_HOLD_S = 1  # seconds that the last sheet stands, so that a player does not end on it


def list_history(run_folder: Path) -> list[Path]:
    """The kept sheets in the order of their iterations."""
    files = (run_folder / HISTORY_FOLDER).glob(f"*{HISTORY_SUFFIX}")
    return sorted((file for file in files if file.stem.isdigit()), key=lambda file: int(file.stem))


def write_timelapse(run_folder: Path, output: Path, fps: int, progress: Progress) -> int:
    """Write the movie, sized by the largest sheet; how many sheets it shows.

    Raises: SourceNotFound where no sheets were kept, UnreadableMedia, ParameterError for a suffix
    that is no movie's, WriteError, Cancelled; then no file is left.
    """
    files = list_history(run_folder)
    if not files:
        raise SourceNotFound(
            f"{run_folder} has kept no preview sheets; they are kept while it trains with "
            "--preview-history (facegraft model set RUN --preview-history)"
        )
    shapes = [read_image_file(file)[0].shape for file in (files[0], files[-1])]
    height, width = (max(shape[axis] for shape in shapes) for axis in (0, 1))
    progress.start(len(files), "sheets")
    with VideoWriter(output, width, height + _STRIP, Fraction(fps)) as movie:
        frame = np.empty(0)
        for file in files:
            frame = _frame(read_image_file(file)[0], int(file.stem), height, width)
            movie.write(frame)
            progress.advance()
            if progress.cancelled:
                raise Cancelled(f"in the middle of the time-lapse; {output} was not written")
        for _ in range(_HOLD_S * fps - 1):
            movie.write(frame)
    return len(files)


def _frame(sheet: np.ndarray, iteration: int, height: int, width: int) -> np.ndarray:
    """(height + strip, width, 3) uint8 RGB; a sheet of another size is cut or stands on paper."""
    frame = np.full((height + _STRIP, width, 3), _PAPER, np.uint8)
    sheet = sheet[:height, :width]
    frame[_STRIP : _STRIP + sheet.shape[0], : sheet.shape[1]] = sheet
    text = f"iteration {iteration:,}"
    cv2.putText(frame, text, (8, 27), cv2.FONT_HERSHEY_SIMPLEX, 0.75, _INK, 1, cv2.LINE_AA)
    return frame
