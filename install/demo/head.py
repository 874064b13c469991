"""Moves a portrait: turns the head in space, opens mouth and eyes, and keeps the rest in place.

The whole picture is warped smoothly by the depth of `portrait.py`, so that hair and neck follow
the face and nothing is cut out. Lids and lower lip slide over what lies behind them as layers of
their own: a layer is a picture, where it shows, and by how much it moves when its control is 1.
Warps are displacements in pixels, inverted by fixed-point iteration, which converges because the
depth nowhere falls steeper than a head turned by 30 degrees can show.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from portrait import SIZE, Portrait, face_frame, smooth_field
from scipy.interpolate import PchipInterpolator

from facegraft.faces.landmarks import INNER_LIPS, LEFT_BROW, LEFT_EYE, RIGHT_BROW, RIGHT_EYE

_ITERATIONS = 14  # leaves less than a fifth of a pixel at the nose of a head turned by 25 degrees
_LAYER_ITERATIONS = 6
_STEP = 2  # px: warps are smooth, so every second pixel is inverted and the rest interpolated
_LIGHT = np.array([-0.45, -0.55, 0.70])  # from the upper left, as in the photograph
_LIGHT_STRENGTH = 0.35  # of the brightness, for a surface that turns by a right angle
_THROAT = np.array([0.10, 0.03, 0.03], np.float32)
_TONGUE = np.array([0.50, 0.22, 0.20], np.float32)


@dataclass(frozen=True, slots=True)
class Act:
    """What a head does in one frame; angles in degrees, shifts in pixels, controls 0..1."""

    yaw: float = 0.0  # to image right
    pitch: float = 0.0  # down
    roll: float = 0.0  # clockwise
    shift: tuple[float, float] = (0.0, 0.0)
    jaw: float = 0.0  # -1 lips closed, 0 the portrait's smile, 1 open wide
    blink: float = 0.0
    brows: float = 0.0  # raised
    narrow: float = 0.0  # the corners of the mouth drawn together


@dataclass(frozen=True, slots=True, eq=False)
class _Layer:
    field: np.ndarray  # (H, W, 2) displacement at control 1
    shows: np.ndarray  # (H, W) 0..1, in the portrait's own places


class Head:
    """A portrait made ready to act."""

    def __init__(self, portrait: Portrait) -> None:
        self._picture, self._depth = portrait.picture, portrait.depth
        points = portrait.points
        center, unit = face_frame(points)
        self._pivot = center + [0.0, 0.55 * unit]  # where skull and neck meet
        self._grid = pixel_centers()
        self._coarse = pixel_centers(_STEP)
        self._weight = _rise(portrait.depth / (0.35 * unit))[..., None]
        self._normals = _normals(portrait.depth)
        self._brows = _brow_field(points, unit)
        self._narrow = _narrow_field(points, unit)
        self._lids = [
            _lid(points[RIGHT_EYE], points[RIGHT_BROW]),
            _lid(points[LEFT_EYE], points[LEFT_BROW]),
        ]
        self._lip = _lower_lip(points, unit)
        self._upper = _side_of(points[[60, 61, 62, 63, 64]], below=False, soft=1.0)
        self._mouth = self._paint_mouth(points)

    def render(self, act: Act) -> np.ndarray:
        """(SIZE, SIZE, 3) float32 RGB 0..1."""
        expression = act.brows * self._brows + act.narrow * self._narrow
        move = self._pose(expression, act)
        place = invert(move, self._coarse, _ITERATIONS)
        frame = sample(self._picture, _enlarge(place))
        for lid in self._lids:
            frame = self._over(frame, lid, act.blink, place)
        frame = self._speak(frame, act.jaw, place)
        return np.clip(frame * self._shade(act, place), 0, 1)

    def _pose(self, expression: np.ndarray, act: Act) -> np.ndarray:
        """(H, W, 2) displacement of every pixel of the portrait by expression and rotation."""
        rotation = _rotation(act)
        flat = self._grid + expression - self._pivot
        x = rotation[0, 0] * flat[..., 0] + rotation[0, 1] * flat[..., 1]
        y = rotation[1, 0] * flat[..., 0] + rotation[1, 1] * flat[..., 1]
        turned = np.stack([x, y], axis=-1) + self._depth[..., None] * rotation[:2, 2]
        moved = turned - flat + np.array(act.shift)
        return (expression + self._weight * moved).astype(np.float32)

    def _over(
        self, frame: np.ndarray, layer: _Layer, amount: float, place: np.ndarray
    ) -> np.ndarray:
        if amount == 0:
            return frame
        own = _enlarge(invert(amount * layer.field, place, _LAYER_ITERATIONS))
        shows = sample(layer.shows, own)[..., None]
        return frame + shows * (sample(self._picture, own) - frame)

    def _speak(self, frame: np.ndarray, jaw: float, place: np.ndarray) -> np.ndarray:
        """The mouth's inside, the lower lip over it, the upper lip over both."""
        own = _enlarge(invert(jaw * self._lip.field, place, _LAYER_ITERATIONS))
        place = _enlarge(place)
        upper = sample(self._upper, place)[..., None]
        lower = sample(self._lip.shows, own)[..., None]
        tongue = sample(self._lip_nearness, own)[..., None] * 0.8
        inside = sample(self._mouth, place)
        dark = sample(self._mouth_is_dark, place)[..., None]
        inside = inside + dark * tongue * (_TONGUE - inside)
        below = inside + lower * (sample(self._picture, own) - inside)
        return below + upper * (frame - below)

    def _paint_mouth(self, points: np.ndarray) -> np.ndarray:
        """The portrait with a throat under the upper teeth, for a mouth that opens further."""
        teeth = np.zeros((SIZE, SIZE), np.float32)
        lips = points[INNER_LIPS].copy()
        gap = np.linalg.norm(lips[6] - lips[2])
        lips[4:] -= [0, 0.16 * gap]  # the lower teeth's shadow and the edge of the lip
        cv2.fillPoly(teeth, [np.rint(lips * 16).astype(np.int32)], (1.0,), cv2.LINE_AA, 4)
        teeth = cv2.GaussianBlur(teeth, (0, 0), 1.0)
        above = _side_of(lips[:5], below=False, soft=1.0)
        keep = np.maximum(np.maximum(teeth, above), _outside_of(lips[0, 0], lips[4, 0]))
        self._mouth_is_dark = 1 - keep
        lower = points[[60, 67, 66, 65, 64]]
        self._lip_nearness = np.exp(-_distance_above(lower) / (0.35 * gap)).astype(np.float32)
        return _THROAT + keep[..., None] * (self._picture - _THROAT)

    def _shade(self, act: Act, place: np.ndarray) -> np.ndarray:
        """(H, W, 1) brightness: the light stays where it is while the head turns."""
        light = _rotation(act).T @ _LIGHT - _LIGHT
        gain = 1 + _LIGHT_STRENGTH * (self._normals @ light).astype(np.float32)
        return sample(1 + self._weight[..., 0] * (gain - 1), _enlarge(place))[..., None]


def _rotation(act: Act) -> np.ndarray:
    """(3, 3), x right, y down, z towards the camera."""
    yaw, pitch, roll = np.radians([act.yaw, act.pitch, act.roll])
    about_y = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
    about_x = np.array(
        [[1, 0, 0], [0, np.cos(pitch), np.sin(pitch)], [0, -np.sin(pitch), np.cos(pitch)]]
    )
    about_z = np.array(
        [[np.cos(roll), -np.sin(roll), 0], [np.sin(roll), np.cos(roll), 0], [0, 0, 1]]
    )
    return about_z @ about_y @ about_x


def pixel_centers(step: int = 1) -> np.ndarray:
    """(SIZE / step, SIZE / step, 2) float32, the middle of each cell of `step` px."""
    x, y = np.meshgrid(*[np.arange(0, SIZE, step, dtype=np.float32) + step / 2] * 2)
    return np.stack([x, y], axis=-1)


def _enlarge(place: np.ndarray) -> np.ndarray:
    """Places known for every cell of `_STEP` px, for every pixel."""
    return cv2.resize(place, (SIZE, SIZE), interpolation=cv2.INTER_LINEAR)


def invert(move: np.ndarray, target: np.ndarray, iterations: int) -> np.ndarray:
    """(H, W, 2): for each place of `target` the place that `move` brings there."""
    place = target
    for _ in range(iterations):
        place = 0.35 * place + 0.65 * (target - sample(move, place))  # damped: no overshoot
    return place


def sample(picture: np.ndarray, place: np.ndarray) -> np.ndarray:
    """`picture` at (H, W, 2) places in corner convention; its border goes on for ever."""
    wide = picture.ndim == 3 and picture.shape[2] == 3
    x, y = cv2.split((place - np.float32(0.5)).astype(np.float32))
    how = cv2.INTER_CUBIC if wide else cv2.INTER_LINEAR
    return cv2.remap(picture, x, y, how, borderMode=cv2.BORDER_REPLICATE)


def _rise(values: np.ndarray) -> np.ndarray:
    t = np.clip(values, 0, 1)
    return (t * t * (3 - 2 * t)).astype(np.float32)


def _normals(depth: np.ndarray) -> np.ndarray:
    soft = cv2.GaussianBlur(depth, (0, 0), 6.0)  # the photograph holds the fine shading already
    dy, dx = np.gradient(soft)
    normals = np.stack([-dx, -dy, np.ones_like(dx)], axis=-1)
    return normals / np.linalg.norm(normals, axis=-1, keepdims=True)


def _anchored(
    points: np.ndarray, moves: dict[int, tuple[float, float]], fixed: np.ndarray
) -> np.ndarray:
    """A smooth field with the given displacements at some of the 68 points, zero at `fixed`."""
    places = np.concatenate([points[list(moves)], fixed])
    values = np.concatenate([np.array(list(moves.values())), np.zeros_like(fixed)])
    return smooth_field(places, values)


def _rim(center: np.ndarray, radius: float) -> np.ndarray:
    """Points on two circles, where a field is to have ended."""
    turns = np.radians(np.arange(0, 360, 20))
    circle = np.stack([np.cos(turns), np.sin(turns)], axis=1)
    return np.concatenate([center + radius * circle, center + 1.6 * radius * circle])


def _window(center: np.ndarray, inner: float, outer: float) -> np.ndarray:
    """(H, W, 1): 1 within `inner` px of the centre, 0 beyond `outer`."""
    away = np.linalg.norm(pixel_centers() - center, axis=-1)
    return _rise((outer - away) / (outer - inner))[..., None]


def _brow_field(points: np.ndarray, unit: float) -> np.ndarray:
    moves = {i: (0.0, -0.13 * unit) for i in range(17, 27)}
    center = (points[21] + points[22]) / 2
    fixed = np.concatenate([points[27:48], points[:17], _rim(center, 1.2 * unit)])
    return _anchored(points, moves, fixed) * _window(center, 0.9 * unit, 1.3 * unit)


def _narrow_field(points: np.ndarray, unit: float) -> np.ndarray:
    center = (points[48] + points[54]) / 2
    moves = {int(i): tuple(0.22 * (center - points[i]) * [1, 0.3]) for i in range(48, 68)}
    fixed = np.concatenate([points[:17], points[27:48], _rim(center, 1.2 * unit)])
    return _anchored(points, moves, fixed) * _window(center, 0.8 * unit, 1.1 * unit)


def _lid(eye: np.ndarray, brow: np.ndarray) -> _Layer:
    outer, upper_a, upper_b, inner, lower_b, lower_a = eye
    center = eye.mean(axis=0)
    room = float((upper_a + upper_b)[1] / 2 - brow[1:4, 1].mean())  # between lid and brow
    width = float(np.linalg.norm(inner - outer))
    closing = np.array([lower_a - upper_a, lower_b - upper_b]) * 0.92
    crease = np.array([upper_a, upper_b]) - [0, 0.3 * room]
    corners = np.array([outer, inner])
    still = np.array([outer, upper_a, upper_b, inner]) - [0, 0.6 * room]
    places = np.concatenate([[upper_a, upper_b], crease, corners, still, _rim(center, 0.9 * width)])
    values = np.concatenate([closing, 0.45 * closing, np.zeros((len(places) - 4, 2))])
    field = smooth_field(places, values) * _window(center, 0.65 * width, 0.9 * width)
    margin = np.array([outer, upper_a, upper_b, inner]) + [0, 0.03 * width]  # lashes go along
    window = _window(center, 0.75 * width, 0.9 * width)[..., 0]
    return _Layer(field, _side_of(margin, below=False, soft=1.2) * window)


def _lower_lip(points: np.ndarray, unit: float) -> _Layer:
    gap = float(np.linalg.norm(points[66] - points[62]))
    share = {67: 0.8, 66: 1.0, 65: 0.8, 59: 0.45, 58: 0.9, 57: 1.0, 56: 0.9, 55: 0.45}
    share |= {8: 0.9, 7: 0.8, 9: 0.8, 6: 0.55, 10: 0.55, 5: 0.25, 11: 0.25}
    share |= {i: 0.0 for i in (60, 64, 48, 54, 4, 12, 3, 13, 2, 14, 31, 33, 35)}
    center = points[66]
    across = (points[54] - points[48]) / 2
    cheeks = np.array([points[54] + across * k for k in (0.3, 0.7, 1.2)])
    cheeks = np.concatenate([cheeks, [points[48] - across * k for k in (0.3, 0.7, 1.2)]])
    fixed = np.concatenate([cheeks, _rim(center, 1.5 * unit)])
    field = _anchored(points, {i: (0.0, s * gap) for i, s in share.items()}, fixed)
    field *= _window(center, 1.1 * unit, 1.5 * unit)
    return _Layer(field, _side_of(points[[60, 67, 66, 65, 64]], below=True, soft=1.0))


def _curve_height(curve: np.ndarray) -> np.ndarray:
    """(SIZE,) y of a curve through (N, 2) points from left to right, level beyond its ends."""
    order = np.argsort(curve[:, 0])
    x, y = curve[order].T
    slope = (y[-1] - y[0]) / (x[-1] - x[0])
    columns = np.arange(SIZE) + 0.5
    height = PchipInterpolator(x, y)(np.clip(columns, x[0], x[-1]))
    return height + slope * (columns - np.clip(columns, x[0], x[-1]))


def _side_of(curve: np.ndarray, below: bool, soft: float) -> np.ndarray:
    """(H, W) float32: 1 on one side of the curve, 0 on the other, `soft` px between."""
    distance = np.arange(SIZE)[:, None] + 0.5 - _curve_height(curve)[None]
    return np.clip(0.5 + (distance if below else -distance) / (2 * soft), 0, 1).astype(np.float32)


def _outside_of(left: float, right: float) -> np.ndarray:
    """(1, W) float32: 1 to the left of one column and to the right of another."""
    columns = np.arange(SIZE)[None] + 0.5
    return np.clip(np.maximum(left + 2 - columns, columns - right + 2) / 2, 0, 1).astype(np.float32)


def _distance_above(curve: np.ndarray) -> np.ndarray:
    return np.maximum(0, _curve_height(curve)[None] - np.arange(SIZE)[:, None] - 0.5)
