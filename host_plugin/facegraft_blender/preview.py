"""Layers for the interface: made a moment after the frame or something that matters changed.

Writing pixels makes Blender report a change of the user's tree, so changes are compared by a
signature of what the layers are computed from; without it one refresh would ask for the next.
"""

import hashlib
from collections.abc import Iterator

import bpy  # pyright: ignore[reportMissingImports]
from bpy.app.handlers import persistent  # pyright: ignore[reportMissingImports]

from . import compat, graph, status
from .props import IMAGE_INPUTS
from .swap import SceneSwap, wanted

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
            if not wanted(scene):
                continue
            signature = _signature(scene)
            if _signatures.get(key) != signature:
                _signatures[key] = signature
                _refresh(scene)
    finally:
        _busy = False
    return None


def _refresh(scene: bpy.types.Scene) -> None:
    swap = SceneSwap(scene)
    try:
        for tree, result in swap.frame():
            status.report(tree, result)
    finally:
        swap.close()
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            if area.type == "NODE_EDITOR":
                area.tag_redraw()


def _signature(scene: bpy.types.Scene) -> str:
    """Digest of the frame, the size, and everything the nodes' inputs are computed from."""
    tree = compat.evaluated_tree(scene)
    render = scene.render
    digest = hashlib.sha256()
    size = (render.resolution_x, render.resolution_y, render.resolution_percentage)
    digest.update(repr((scene.frame_current, scene.frame_subframe, size)).encode())
    for node in graph.active_nodes(tree):
        settings = node.node_tree.facegraft
        digest.update(repr((node.name, settings.model_path, settings.faces_path)).encode())
        digest.update(repr(settings.faces_start).encode())
        digest.update(repr([s.default_value for s in node.inputs[IMAGE_INPUTS:]]).encode())
        source = graph.source_socket(node)
        if source is None:
            continue
        for name in sorted(graph.upstream_names(source)):
            for line in _described(tree.nodes[name]):
                digest.update(line.encode())
    return digest.hexdigest()


def _described(node: bpy.types.Node) -> Iterator[str]:
    """What makes a node compute what it computes: settings, inputs and links, not its looks."""
    yield node.name
    for prop in node.bl_rna.properties:
        if prop.identifier in _LAYERED and not getattr(node, "has_layers", False):
            continue  # has no value there, and Blender complains about reading it
        if prop.identifier not in _LOOKS and prop.type in _PLAIN | {"POINTER"}:
            value = getattr(node, prop.identifier)
            if prop.type == "POINTER":
                value = getattr(value, "name_full", "")
            elif getattr(prop, "is_array", False):
                value = tuple(value)
            yield f"{prop.identifier}={value!r}"
    for socket in node.inputs:
        value = getattr(socket, "default_value", None)
        yield repr(tuple(value) if hasattr(value, "__len__") and value is not None else value)
        for link in socket.links:
            yield f"{link.from_node.name}.{link.from_socket.identifier}"


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
