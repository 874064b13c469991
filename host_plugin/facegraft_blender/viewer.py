"""Faces drawn over the viewer's picture, and chosen by clicking on them.

Both work in the compositor's backdrop and in an image editor that shows the Viewer Node.
"""

from collections.abc import Callable
from typing import Any

import blf  # pyright: ignore[reportMissingImports]
import bpy  # pyright: ignore[reportMissingImports]
import gpu  # pyright: ignore[reportMissingImports]
from gpu_extras.batch import batch_for_shader  # pyright: ignore[reportMissingImports]

from . import compat, graph, status
from .faces import face_under
from .geometry import Shown, backdrop, centred
from .jobs import NodeOperator, active_node, edited_node
from .status import Status

_VIEWER = "Viewer Node"  # Blender's name of the image
_COLORS = ((0.2, 0.9, 0.4, 1), (1, 0.6, 0.1, 1), (0.3, 0.6, 1, 1), (1, 0.3, 0.6, 1))  # by track
_LEFT_OUT = (0.6, 0.6, 0.6, 0.8)  # faces that the node's choice leaves as they are
_POINT_PX = 3.0
_TEXT_PX = 14
_handles: list[tuple[type, Any]] = []


def shown_in(context: bpy.types.Context) -> Shown | None:
    """Where the viewer's picture lies in the context's region, None where it is not shown."""
    space, region = context.space_data, context.region
    image = bpy.data.images.get(_VIEWER)
    if image is None or space is None or region is None or 0 in image.size:
        return None
    size = (image.size[0], image.size[1])
    if space.type == "NODE_EDITOR":
        if not space.show_backdrop or space.tree_type != "CompositorNodeTree":
            return None
        offset = (space.backdrop_offset[0], space.backdrop_offset[1])
        return backdrop((region.width, region.height), size, space.backdrop_zoom, offset)
    if space.type == "IMAGE_EDITOR" and space.image == image:
        left, bottom = region.view2d.view_to_region(0, 0, clip=False)
        right, _ = region.view2d.view_to_region(1, 0, clip=False)
        return Shown(left, bottom, (right - left) / size[0], size)
    return None


def _last(scene: bpy.types.Scene, node: bpy.types.Node) -> Status | None:
    """What is known of the node's faces at the scene's frame."""
    last = status.last(node.node_tree)
    return last if last is not None and last.frame == scene.frame_current else None


class FACEGRAFT_OT_pick_face(bpy.types.Operator):
    bl_idname = "facegraft.pick_face"
    bl_label = "Pick Face"
    bl_description = "Click on a face in the backdrop or the viewer: only that one is replaced"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return active_node(context) is not None

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        if shown_in(context) is None:
            self.report({"ERROR"}, "no viewer picture is shown here; add a Viewer node")
            return {"CANCELLED"}
        context.window.cursor_modal_set("EYEDROPPER")
        context.window_manager.modal_handler_add(self)
        return {"RUNNING_MODAL"}

    def modal(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        if event.type in ("ESC", "RIGHTMOUSE"):
            context.window.cursor_modal_restore()
            return {"CANCELLED"}
        if event.type != "LEFTMOUSE" or event.value != "PRESS":
            return {"RUNNING_MODAL"}
        context.window.cursor_modal_restore()
        region = context.region
        shown, node = shown_in(context), active_node(context)
        if shown is None or node is None:
            return {"CANCELLED"}
        place = shown.to_picture(event.mouse_x - region.x, event.mouse_y - region.y)
        last = _last(context.scene, node)
        choice = choice_at(last, place, shown.size)
        if choice is None:
            self.report({"WARNING"}, "no face is known there at this frame")
            return {"CANCELLED"}
        node.node_tree.facegraft.choice = choice
        self.report({"INFO"}, f"the node replaces {choice}")
        return {"FINISHED"}


def choice_at(
    last: Status | None, place: tuple[float, float], shown: tuple[int, int]
) -> str | None:
    """The choice that means the face at a place of a picture `shown` px large.

    By track where it has one, else by its place. None where no face is there.
    """
    if last is None:
        return None
    x, y = centred(place, shown, last.size)
    face = face_under(last.faces, x, y)
    if face is None:
        return None
    if face["track"] is not None:
        return f"track:{face['track']}"
    xs, ys = ([p[axis] for p in face["landmarks"]] for axis in (0, 1))
    width, height = last.size
    middle = ((min(xs) + max(xs)) / 2 / width, (min(ys) + max(ys)) / 2 / height)
    return "near:" + ",".join(f"{min(max(v, 0), 1):.3f}" for v in middle)


class FACEGRAFT_OT_choose_track(NodeOperator, bpy.types.Operator):
    bl_idname = "facegraft.choose_track"
    bl_label = "Only This Face"
    bl_description = "Replace the face of this track alone; with Shift add it to, or take it from, "
    bl_description += "those that are replaced"
    bl_options = {"REGISTER", "UNDO"}

    # Blender reads property definitions from annotations
    track: bpy.props.IntProperty()  # pyright: ignore[reportInvalidTypeForm]
    extend: bpy.props.BoolProperty()  # pyright: ignore[reportInvalidTypeForm]

    node_of = staticmethod(edited_node)

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        self.extend = event.shift
        return self.execute(context)

    def work(self, context: bpy.types.Context, node: bpy.types.Node) -> str:
        settings = node.node_tree.facegraft
        chosen = chosen_tracks(settings.choice) if self.extend else set()
        chosen ^= {self.track}
        numbers = ",".join(map(str, sorted(chosen)))
        settings.choice = f"track:{numbers}" if chosen else "all"
        return ""


def chosen_tracks(choice: str) -> set[int]:
    """The numbers of a choice by track, empty for another one."""
    kind, _, numbers = choice.partition(":")
    if kind.strip() != "track":
        return set()
    return {int(n) for n in numbers.split(",") if n.strip().isdigit()}


def _draw() -> None:
    """Draw the faces of every node that asks for it, in the region Blender is drawing."""
    context = bpy.context
    shown = shown_in(context)
    tree = compat.compositor_tree(context.scene)
    if shown is None or tree is None:
        return
    for node in graph.active_nodes(tree):
        last = _last(context.scene, node)
        if node.node_tree.facegraft.show_faces and last is not None:
            for face in last.faces:
                _draw_face(face, lambda x, y, s=last.size: _placed(shown, x, y, s))


def _placed(shown: Shown, x: float, y: float, size: tuple[int, int]) -> tuple[float, float]:
    return shown.to_region(*centred((x, y), size, shown.size))


def _draw_face(face: Any, place: Callable[[float, float], tuple[float, float]]) -> None:
    track = face["track"]
    color = _COLORS[(track or 0) % len(_COLORS)] if face["chosen"] else _LEFT_OUT
    points = [place(x, y) for x, y in face["landmarks"]]
    shader = gpu.shader.from_builtin("UNIFORM_COLOR")
    gpu.state.point_size_set(_POINT_PX)
    shader.uniform_float("color", color)
    batch_for_shader(shader, "POINTS", {"pos": [(x, y, 0.0) for x, y in points]}).draw(shader)
    blf.size(0, _TEXT_PX)
    blf.color(0, *color)
    blf.position(0, min(x for x, _ in points), max(y for _, y in points) + _TEXT_PX / 2, 0)
    number = "face" if track is None else f"track {track}"
    blf.draw(0, f"{number}  {face['score']:.0%}{'  held' * face['held']}")


CLASSES = (FACEGRAFT_OT_pick_face, FACEGRAFT_OT_choose_track)


def register() -> None:
    for space in (bpy.types.SpaceNodeEditor, bpy.types.SpaceImageEditor):
        _handles.append((space, space.draw_handler_add(_draw, (), "WINDOW", "POST_PIXEL")))


def unregister() -> None:
    while _handles:
        space, handle = _handles.pop()
        space.draw_handler_remove(handle, "WINDOW")
