"""A node's values over time as the JSON that `facegraft merge --params` reads, and back.

Keyframes go out as keys where the command line can follow them exactly: constant, linear and
bezier ones on a bare F-curve. Whatever else moves a value (easing, modifiers, drivers, strips of
actions, linked nodes) is sampled at every frame of the scene.
"""

from collections.abc import Sequence
from typing import Any

import bpy  # pyright: ignore[reportMissingImports]

from facegraft.merge.animation import Animation
from facegraft.merge.keys import Interpolation, Key, document, sampled

from . import compat, graph
from .props import IMAGE_INPUTS, SOCKET_ROWS, SocketRow, params_from

_KINDS = {
    "CONSTANT": Interpolation.HOLD,
    "LINEAR": Interpolation.LINEAR,
    "BEZIER": Interpolation.BEZIER,
}


def animation_json(scene: bpy.types.Scene, node: bpy.types.Node) -> dict[str, Any]:
    """Every row, constant or keyed; key frames count from the node's First frame.

    Moves the scene through its frames where something must be sampled, and back.
    Raises: ParameterError where a value cannot be read.
    """
    start = node.node_tree.facegraft.faces_start
    values: dict[str, Any] = dict(values_now(scene, node.name))
    uneven: list[str] = []
    for i, spec in enumerate(SOCKET_ROWS):
        socket = node.inputs[IMAGE_INPUTS + i]
        if not spec.row.control.animatable or not _moves(node, socket):
            continue
        curve = curve_of(node.id_data, socket)
        if curve is not None and _is_plain(node.id_data, curve, socket) and _fits(spec, curve):
            keys = sorted((_key(p, start, spec) for p in curve.keyframe_points), key=_frame_of)
            values[spec.row.name] = tuple(keys)
        else:
            uneven.append(spec.row.name)
    if uneven:
        values.update(_sampled(scene, node.name, uneven, start))
    result = document(values)
    Animation.from_json(result)  # what the command line would refuse is refused here
    return result


def values_now(scene: bpy.types.Scene, name: str) -> dict[str, Any]:
    """A node's values at the scene's frame. Raises: ParameterError where one cannot be read."""
    return params_from(graph.row_values(compat.evaluated_tree(scene).nodes[name]))


def _sampled(
    scene: bpy.types.Scene, name: str, rows: Sequence[str], start: int
) -> dict[str, tuple[Key, ...]]:
    """A held key wherever the value changes from one frame to the next."""
    found: list[tuple[int, dict[str, Any]]] = []
    before = scene.frame_current
    try:
        for frame in range(scene.frame_start, scene.frame_end + 1):
            scene.frame_set(frame)
            found.append((frame - start, values_now(scene, name)))
    finally:
        scene.frame_set(before)
    return {row: sampled((frame, values[row]) for frame, values in found) for row in rows}


def _moves(node: bpy.types.Node, socket: bpy.types.NodeSocket) -> bool:
    """Whether anything may change the value over time."""
    data = node.id_data.animation_data
    if socket.is_linked:
        return True  # a Value node, which may have keys of its own
    if data is None:
        return False
    path = socket.path_from_id("default_value")
    driven = any(driver.data_path == path for driver in data.drivers)
    return driven or bool(data.nla_tracks) or curve_of(node.id_data, socket) is not None


def curve_of(tree: bpy.types.NodeTree, socket: bpy.types.NodeSocket) -> bpy.types.FCurve | None:
    """The F-curve that keys a socket's value, None where none does."""
    path = socket.path_from_id("default_value")
    return next((c for c in compat.fcurves_of(tree) if c.data_path == path), None)


def _is_plain(
    tree: bpy.types.NodeTree, curve: bpy.types.FCurve, socket: bpy.types.NodeSocket
) -> bool:
    """Whether the curve's keys alone say the value, in kinds that the command line knows."""
    data = tree.animation_data
    path = socket.path_from_id("default_value")
    return (
        not socket.is_linked
        and not data.nla_tracks
        and not any(driver.data_path == path for driver in data.drivers)
        and not curve.mute
        and not any(not modifier.mute for modifier in curve.modifiers)
        and curve.extrapolation == "CONSTANT"
        and len(curve.keyframe_points) > 0
        and len(curve.sampled_points) == 0
        and all(point.interpolation in _KINDS for point in curve.keyframe_points)
    )


def _fits(spec: SocketRow, curve: bpy.types.FCurve) -> bool:
    """Numbers may run between keys that lie in their range; whole numbers and choices only hold."""
    hard = spec.row.control.hard
    points = curve.keyframe_points
    inside = hard is None or all(hard[0] <= point.co.y <= hard[1] for point in points)
    steps = all(point.interpolation == "CONSTANT" for point in points)
    return inside and (steps or spec.row.type is float)


def _key(point: bpy.types.Keyframe, start: int, spec: SocketRow) -> Key:
    value = spec.value_of(point.co.y if spec.row.type is float else round(point.co.y))
    left, right = ((h.x - start, h.y) for h in (point.handle_left, point.handle_right))
    kind = _KINDS[point.interpolation]
    if spec.row.type is not float:
        return Key(point.co.x - start, value, kind)
    return Key(point.co.x - start, value, kind, left, right)


def _frame_of(key: Key) -> float:
    return key.frame


def set_keys(
    node: bpy.types.Node,
    socket: bpy.types.NodeSocket,
    spec: SocketRow,
    keys: Sequence[Key],
    start: int,
) -> None:
    """Keyframes from a file's keys, whose frame 0 is scene frame `start`."""
    for key in keys:
        socket.default_value = spec.socket_value(key.value)
        socket.keyframe_insert("default_value", frame=key.frame + start)
    curve = curve_of(node.id_data, socket)
    assert curve is not None  # just made
    blender_names = {kind: name for name, kind in _KINDS.items()}
    for i, (point, key) in enumerate(zip(curve.keyframe_points, keys, strict=True)):
        point.interpolation = blender_names[key.interpolation]
        point.handle_left_type = point.handle_right_type = "FREE"
        # a handle that is not given lies flat, a third of the way to the neighbour
        third = [(keys[max(i - 1, 0)].frame - key.frame) / 3]
        third.append((keys[min(i + 1, len(keys) - 1)].frame - key.frame) / 3)
        ends = [point.handle_left, point.handle_right]
        for end, handle, away in zip(ends, (key.left, key.right), third, strict=True):
            frame, value = handle or (key.frame + away, point.co.y)
            end.x, end.y = frame + start, value
