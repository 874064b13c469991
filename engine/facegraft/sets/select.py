"""Choosing the faces of a set to train with: many poses, good pictures, no repetition.

Yaw is cut into cells, each of these by pitch. The faces asked for are shared out over the yaw cells
as evenly as what they hold allows, and within each over its pitch cells likewise, so that a rare
pose is kept whole and a common one gives way. Of a cell only the best pictures count, POOL times as
many as it may send; of those go the ones that differ most.
"""

import numpy as np

from facegraft.sets.similarity import spread

CELL = 5.0  # degrees; what a head moves between two looks
POOL = 3  # a picture among the best third is good enough to be chosen for being different


def select_balanced(
    yaw: np.ndarray,
    pitch: np.ndarray,
    quality: np.ndarray,
    count: int,
    looks: np.ndarray | None = None,
    times: np.ndarray | None = None,
) -> np.ndarray:
    """(count,) places of the chosen faces, or all there are, by yaw and pitch cell.

    yaw, pitch: (N,) degrees. quality: (N,), more is better. looks: (N, D) float32 of length 1 by
    which pictures differ; where None, pictures of a cell are taken evenly over `times` (N,).
    """
    yaw_cells = np.floor(yaw / CELL).astype(int)
    pitch_cells = np.floor(pitch / CELL).astype(int)
    chosen: list[np.ndarray] = []
    columns, column_of = np.unique(yaw_cells, return_inverse=True)
    shares = share_out(np.bincount(column_of), count, _best(quality, column_of, len(columns)))
    for column, share in enumerate(shares.tolist()):
        inside = np.flatnonzero(column_of == column)
        rows, row_of = np.unique(pitch_cells[inside], return_inverse=True)
        best = _best(quality[inside], row_of, len(rows))
        for row, wanted in enumerate(share_out(np.bincount(row_of), share, best).tolist()):
            if wanted:
                cell = inside[row_of == row]
                chosen.append(_from_cell(cell, wanted, quality, looks, times))
    return np.concatenate(chosen) if chosen else np.empty(0, np.intp)


def share_out(held: np.ndarray, total: int, favour: np.ndarray) -> np.ndarray:
    """(K,) how many of `total` each of K cells gives, none more than it has `held`: as evenly as
    can be. What does not divide goes to the cells with the greatest `favour`.
    """
    total = min(total, int(held.sum()))
    given = np.zeros(len(held), np.int64)
    while (rest := total - int(given.sum())) > 0:
        open_cells = np.flatnonzero(given < held)
        each = rest // len(open_cells)
        if not each:
            first = open_cells[np.argsort(-favour[open_cells], kind="stable")][:rest]
            given[first] += 1
        else:
            given[open_cells] = np.minimum(given[open_cells] + each, held[open_cells])
    return given


def _best(quality: np.ndarray, cell_of: np.ndarray, cells: int) -> np.ndarray:
    best = np.full(cells, -np.inf)
    np.maximum.at(best, cell_of, quality)
    return best


def _from_cell(
    cell: np.ndarray,
    wanted: int,
    quality: np.ndarray,
    looks: np.ndarray | None,
    times: np.ndarray | None,
) -> np.ndarray:
    good = cell[np.argsort(-quality[cell], kind="stable")][: POOL * wanted]
    if looks is not None:
        return good[spread(looks[good], wanted, first=0)]
    if times is not None:
        good = good[np.argsort(times[good], kind="stable")]
        return good[np.linspace(0, len(good) - 1, wanted).round().astype(int)]
    return good[:wanted]
