"""From the 478 points of the face mesh to the 68 iBUG points.

The table names, for each of the 68, one vertex or a blend of two ("a/b w" is w*a + (1-w)*b); the
jaw is nine points spaced evenly along a chain of vertices on each side. The blends put brows and
the bridge of the nose where annotators of 300-W put them; eyes and lips are vertices themselves.
"""

import numpy as np

from facegraft.faces.landmarks import JAW

RIGHT_CORNER, LEFT_CORNER = 33, 263  # outer eye corners; their line is the mesh's own roll

_JAW_RIGHT = [127, 234, 93, 132, 58, 172, 136, 150, 149, 176, 148, 152]  # temple to chin
_JAW_LEFT = [356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152]
_JAW_POINTS = 9  # on each side, the chin counted twice

_BLENDS: list[tuple[int, int, float]] = [  # points 17 to 67
    # brows, from image left to right
    (70, 156, 0.75), (105, 70, 0.55), (105, 66, 0.6), (66, 107, 0.6), (107, 193, 0.75),
    (336, 417, 0.75), (296, 336, 0.6), (334, 296, 0.6), (334, 300, 0.55), (300, 383, 0.75),
    # bridge and base of the nose
    (168, 6, 0.85), (197, 6, 0.7), (197, 1, 0.65), (1, 5, 0.6),
    *((vertex, vertex, 1.0) for vertex in (75, 97, 2, 326, 305)),
    # eyes
    *((vertex, vertex, 1.0) for vertex in (33, 160, 158, 133, 153, 144)),
    *((vertex, vertex, 1.0) for vertex in (362, 385, 387, 263, 373, 380)),
    # outer lips, inner lips
    *((vertex, vertex, 1.0) for vertex in (61, 39, 37, 0, 267, 269, 291)),
    (405, 321, 0.5), (314, 314, 1.0), (17, 17, 1.0), (84, 84, 1.0), (181, 91, 0.5),
    *((vertex, vertex, 1.0) for vertex in (78, 82, 13, 312, 308, 317, 14, 87)),
]  # fmt: skip
_FIRST = np.array([first for first, _, _ in _BLENDS])
_SECOND = np.array([second for _, second, _ in _BLENDS])
_WEIGHT = np.array([weight for _, _, weight in _BLENDS])[:, None]


def to_68(mesh: np.ndarray) -> np.ndarray:
    """(478, 2) mesh points to (68, 2) float32 landmarks, in the same space."""
    points = np.empty((68, 2), np.float32)
    points[JAW.start : _JAW_POINTS] = _evenly(mesh[_JAW_RIGHT])
    points[_JAW_POINTS - 1 : JAW.stop] = _evenly(mesh[_JAW_LEFT])[::-1]
    points[JAW.stop :] = _WEIGHT * mesh[_FIRST] + (1 - _WEIGHT) * mesh[_SECOND]
    return points


def _evenly(chain: np.ndarray) -> np.ndarray:
    """Nine points at equal lengths along a polyline, its ends included."""
    steps = np.linalg.norm(np.diff(chain, axis=0), axis=1)
    length = np.concatenate([[0.0], np.cumsum(steps)])
    places = np.linspace(0, length[-1], _JAW_POINTS)
    return np.stack([np.interp(places, length, chain[:, axis]) for axis in range(2)], axis=1)
