"""Contact sheets: pictures for people to judge a clip's faces by, as (H, W, 3) uint8 RGB."""

import math
from collections.abc import Sequence

import cv2
import numpy as np

from facegraft.faces.align import warp_image
from facegraft.faces.face import Face
from facegraft.faces.overlay import POINT
from facegraft.media.source import FrameSource
from facegraft.merge.clip.faces import ClipFaces
from facegraft.merge.clip.suspicious import Suspicion
from facegraft.progress import Progress, Silent

TILE = 224  # px, side of a picture
MOST_TILES = 60  # of a sheet; who must look at more than that has another problem
_COLUMNS = 6
_ROOM = 1.9  # sides of the picture by sizes of the face, so that what is around it can be seen
_LINE, _LINES = 15, 6  # px, and lines of text under a picture
_INK, _PAPER = (40, 40, 40), 250
_FONT, _SIZE = cv2.FONT_HERSHEY_SIMPLEX, 0.4
_BITS = 4  # cv2 draws at 1/16 px


def suspicion_sheet(
    source: FrameSource,
    clip: ClipFaces,
    suspicions: Sequence[Suspicion],
    progress: Progress | None = None,
) -> np.ndarray:
    """A picture for each face of each frame: the face with its landmarks, or the whole frame where
    there is none, with the frame's name and what was found; the first MOST_TILES, in order.
    Raises: UnreadableMedia.
    """
    progress = progress or Silent()
    sentences: dict[tuple[int, int], list[str]] = {}
    for suspicion in suspicions:
        index = (suspicion.first + suspicion.last) // 2
        sentences.setdefault((index, suspicion.track), []).append(suspicion.sentence)
    shown = list(sentences.items())[:MOST_TILES]
    progress.start(len(shown), "pictures drawn")
    tiles = []
    for (index, track), found in shown:
        image = source[index].image_u8
        faces = [face for face in clip.at(index) if face.track == track]
        picture = face_picture(image, faces[0]) if faces else image
        tiles.append((picture, f"{source.name_of(index)}: {' '.join(found)}"))
        progress.advance()
    return picture_sheet(tiles)


def picture_sheet(items: Sequence[tuple[np.ndarray, str]]) -> np.ndarray:
    """Pictures (H, W, 3) uint8 of any size, each scaled into a tile with its text below."""
    tiles = [_tile(picture, text) for picture, text in items[:MOST_TILES]]
    columns = max(1, min(_COLUMNS, len(tiles)))
    height = TILE + _LINE * _LINES + 8
    rows = max(1, math.ceil(len(tiles) / columns))
    sheet = np.full((rows * height, columns * TILE, 3), _PAPER, np.uint8)
    for n, tile in enumerate(tiles):
        top, left = n // columns * height, n % columns * TILE
        sheet[top : top + height, left : left + TILE] = tile
    return sheet


def face_picture(image: np.ndarray, face: Face) -> np.ndarray:
    """(TILE, TILE, 3): the face with some room around it, its landmarks drawn on it."""
    x0, y0, x1, y1 = face.box
    scale = TILE / (_ROOM * max(face.size_px, 1e-6))
    middle = np.array([(x0 + x1) / 2, (y0 + y1) / 2])
    matrix = np.column_stack([np.eye(2) * scale, TILE / 2 - scale * middle])
    picture = warp_image(image, matrix, TILE, TILE)
    for point in face.landmarks * scale + matrix[:, 2]:
        # corner convention to cv2's pixel centres, in fixed point
        place = np.rint((point - 0.5) * (1 << _BITS)).astype(int).tolist()
        cv2.circle(picture, place, 20, POINT, -1, cv2.LINE_AA, _BITS)
    return picture


def _tile(picture: np.ndarray, text: str) -> np.ndarray:
    tile = np.full((TILE + _LINE * _LINES + 8, TILE, 3), _PAPER, np.uint8)
    height, width = picture.shape[:2]
    scale = TILE / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    top, left = (TILE - size[1]) // 2, (TILE - size[0]) // 2
    tile[top : top + size[1], left : left + size[0]] = cv2.resize(
        picture, size, interpolation=method
    )
    for n, line in enumerate(_wrapped(text)):
        base = TILE + _LINE * (n + 1)
        cv2.putText(tile, line, (4, base), _FONT, _SIZE, _INK, 1, cv2.LINE_AA)
    return tile


def _wrapped(text: str) -> list[str]:
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if cv2.getTextSize(longer, _FONT, _SIZE, 1)[0][0] <= TILE - 8:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines[:_LINES]
