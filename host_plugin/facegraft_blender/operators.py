"""What the user can do beside setting values: add a node, refresh, restart, match the scene.

The longer ones have files of their own: bake, track, passes, keyframes, viewer.
"""

from fractions import Fraction

import bpy  # pyright: ignore[reportMissingImports]

from facegraft.errors import ParameterError

from . import (
    bake,
    checks,
    compat,
    engine,
    graph,
    keyframes,
    nodes,
    passes,
    preview,
    track,
    viewer,
)
from .jobs import NodeOperator, edited_node


class FACEGRAFT_OT_add_node(bpy.types.Operator):
    bl_idname = "facegraft.add_node"
    bl_label = "FaceGraft"
    bl_description = "Add a node that replaces the face in the picture that enters it"
    bl_options = {"REGISTER", "UNDO"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        tree = compat.ensure_compositor_tree(context.scene)
        for other in tree.nodes:
            other.select = False
        node = nodes.add_node(tree)
        space = context.space_data
        if space is not None and space.type == "NODE_EDITOR":
            node.location = space.cursor_location
        return {"FINISHED"}


class FACEGRAFT_OT_check_model(NodeOperator, bpy.types.Operator):
    bl_idname = "facegraft.check_model"
    bl_label = "Read Model"
    bl_description = "Load the model and show what it says of itself"

    node_of = staticmethod(edited_node)

    def work(self, context: bpy.types.Context, node: bpy.types.Node) -> str:
        engine.describe_model(bpy.path.abspath(node.node_tree.facegraft.model_path))
        return ""


class FACEGRAFT_OT_refresh(bpy.types.Operator):
    bl_idname = "facegraft.refresh"
    bl_label = "Refresh"
    bl_description = "Make the face of this frame anew, for example after a change in the 3D scene"

    def execute(self, _context: bpy.types.Context) -> set[str]:
        preview.request(forced=True)
        return {"FINISHED"}


class FACEGRAFT_OT_restart_engine(bpy.types.Operator):
    bl_idname = "facegraft.restart_engine"
    bl_label = "Restart Engine"
    bl_description = "End the engine process; the next frame starts a new one"

    def execute(self, _context: bpy.types.Context) -> set[str]:
        engine.stop()
        preview.request(forced=True)
        return {"FINISHED"}


class FACEGRAFT_OT_match_scene(NodeOperator, bpy.types.Operator):
    bl_idname = "facegraft.match_scene"
    bl_label = "Match Scene to Clip"
    bl_description = (
        "Give the scene the clip's frame rate, size and length, and the Standard view transform. "
        "Blender plays one clip frame per scene frame, and sound by time, so at another rate they "
        "drift apart"
    )
    bl_options = {"REGISTER", "UNDO"}

    def work(self, context: bpy.types.Context, node: bpy.types.Node) -> str:
        scene, clip = context.scene, graph.clip_of(node)
        if clip is None or 0 in clip.size:
            raise ParameterError("no readable clip enters the active FaceGraft node")
        scene.render.resolution_x, scene.render.resolution_y = clip.size
        scene.render.resolution_percentage = 100
        scene.view_settings.view_transform = "Standard"
        first, count = graph.clip_range(node, clip)
        scene.frame_start, scene.frame_end = first, first + max(count, 1) - 1
        node.node_tree.facegraft.faces_start = first
        rate = checks.read_rate(clip)
        if rate <= 0:  # a sequence of images has none
            return f"{clip.name} states no frame rate; the scene keeps its own"
        # fps is whole and fps_base divides it: 29.97 is 30 over 1.001
        whole = max(1, round(rate))
        scene.render.fps = whole
        scene.render.fps_base = float(Fraction(whole) / Fraction(rate))
        return ""


class FACEGRAFT_OT_add_cast(NodeOperator, bpy.types.Operator):
    bl_idname = "facegraft.add_cast"
    bl_label = "Add Model"
    bl_description = "Let another model play some of the faces"
    bl_options = {"REGISTER", "UNDO"}

    node_of = staticmethod(edited_node)

    def work(self, context: bpy.types.Context, node: bpy.types.Node) -> str:
        part = node.node_tree.facegraft.cast.add()
        part.choice = f"left:{len(node.node_tree.facegraft.cast)}"
        return ""


class FACEGRAFT_OT_remove_cast(NodeOperator, bpy.types.Operator):
    bl_idname = "facegraft.remove_cast"
    bl_label = "Remove"
    bl_description = "Take this model out of the cast"
    bl_options = {"REGISTER", "UNDO"}

    # Blender reads property definitions from annotations
    index: bpy.props.IntProperty()  # pyright: ignore[reportInvalidTypeForm]

    node_of = staticmethod(edited_node)

    def work(self, context: bpy.types.Context, node: bpy.types.Node) -> str:
        node.node_tree.facegraft.cast.remove(self.index)
        preview.request()
        return ""


_CLASSES = (
    FACEGRAFT_OT_add_node,
    FACEGRAFT_OT_check_model,
    FACEGRAFT_OT_refresh,
    FACEGRAFT_OT_restart_engine,
    FACEGRAFT_OT_match_scene,
    FACEGRAFT_OT_add_cast,
    FACEGRAFT_OT_remove_cast,
    track.FACEGRAFT_OT_track_faces,
    passes.FACEGRAFT_OT_fit_steady,
    passes.FACEGRAFT_OT_seat_face,
    bake.FACEGRAFT_OT_bake,
    viewer.FACEGRAFT_OT_pick_face,
    viewer.FACEGRAFT_OT_choose_track,
    keyframes.FACEGRAFT_OT_export_keys,
    keyframes.FACEGRAFT_OT_import_keys,
    keyframes.FACEGRAFT_OT_load_preset,
    keyframes.FACEGRAFT_OT_save_preset,
)


def _draw_add(menu: bpy.types.Menu, context: bpy.types.Context) -> None:
    if getattr(context.space_data, "tree_type", "") == "CompositorNodeTree":
        menu.layout.separator()
        menu.layout.operator(FACEGRAFT_OT_add_node.bl_idname, icon="USER")


def register() -> None:
    for cls in _CLASSES:
        bpy.utils.register_class(cls)
    bpy.types.NODE_MT_add.append(_draw_add)


def unregister() -> None:
    bpy.types.NODE_MT_add.remove(_draw_add)
    for cls in reversed(_CLASSES):
        bpy.utils.unregister_class(cls)
