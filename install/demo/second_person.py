"""Makes another person of a portrait: other proportions, other skin, hair, brows and eyes.

Takes and gives a `Portrait`. Shares of `unit` are shares of half the face's width.
"""

import cv2
import numpy as np
from head import invert, pixel_centers, sample
from portrait import SIZE, Portrait, face_frame, head_depth, smooth_field

from facegraft.faces.landmarks import JAW, LEFT_BROW, LEFT_EYE, MOUTH, RIGHT_BROW, RIGHT_EYE

_SEED = 5  # of the stubble and the freckles


def second_person(portrait: Portrait) -> Portrait:
    center, unit = face_frame(portrait.points)
    target = _proportions(portrait.points, unit)
    turns = np.radians(np.arange(0, 360, 15))
    rim = center + 2.6 * unit * np.stack([np.cos(turns), np.sin(turns)], axis=1)
    hair = _hair_places(center, unit)
    places = np.concatenate([portrait.points, rim, hair])
    moves = np.concatenate([target - portrait.points, np.zeros_like(rim), (center - hair) * 0.10])
    field = smooth_field(places, moves, smoothing=1.0).astype(np.float32)
    place = invert(field, pixel_centers(), 20)
    picture = sample(portrait.picture, place)
    hair_mask = sample(_hair_mask(portrait), place)
    picture = _recolor(np.clip(picture, 0, 1), hair_mask, target, unit)
    return Portrait(picture, target, head_depth(target))


def _proportions(points: np.ndarray, unit: float) -> np.ndarray:
    """The 68 points of the second person: heavy jaw, low brows, small eyes, wide nose."""
    new = points.copy()
    for side, outward in ((range(2, 8), -1.0), (range(9, 15), 1.0)):
        for i in side:
            new[i, 0] += outward * 0.13 * unit * np.sin(np.pi * (min(i, 16 - i) - 1) / 7) ** 0.5
    new[6:11, 1] += 0.10 * unit
    for eye, outward in ((RIGHT_EYE, -1.0), (LEFT_EYE, 1.0)):
        middle = points[eye].mean(axis=0)
        new[eye] = middle + (points[eye] - middle) * [0.88, 0.82]
        new[eye, 0] += outward * 0.035 * unit
    for brow, inner in ((RIGHT_BROW, 21), (LEFT_BROW, 22)):
        new[brow, 1] += 0.10 * unit
        new[brow, 1] = 0.65 * new[brow, 1] + 0.35 * (new[inner, 1] - 0.02 * unit)
    new[31:36, 0] += (points[31:36, 0] - points[33, 0]) * 0.35
    new[29:36, 1] += 0.07 * unit
    mouth = points[MOUTH].mean(axis=0)
    new[MOUTH] = mouth + (points[MOUTH] - mouth) * [0.90, 1.12] + [0, 0.09 * unit]
    return new


def _hair_places(center: np.ndarray, unit: float) -> np.ndarray:
    """Places on the hair's outline, which is drawn in."""
    angles = np.radians(np.arange(170, 371, 20))
    return center + unit * np.stack([1.6 * np.cos(angles), 1.45 * np.sin(angles) - 0.25], axis=1)


def _hair_mask(portrait: Portrait) -> np.ndarray:
    """(H, W) float32: darker and browner than the wall, round the face."""
    center, unit = face_frame(portrait.points)
    lab = cv2.cvtColor(portrait.picture, cv2.COLOR_RGB2LAB)
    grid = pixel_centers()
    x, y = cv2.split((grid - center) / unit)
    head = np.clip((1.95 - np.hypot(x, (y + 0.3) * 1.05)) / 0.1, 0, 1) * np.clip(
        (0.72 - y) / 0.1, 0, 1
    )
    brown = np.clip((lab[..., 2] - 7) / 6, 0, 1)
    dark = np.clip((62 - lab[..., 0]) / 12, 0, 1)
    skin = _skin_mask(portrait.points, unit)
    fringe = np.clip((66 - lab[..., 0]) / 8, 0, 1)  # hair that hangs over the forehead
    high = np.clip((portrait.points[17:27, 1].min() - 0.05 * unit - grid[..., 1]) / 6, 0, 1)
    mask = head * np.maximum(brown, dark) * (1 - skin * (1 - high * fringe))
    return cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 1.5)


def _skin_mask(points: np.ndarray, unit: float) -> np.ndarray:
    """(H, W) float32: the face with its forehead, soft at the edge."""
    crown = points[17:27] - [0, 0.35 * unit]
    outline = cv2.convexHull(np.concatenate([points[JAW], crown]).astype(np.float32))
    mask = np.zeros((SIZE, SIZE), np.float32)
    cv2.fillConvexPoly(mask, np.rint(outline).astype(np.int32), (1.0,), cv2.LINE_AA)
    return cv2.GaussianBlur(mask, (0, 0), 3.0)


def _recolor(picture: np.ndarray, hair: np.ndarray, points: np.ndarray, unit: float) -> np.ndarray:
    random = np.random.default_rng(_SEED)
    picture = _recolor_surroundings(picture, hair, points, unit)
    black = picture @ np.array([0.3, 0.6, 0.1], np.float32)
    black = (black[..., None] ** 1.5) * np.array([0.46, 0.40, 0.37], np.float32)
    picture = picture + hair[..., None] * (black - picture)
    picture = _paint_stubble(picture, points, unit, hair, random)
    for brow in (RIGHT_BROW, LEFT_BROW):
        picture = _paint_brow(picture, points[brow], unit, random)
    for eye in (RIGHT_EYE, LEFT_EYE):
        picture = _paint_iris(picture, points[eye])
    return np.clip(picture, 0, 1)


def _recolor_surroundings(
    picture: np.ndarray, hair: np.ndarray, points: np.ndarray, unit: float
) -> np.ndarray:
    """Tanned skin, a blue-green wall; the suit is black already."""
    lab = cv2.cvtColor(picture, cv2.COLOR_RGB2LAB)
    warm = np.clip((lab[..., 2] - 8) / 8, 0, 1) * np.clip((lab[..., 0] - 15) / 15, 0, 1)
    x, y = cv2.split((pixel_centers() - face_frame(points)[0]) / unit)
    near = np.clip((1.6 - np.hypot(x, (y - 0.5) * 0.8)) / 0.3, 0, 1)
    skin = np.maximum(
        cv2.GaussianBlur((warm * near).astype(np.float32), (0, 0), 1.5), _skin_mask(points, unit)
    )
    lips = np.zeros((SIZE, SIZE), np.float32)
    cv2.fillPoly(lips, [np.rint(points[60:68]).astype(np.int32)], (1.0,), cv2.LINE_AA)
    eyes = [np.rint(points[e]).astype(np.int32) for e in (RIGHT_EYE, LEFT_EYE)]
    cv2.fillPoly(lips, eyes, (1.0,), cv2.LINE_AA)
    skin = skin * (1 - cv2.GaussianBlur(lips, (0, 0), 1.0))
    tan = (picture**1.2) * np.array([0.88, 0.80, 0.73], np.float32)
    wall = picture * np.array([0.60, 0.72, 0.80], np.float32)
    other = picture + (1 - np.maximum(skin, hair))[..., None] * (wall - picture) * (
        1 - lips[..., None]
    )
    return other + skin[..., None] * (tan - other)


def _paint_stubble(
    picture: np.ndarray,
    points: np.ndarray,
    unit: float,
    hair: np.ndarray,
    random: np.random.Generator,
) -> np.ndarray:
    """A short beard: jaw, chin and upper lip, grain of single hairs."""
    mask = np.zeros((SIZE, SIZE), np.float32)
    jaw = points[2:15] - [0, 0.02 * unit]
    upper = [points[48] - [0.10 * unit, 0], points[31] + [-0.05 * unit, 0.08 * unit]]
    upper += [points[33] + [0, 0.09 * unit], points[35] + [0.05 * unit, 0.08 * unit]]
    upper += [points[54] + [0.10 * unit, 0]]
    inward = [points[54] + [0.38 * unit, -0.05 * unit], points[48] - [0.38 * unit, 0.05 * unit]]
    outline = np.array([*jaw, inward[0], *upper[::-1], inward[1]])
    cv2.fillPoly(mask, [np.rint(outline).astype(np.int32)], (1.0,), cv2.LINE_AA)
    mask = cv2.GaussianBlur(mask, (0, 0), 0.06 * unit)
    lips = np.zeros((SIZE, SIZE), np.float32)
    cv2.fillPoly(lips, [np.rint(points[48:60]).astype(np.int32)], (1.0,), cv2.LINE_AA)
    mask *= 1 - cv2.GaussianBlur(lips, (0, 0), 0.025 * unit)
    grain = cv2.GaussianBlur(random.random((SIZE, SIZE), np.float32), (0, 0), 0.8)
    grain = np.clip(0.50 + (grain - 0.5) * 1.6, 0, 1)
    dark = picture * np.array([0.36, 0.37, 0.40], np.float32)
    return picture + (mask * grain * (1 - hair))[..., None] * (dark - picture)


def _paint_brow(
    picture: np.ndarray, brow: np.ndarray, unit: float, random: np.random.Generator
) -> np.ndarray:
    """A thick dark brow of single strokes along its five points."""
    mask = np.zeros((SIZE, SIZE), np.float32)
    t = np.linspace(0, 4, 160)
    x, y = (np.interp(t, range(5), brow[:, axis]) for axis in range(2))
    thick = 0.052 * unit * np.interp(t, [0, 0.5, 2, 3.5, 4], [0.45, 0.8, 1, 0.8, 0.45])
    for px, py, half in zip(x, y, thick, strict=True):
        for _ in range(5):
            y0 = py + random.uniform(-half, half)
            start = int(px * 16), int(y0 * 16)
            end = int((px + random.uniform(-3, 3)) * 16), int((y0 - random.uniform(1, 5)) * 16)
            cv2.line(mask, start, end, (1.0,), 1, cv2.LINE_AA, 4)
    mask = 0.8 * cv2.GaussianBlur(mask, (0, 0), 1.3)
    return picture + mask[..., None] * (np.array([0.10, 0.075, 0.065], np.float32) - picture)


def _paint_iris(picture: np.ndarray, eye: np.ndarray) -> np.ndarray:
    """Grey-blue irises where the eye's picture is dark and brown."""
    mask = np.zeros((SIZE, SIZE), np.float32)
    middle = eye[[1, 2, 4, 5]].mean(axis=0)
    radius = 0.24 * float(np.linalg.norm(eye[3] - eye[0]))
    cv2.circle(
        mask, tuple(int(v * 16) for v in middle), int(radius * 16), (1.0,), -1, cv2.LINE_AA, 4
    )
    opening = np.zeros((SIZE, SIZE), np.float32)
    cv2.fillPoly(opening, [np.rint(eye * 16).astype(np.int32)], (1.0,), cv2.LINE_AA, 4)
    mask = cv2.GaussianBlur(mask * opening, (0, 0), 0.8)[..., None]
    grey = picture.mean(axis=-1, keepdims=True)
    return picture + mask * (grey * np.array([0.85, 1.1, 1.3], np.float32) - picture)
