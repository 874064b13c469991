"""When layers are made: before every frame of a render, and after loading a file or undo.

`render_init` builds what a render needs, `render_pre` fills the layers of one frame before Blender
composites it, `render_complete` and `render_cancel` clean up. Blender prints an exception in a
handler and renders on with exit code 0, so failing on purpose means ending the process.
"""

import logging
import os
import sys

import bpy  # pyright: ignore[reportMissingImports]
from bpy.app.handlers import persistent  # pyright: ignore[reportMissingImports]

from . import checks, compat, engine, graph, helper, nodes, preview, status
from .places import bare_modifiers, compositor_runs
from .status import Outcome, Status
from .swap import SceneSwap, swaps_of, wanted

_log = logging.getLogger(__name__)

_BARE = (
    "the modifier of the strip {!r} uses a FaceGraft node's own group, in which nothing says the "
    "node's values; put the node into a compositor group and choose that one, or bake"
)
EXIT_FAILED = 3  # 1 is Blender's own for bad arguments, 2 the shell's for bad usage
_renders: dict[int, list[SceneSwap]] = {}  # by the scene's session id; a scene strip renders inside


@persistent
def on_render_init(scene: bpy.types.Scene, *_: object) -> None:
    if SceneSwap.nested:
        return
    _finish(scene)
    swaps = swaps_of(scene)
    if swaps:
        _renders[scene.session_uid] = swaps
    if wanted(scene):
        _warn(scene)
    for strip, bare in bare_modifiers(scene):
        if not nodes.is_baked(bare):
            _finish_frame(bare, Status(scene.frame_current, Outcome.ERROR, _BARE.format(strip)))
    tree = compat.compositor_tree(scene)
    if tree is None or not compositor_runs(scene):
        return
    for group, buried in graph.buried_nodes(tree):
        text = f"the node inside the group {group!r} is not run; move it to the top level"
        _finish_frame(buried, Status(scene.frame_current, Outcome.ERROR, text))


@persistent
def on_render_pre(scene: bpy.types.Scene, *_: object) -> None:
    if SceneSwap.nested:
        return
    for swap in _renders.get(scene.session_uid, ()):
        for tree, result in swap.frame():
            _finish_frame(tree, result)


@persistent
def on_render_end(scene: bpy.types.Scene, *_: object) -> None:
    if not SceneSwap.nested:
        _finish(scene)


@persistent
def on_load(*_: object) -> None:
    """Layers are not saved, and an undo may bring back an empty one."""
    status.forget()
    helper.remove_leftovers()
    on_restored()


@persistent
def on_restored(*_: object) -> None:
    for tree in bpy.data.node_groups:
        if nodes.MARK in tree:
            nodes.ensure_layer(tree)
    preview.request()


def _warn(scene: bpy.types.Scene) -> None:
    """What would make this render look wrong, into the log."""
    tree = compat.compositor_tree(scene)
    assert tree is not None  # wanted
    checks.read_rates(scene)
    for node in graph.active_nodes(tree):
        for text in checks.warnings(scene, node):
            _log.warning("FaceGraft: %s: %s", node.name, text)


def _finish_frame(tree: bpy.types.NodeTree, result: Status) -> None:
    status.report(tree, result)
    if _stops(tree.facegraft.on_error, result):
        _stop(result)


def _stops(on_error: str, result: Status) -> bool:
    if result.outcome is Outcome.ERROR:
        return on_error in ("FAIL", "STRICT")
    return result.outcome is Outcome.NO_FACE and on_error == "STRICT"


def _stop(result: Status) -> None:
    """End a background render; in the interface, where that would end the session, show it."""
    if not bpy.app.background:
        preview.show_error(f"Frame {result.frame}: {result.message}")
        return
    _log.error("FaceGraft: frame %d: the render stops, as the node asks for", result.frame)
    finish_all()
    engine.stop()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(EXIT_FAILED)  # sys.exit would leave from inside Blender's render loop


def _finish(scene: bpy.types.Scene) -> None:
    for swap in _renders.pop(scene.session_uid, ()):
        swap.close()


def finish_all() -> None:
    while _renders:
        for swap in _renders.popitem()[1]:
            swap.close()


_HANDLERS = (
    ("render_init", on_render_init),
    ("render_pre", on_render_pre),
    ("render_complete", on_render_end),
    ("render_cancel", on_render_end),
    ("load_post", on_load),
    ("undo_post", on_restored),
    ("redo_post", on_restored),
)


def register() -> None:
    for name, function in _HANDLERS:
        getattr(bpy.app.handlers, name).append(function)


def unregister() -> None:
    for name, function in _HANDLERS:
        getattr(bpy.app.handlers, name).remove(function)
    finish_all()
