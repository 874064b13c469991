"""Orders of faces by how alike they are, for tens of thousands of them.

A face is a row: float32 vectors of length 1 are compared by their dot product (`1 - product` is the
distance; of root histograms the product is the Bhattacharyya coefficient, of embeddings the
cosine), uint8 pictures by the sum of absolute differences. Distances of all pairs are never held at
once: they are made in blocks, or a row at a time. All pairs take their time in sets of 100 000, so
every function reports its progress and raises Cancelled where the user stops it.
"""

import cv2
import numpy as np

from facegraft.errors import Cancelled
from facegraft.progress import Progress, Silent

_BLOCK_BYTES = 64 << 20  # of distances held at once
_NEIGHBOURS = 24  # of each face that a chain knows beforehand; more are looked up when all are used


def distances_to(rows: np.ndarray, one: np.ndarray) -> np.ndarray:
    """(N,) float32: of every row to the row `one`."""
    if rows.dtype == np.uint8:
        found = cv2.batchDistance(rows, one[None], cv2.CV_32S, normType=cv2.NORM_L1, K=1)
        return found[0][:, 0].astype(np.float32)
    return 1 - rows @ one


def nearest(
    rows: np.ndarray, count: int, progress: Progress | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The `count` nearest other rows of each, nearest first: (N, count) distances and places."""
    total = len(rows)
    count = min(count, total - 1)
    distances = np.empty((total, count), np.float32)
    places = np.empty((total, count), np.int32)
    step = max(1, _BLOCK_BYTES // (4 * total))
    progress = _begin(progress, total)
    for start in range(0, total, step):
        part = slice(start, min(start + step, total))
        distances[part], places[part] = _nearest_of(rows, part, count)
        _advance(progress, part.stop - part.start)
    return distances, places


def _nearest_of(rows: np.ndarray, part: slice, count: int) -> tuple[np.ndarray, np.ndarray]:
    own = np.arange(part.start, part.stop)
    if rows.dtype == np.uint8:
        distances, places = cv2.batchDistance(
            rows[part], rows, cv2.CV_32S, normType=cv2.NORM_L1, K=count + 1
        )
        # its own row is among them, unless as many others equal it
        others = places != own[:, None]
        others[:, -1] &= ~others.all(axis=1)
        shape = (len(own), count)
        return distances[others].reshape(shape), places[others].reshape(shape)
    block = 1 - rows[part] @ rows.T
    block[np.arange(len(own)), own] = np.inf
    places = np.argpartition(block, count - 1, axis=1)[:, :count]
    distances = np.take_along_axis(block, places, axis=1)
    order = np.argsort(distances, axis=1, kind="stable")
    return np.take_along_axis(distances, order, 1), np.take_along_axis(places, order, 1)


def chain(rows: np.ndarray, progress: Progress | None = None) -> np.ndarray:
    """(N,) places: from the most unusual face on, each time the nearest that is left."""
    total = len(rows)
    if total < 3:
        return np.arange(total)
    neighbours = nearest(rows, _NEIGHBOURS, progress)[1]
    is_left = np.ones(total, bool)
    order = np.empty(total, np.intp)
    current = unusual(rows)
    left, left_places = rows, np.arange(total)  # what is left, made anew each time it has halved
    progress = _begin(progress, total)
    for n in range(total):
        order[n] = current
        is_left[current] = False
        _advance(progress, 1)
        if n == total - 1:
            break
        near = neighbours[current]
        near = near[is_left[near]]
        if len(near):
            current = int(near[0])
            continue
        if 2 * (total - n - 1) <= len(left_places):
            left_places = np.flatnonzero(is_left)
            left = rows[left_places]
        distances = distances_to(left, rows[current])
        distances[~is_left[left_places]] = np.inf
        current = int(left_places[np.argmin(distances)])
    return order


def spread(
    rows: np.ndarray,
    count: int | None = None,
    first: int | None = None,
    progress: Progress | None = None,
) -> np.ndarray:
    """(count,) places, or all: from `first`, or the most unusual face, each time the one that
    differs most from all before it (Gonzalez, "Clustering to minimize the maximum intercluster
    distance", 1985).
    """
    total = len(rows)
    count = total if count is None else min(count, total)
    order = np.empty(count, np.intp)
    if not count:
        return order
    current = unusual(rows) if first is None else first
    to_chosen = np.full(total, np.inf, np.float32)
    progress = _begin(progress, count)
    for n in range(count):
        order[n] = current
        _advance(progress, 1)
        np.minimum(to_chosen, distances_to(rows, rows[current]), out=to_chosen)
        to_chosen[current] = -np.inf
        if n + 1 < count:
            current = int(np.argmax(to_chosen))
    return order


def total_distance(rows: np.ndarray, progress: Progress | None = None) -> np.ndarray:
    """(N,) float64: the sum of each row's Hellinger distances, sqrt(1 - product), to all others."""
    sums = np.empty(len(rows))
    step = max(1, _BLOCK_BYTES // (4 * len(rows)))
    progress = _begin(progress, len(rows))
    for start in range(0, len(rows), step):
        products = rows[start : start + step] @ rows.T
        np.subtract(1, products, out=products)
        np.sqrt(np.maximum(products, 0, out=products), out=products)
        sums[start : start + step] = products.sum(axis=1, dtype=np.float64)
        _advance(progress, len(products))
    return sums


def unusual(rows: np.ndarray) -> int:
    """The row that is farthest from the mean of all."""
    mean = rows.mean(axis=0, dtype=np.float64).astype(np.float32)
    return int(np.argmax(np.abs(rows - mean).sum(axis=1)))


def typical_likeness(vectors: np.ndarray) -> np.ndarray:
    """(N,) cosine of each vector (length 1) to the set's own face: the mean of the half of the
    vectors that is nearest to the mean, so that strangers in the set have no say.
    """
    center = _unit(vectors.mean(axis=0))
    for _ in range(3):  # settles at once where one person is in the majority
        likeness = vectors @ center
        center = _unit(vectors[likeness >= np.median(likeness)].mean(axis=0))
    return vectors @ center


def unit_rows(rows: np.ndarray) -> np.ndarray:
    """(N, D) float32 of length 1, as stored at half precision."""
    values = rows.astype(np.float32)
    return values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-12)


def _begin(progress: Progress | None, total: int) -> Progress:
    progress = progress or Silent()
    progress.start(total, "faces compared")
    return progress


def _advance(progress: Progress, count: int) -> None:
    if progress.cancelled:
        raise Cancelled("stopped; the set is as it was")
    progress.advance(count)


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / max(float(np.linalg.norm(vector)), 1e-12)
