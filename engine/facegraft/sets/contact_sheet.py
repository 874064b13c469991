"""Contact sheets of a faceset: pages of small pictures with their names, to look through."""

import math
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from facegraft.errors import ParameterError
from facegraft.faces.face import AlignedFace
from facegraft.faces.faceset import read_image
from facegraft.media.images import write_image
from facegraft.progress import Progress, Silent
from facegraft.sets.work import on_all_cores

TILE = 128  # px, side of a picture
COLUMNS, ROWS = 12, 8  # of a page: 1536 px wide, as a screen shows it whole
_LINE = 16  # px below a picture
_INK, _PAPER = (40, 40, 40), 250
_FONT, _SCALE = cv2.FONT_HERSHEY_SIMPLEX, 0.38
_LEAST_TILE, _MOST_TILE = 32, 1024


def write_sheets(
    faces: Sequence[AlignedFace],
    path: Path,
    columns: int = COLUMNS,
    rows: int = ROWS,
    tile: int = TILE,
    progress: Progress | None = None,
) -> list[Path]:
    """Write the pages as `path`, or as NAME_001.png and so on where there are several.

    Gives the files. Raises: ParameterError for a size outside its range, BadAlignedImage,
    WriteError, Cancelled.
    """
    if not _LEAST_TILE <= tile <= _MOST_TILE:
        raise ParameterError(f"tile is {tile} px; it may have {_LEAST_TILE} to {_MOST_TILE}")
    if columns < 1 or rows < 1:
        raise ParameterError(f"a page of {columns} x {rows} pictures is none; give 1 or more")
    per_page = columns * rows
    pages = [faces[i : i + per_page] for i in range(0, len(faces), per_page)]
    suffix = path.suffix or ".png"
    files = []
    for number, page in enumerate(pages, 1):
        name = f"{path.stem}_{number:03d}{suffix}" if len(pages) > 1 else f"{path.stem}{suffix}"
        file = path.with_name(name)
        file.parent.mkdir(parents=True, exist_ok=True)
        write_image(file, draw_page(page, columns, tile, progress))
        files.append(file)
    return files


def draw_page(
    faces: Sequence[AlignedFace],
    columns: int = COLUMNS,
    tile: int = TILE,
    progress: Progress | None = None,
) -> np.ndarray:
    """(H, W, 3) uint8 RGB: the faces in rows, each with its name below."""
    columns = max(1, min(columns, len(faces)))
    high = tile + _LINE
    page = np.full((math.ceil(len(faces) / columns) * high, columns * tile, 3), _PAPER, np.uint8)
    tiles = on_all_cores(
        lambda face: _tile(face, tile), list(faces), progress or Silent(), "faces drawn",
        "stopped; the pages so far are written",
    )  # fmt: skip
    for n, picture in enumerate(tiles):
        top, left = n // columns * high, n % columns * tile
        page[top : top + high, left : left + tile] = picture
    return page


def _tile(face: AlignedFace, side: int) -> np.ndarray:
    picture = np.full((side + _LINE, side, 3), _PAPER, np.uint8)
    how = cv2.INTER_AREA if face.size > side else cv2.INTER_CUBIC
    picture[:side] = cv2.resize(read_image(face), (side, side), interpolation=how)
    text = _fitting(drawable(face.path.stem), side - 6)
    place = (3, side + _LINE - 5)
    cv2.putText(picture, text, place, _FONT, _SCALE, _INK, 1, cv2.LINE_AA)
    return picture


def drawable(text: str) -> str:
    """The text in letters that OpenCV's font has: accents are dropped, others become "?"."""
    plain = unicodedata.normalize("NFKD", text)
    plain = "".join(c for c in plain if not unicodedata.combining(c))
    return "".join(c if " " <= c <= "~" else "?" for c in plain)


def _fitting(text: str, width: int) -> str:
    """The text, or its end, where names differ, behind two dots."""
    short = text
    while short and cv2.getTextSize(_dotted(short, text), _FONT, _SCALE, 1)[0][0] > width:
        short = short[1:]
    return _dotted(short, text)


def _dotted(short: str, text: str) -> str:
    return text if short == text else f"..{short}"
