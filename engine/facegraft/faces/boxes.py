"""Finds face boxes with BlazeFace (full range) at several sizes of the frame.

Bazarevsky et al., "BlazeFace: Sub-millisecond Neural Face Detection on Mobile GPUs", 2019. The
network has one anchor of one pixel in each cell of 4 x 4, so everything it says is in pixels of
its input, and any input size works. One size sees faces of about 10 to 96 px; hence a small and a
large one. Takes uint8 RGB frames, gives Candidates in frame pixels, corner convention.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from facegraft.faces.session import open_session

SMALL_SIDE = 192  # px, longest side: what the network was trained at; sees the large faces
LARGE_SIDE = 960  # px: sees faces down to about 1/60 of the frame's longer side
CLOSE_SIDE = 96  # px: a face that fills the frame is too large at 192
TILE = 192  # px: neighbours suppress small faces, so crowds are read in small windows
_TILE_STEP = 138  # px: 28 % overlap, more than the largest face that only tiles would find
_STRIDE = 4  # px of a cell
_MULTIPLE = 32  # px: product of the network's strides, times two
_SCORE = 0.5  # least probability
_SAME_FACE_IOU = 0.3  # above it two boxes are one face
_INSIDE = 0.6  # share of the smaller box inside the larger one that makes them one face
_TILE_EDGE = 2  # px: a box so near an inner edge is cut; the neighbouring tile has it whole


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """A box before its landmarks are known.

    box: (4,) float64 x0 y0 x1 y1; points: (6, 2) right eye, left eye, nose, mouth, two ears.
    """

    box: np.ndarray
    points: np.ndarray
    score: float

    @property
    def side(self) -> float:
        return float(max(self.box[2] - self.box[0], self.box[3] - self.box[1]))


class BoxFinder:
    def __init__(self, path: Path, threads: int = 0) -> None:
        """Raises: MissingExtra, BadWeights."""
        self._session = open_session(path, threads)

    def at_side(self, image_u8: np.ndarray, side: int) -> list[Candidate]:
        """Faces in the frame shrunk to `side` px on its longer side; never enlarged."""
        small = _shrink(image_u8, side)
        height, width = small.shape[:2]
        padded = np.zeros((_round_up(height), _round_up(width), 3), np.uint8)
        padded[:height, :width] = small
        found = self._run(padded[None])[0]
        return _to_frame(found, image_u8, small)

    def in_tiles(self, image_u8: np.ndarray, side: int) -> list[Candidate]:
        """The same, read in overlapping tiles; finds small faces between larger ones."""
        small = _shrink(image_u8, side)
        height, width = small.shape[:2]
        corners = [(x, y) for y in _tile_starts(height) for x in _tile_starts(width)]
        tiles = np.zeros((len(corners), TILE, TILE, 3), np.uint8)
        for tile, (x, y) in zip(tiles, corners, strict=True):
            part = small[y : y + TILE, x : x + TILE]
            tile[: part.shape[0], : part.shape[1]] = part
        found = []
        for (x, y), in_tile in zip(corners, self._run(tiles), strict=True):
            inner = np.array([x > 0, y > 0, x + TILE < width, y + TILE < height])
            for candidate in in_tile:
                reach = candidate.box * [-1, -1, 1, 1] + [0, 0, -TILE, -TILE]  # > 0: outside
                if not (inner & (reach > -_TILE_EDGE)).any():
                    offset = np.array([x, y])
                    found.append(
                        Candidate(
                            candidate.box + np.tile(offset, 2),
                            candidate.points + offset,
                            candidate.score,
                        )
                    )
        return _to_frame(found, image_u8, small)

    def _run(self, images_u8: np.ndarray) -> list[list[Candidate]]:
        """Candidates of each image of (N, H, W, 3), in its pixels."""
        blob = cv2.dnn.blobFromImages(list(images_u8), 1 / 127.5, mean=(127.5, 127.5, 127.5))
        raw, logits = self._session.run(["boxes", "scores"], {"image": blob})
        columns = images_u8.shape[2] // _STRIDE
        found = []
        for values, logit in zip(raw, logits[..., 0], strict=True):
            scores = 1 / (1 + np.exp(-np.clip(logit, -80, 80)))  # beyond 80 exp overflows float32
            kept = np.flatnonzero(scores >= _SCORE)
            centers = np.stack([kept % columns, kept // columns], axis=1)
            centers = (centers + 0.5) * _STRIDE
            pairs = values[kept].reshape(-1, 8, 2).astype(np.float64)
            middle, half = pairs[:, 0] + centers, pairs[:, 1] / 2
            boxes = np.concatenate([middle - half, middle + half], axis=1)
            points = pairs[:, 2:] + centers[:, None]
            found.append(_average_overlaps(boxes, points, scores[kept]))
        return found


def turn_back(candidates: Sequence[Candidate], turns: int, image: np.ndarray) -> list[Candidate]:
    """Candidates found in np.rot90(image, turns), in pixels of `image`."""
    height, width = image.shape[:2]
    back = []
    for candidate in candidates:
        corners = _points_back(candidate.box.reshape(2, 2), turns, width, height)
        points = _points_back(candidate.points, turns, width, height)
        box = np.concatenate([corners.min(axis=0), corners.max(axis=0)])
        back.append(Candidate(box, points, candidate.score))
    return back


def _points_back(points: np.ndarray, turns: int, width: int, height: int) -> np.ndarray:
    for turn in reversed(range(turns)):
        before = height if turn % 2 else width  # width of the picture before this turn
        points = np.stack([before - points[:, 1], points[:, 0]], axis=1)
    return points


def iou(box: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Intersection over union of one (4,) box with each of (N, 4)."""
    shared = _shared_area(box, boxes)
    return shared / np.maximum(_area(box) + _area(boxes) - shared, 1e-9)


def drop_repeats(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Of boxes that show one face, seen at several sizes, only the most certain."""
    boxes = np.array([c.box for c in candidates]).reshape(-1, 4)
    return [candidates[i] for i in distinct(boxes, np.array([c.score for c in candidates]))]


def distinct(boxes: np.ndarray, scores: np.ndarray) -> list[int]:
    """Numbers of the boxes (N, 4) that show different faces, the highest score of each first."""
    kept: list[int] = []
    for i in np.argsort(-scores, kind="stable").tolist():
        others = boxes[kept]
        smaller = np.minimum(_area(boxes[i]), _area(others))
        inside = _shared_area(boxes[i], others) / np.maximum(smaller, 1e-9)
        if not ((iou(boxes[i], others) > _SAME_FACE_IOU) | (inside > _INSIDE)).any():
            kept.append(i)
    return kept


def _average_overlaps(boxes: np.ndarray, points: np.ndarray, scores: np.ndarray) -> list[Candidate]:
    """Non-maximum suppression that averages what it merges by score: steadier than the best."""
    order = np.argsort(-scores, kind="stable")
    found = []
    while order.size:
        best = order[0]
        same = iou(boxes[best], boxes[order]) > _SAME_FACE_IOU
        same[0] = True  # also a box without an area, which overlaps nothing
        group = order[same]
        weights = scores[group] / scores[group].sum()
        found.append(
            Candidate(
                weights @ boxes[group],
                np.tensordot(weights, points[group], axes=1),
                float(scores[best]),
            )
        )
        order = order[~same]
    return found


def _area(boxes: np.ndarray) -> np.ndarray:
    size = np.maximum(boxes[..., 2:] - boxes[..., :2], 0)
    return size[..., 0] * size[..., 1]


def _shared_area(box: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    low, high = np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:], boxes[:, 2:])
    return _area(np.concatenate([low, high], axis=1))


def _shrink(image_u8: np.ndarray, side: int) -> np.ndarray:
    height, width = image_u8.shape[:2]
    factor = min(1.0, side / max(height, width))
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    return cv2.resize(image_u8, size, interpolation=cv2.INTER_AREA)


def _to_frame(
    candidates: Sequence[Candidate], frame: np.ndarray, small: np.ndarray
) -> list[Candidate]:
    factor = np.array(frame.shape[1::-1]) / small.shape[1::-1]
    return [Candidate(c.box * np.tile(factor, 2), c.points * factor, c.score) for c in candidates]


def _round_up(length: int) -> int:
    return -(-length // _MULTIPLE) * _MULTIPLE


def _tile_starts(length: int) -> list[int]:
    if length <= TILE:
        return [0]
    count = -(-(length - TILE) // _TILE_STEP) + 1
    return [round(i * (length - TILE) / (count - 1)) for i in range(count)]
