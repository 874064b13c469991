"""ST map: for every pixel of the frame, where in its face's square it lies.

Red is s, green is t, both 0..1 over the square as it is pasted, counted as compositing programs
count: s from the left, t from the *bottom*, sampled at the pixel's centre. Blue is the face's
number, 1 + its track (0 where there is no face), alpha is 1 inside a square. Fed with a crop (or
anything painted over one), an STMap node puts it back where the merge did.
"""

from collections.abc import Sequence

import numpy as np

from facegraft.faces.align import invert, transform_points
from facegraft.merge.frame import MergedFace


def st_map(shape: tuple[int, ...], faces: Sequence[MergedFace]) -> np.ndarray:
    """(H, W, 4) float32 for a frame of `shape`: s, t, number, coverage; where squares overlap the
    larger face wins."""
    height, width = shape[:2]
    image = np.zeros((height, width, 4), np.float32)
    for merged in sorted(faces, key=lambda each: each.face.size_px):
        corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float64)
        corners = transform_points(corners, invert(merged.pasted_square))
        x0, y0 = np.maximum(np.floor(corners.min(axis=0)).astype(int), 0)
        x1, y1 = np.minimum(np.ceil(corners.max(axis=0)).astype(int), (width, height))
        if x0 >= x1 or y0 >= y1:
            continue
        x, y = np.meshgrid(np.arange(x0, x1) + 0.5, np.arange(y0, y1) + 0.5)
        (a, b, c), (d, e, f) = merged.pasted_square
        s, down = a * x + b * y + c, d * x + e * y + f
        inside = (s >= 0) & (s <= 1) & (down >= 0) & (down <= 1)
        values = np.dstack([s, 1 - down, np.full(s.shape, merged.face.track + 1), np.ones(s.shape)])
        np.copyto(image[y0:y1, x0:x1], values.astype(np.float32), where=inside[..., None])
    return image
