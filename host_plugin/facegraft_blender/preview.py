"""Layers for the interface: made a moment after the frame or something that matters changed.

Writing pixels makes Blender report a change of the user's tree, so changes are compared by a
signature of what the layers are computed from; without it one refresh would ask for the next.
"""

import hashlib
from collections.abc import Iterator
from typing import Any

import bpy  # pyright: ignore[reportMissingImports]
from bpy.app.handlers import persistent  # pyright: ignore[reportMissingImports]

from facegraft.errors import FacegraftError

from . import checks, graph, jobs, nodes, status
from .places import places_of
from .props import IMAGE, MASK
from .swap import SceneSwap, swaps_of

REST_S = 0.4  # a slider being dragged or a running playback is not at rest
_signatures: dict[int, str] = {}  # by the scene's session id
_busy = False


def request(forced: bool = False) -> None:
    """Refresh the layers of the shown scenes soon; `forced` also where nothing seems changed."""
    if bpy.app.background:
        return
    if forced:
        _signatures.clear()
    if bpy.app.timers.is_registered(_tick):
        bpy.app.timers.unregister(_tick)  # starts the rest anew
    bpy.app.timers.register(_tick, first_interval=REST_S)


def show_error(message: str) -> None:
    """A pop-up, from any thread, as soon as the interface is free."""

    def show() -> None:
        bpy.context.window_manager.popup_menu(
            lambda menu, _: menu.layout.label(text=message), title="FaceGraft", icon="ERROR"
        )

    if not bpy.app.background:
        bpy.app.timers.register(show)


def _tick() -> float | None:
    global _busy
    if bpy.app.is_job_running("RENDER"):
        return REST_S  # ask again: a render makes its own layers
    scenes = {
        window.scene.session_uid: window.scene for window in bpy.context.window_manager.windows
    }
    _busy = True
    try:
        for key, scene in scenes.items():
            if jobs.running or not places_of(scene):
                continue
            checks.read_rates(scene)
            signature = _signature(scene)
            if _signatures.get(key) != signature:
                _signatures[key] = signature
                _refresh(scene)
    finally:
        _busy = False
    return None


def _refresh(scene: bpy.types.Scene) -> None:
    for swap in swaps_of(scene):
        try:
            for tree, result in swap.frame():
                status.report(tree, result)
        finally:
            swap.close()
    redraw()


def redraw() -> None:
    """Show what is drawn over and beside pictures anew."""
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            if area.type in ("NODE_EDITOR", "IMAGE_EDITOR", "SEQUENCE_EDITOR"):
                area.tag_redraw()


def _signature(scene: bpy.types.Scene) -> str:
    """Digest of the frame, the size, and everything the nodes' inputs are computed from."""
    render = scene.render
    digest = hashlib.sha256()
    size = (render.resolution_x, render.resolution_y, render.resolution_percentage)
    digest.update(repr((scene.frame_current, scene.frame_subframe, size)).encode())
    for place in places_of(scene):
        digest.update(str(place).encode())
        for line in _lines_of(place.evaluated()):
            digest.update(line.encode())
    return digest.hexdigest()


def _lines_of(tree: bpy.types.NodeTree) -> Iterator[str]:
    """What the layers in an evaluated tree are computed from."""
    for node in graph.active_nodes(tree):
        yield repr((node.name, nodes.settings_of(node.node_tree)))
        yield repr(nodes.is_baked(node.node_tree))
        yield _row_values(node)
        for source in filter(None, (graph.source_socket(node, i) for i in (IMAGE, MASK))):
            yield source.identifier
            for name in sorted(graph.upstream_names(source)):
                yield from _described(tree.nodes[name])


def _row_values(node: bpy.types.Node) -> str:
    """Values of the rows, behind links too, or what is wrong with them."""
    try:
        return repr(graph.row_values(node))
    except FacegraftError as error:
        return str(error)


def _described(node: bpy.types.Node) -> Iterator[str]:
    """What makes a node compute what it computes: settings, inputs and links, not its looks."""
    yield node.name
    for prop in node.bl_rna.properties:
        if prop.identifier in _LAYERED and not getattr(node, "has_layers", False):
            continue  # has no value there, and Blender complains about reading it
        if prop.identifier not in _LOOKS and prop.type in _PLAIN | {"POINTER"}:
            value = getattr(node, prop.identifier)
            if prop.type == "POINTER":
                yield from _pointed_at(value)
            else:
                yield f"{prop.identifier}={_plain(value)}"
    for socket in (*node.inputs, *node.outputs):  # a Value node keeps its value in its output
        yield _plain(getattr(socket, "default_value", None))
    for socket in node.inputs:
        for link in socket.links:
            yield f"{link.from_node.name}.{link.from_socket.identifier}"


def _pointed_at(value: Any) -> Iterator[str]:
    """A curve's or ramp's points, the nodes of a group, or else a data-block's name."""
    if isinstance(value, bpy.types.CurveMapping):
        for curve in value.curves:
            yield repr([tuple(point.location) for point in curve.points])
    elif isinstance(value, bpy.types.ColorRamp):
        yield repr([(e.position, tuple(e.color)) for e in value.elements])
    elif isinstance(value, bpy.types.NodeTree) and nodes.MARK not in value:
        for node in value.nodes:
            yield from _described(node)
    else:
        yield getattr(value, "name_full", "")


def _plain(value: Any) -> str:
    if isinstance(value, str) or not hasattr(value, "__len__"):
        return repr(value)
    return repr(tuple(value))


_PLAIN = {"BOOLEAN", "INT", "FLOAT", "STRING", "ENUM"}
_LAYERED = {"layer", "view"}
_LOOKS = {
    "location",
    "location_absolute",
    "width",
    "height",
    "dimensions",
    "select",
    "hide",
    "label",
    "color",
    "use_custom_color",
    "show_options",
    "show_preview",
    "show_texture",
    "parent",
    "warning_propagation",
}


@persistent
def on_change(*_: object) -> None:
    if not SceneSwap.nested and not _busy:
        request()


_HANDLERS = ("frame_change_post", "depsgraph_update_post")


def register() -> None:
    for name in _HANDLERS:
        getattr(bpy.app.handlers, name).append(on_change)


def unregister() -> None:
    for name in _HANDLERS:
        getattr(bpy.app.handlers, name).remove(on_change)
    if bpy.app.timers.is_registered(_tick):
        bpy.app.timers.unregister(_tick)
