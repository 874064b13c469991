"""The FaceGraft tab in the compositor's sidebar; drawing only."""

import bpy  # pyright: ignore[reportMissingImports]

from facegraft.errors import FacegraftError

from . import compat, engine, graph, nodes, operators, status
from .props import IMAGE_INPUTS, SOCKET_ROWS
from .status import Outcome

_ICONS = {
    Outcome.SWAPPED: "CHECKMARK",
    Outcome.NO_FACE: "INFO",
    Outcome.CANCELLED: "CANCEL",
    Outcome.ERROR: "ERROR",
}
_LINE = 40  # characters of a message that fit the sidebar's usual width


class FACEGRAFT_PT_node(bpy.types.Panel):
    bl_idname = "FACEGRAFT_PT_node"
    bl_label = "FaceGraft"
    bl_category = "FaceGraft"
    bl_space_type = "NODE_EDITOR"
    bl_region_type = "UI"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return getattr(context.space_data, "tree_type", "") == "CompositorNodeTree"

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        node = context.active_node
        if node is None or not nodes.is_facegraft(node):
            layout.operator(operators.FACEGRAFT_OT_add_node.bl_idname, text="Add FaceGraft Node")
            return
        settings = node.node_tree.facegraft
        layout.prop(settings, "model_path")
        layout.prop(settings, "faces_path")
        if settings.faces_path:
            layout.prop(settings, "faces_start")
        layout.prop(settings, "on_error")
        self._draw_warnings(context, node)
        self._draw_status(node)
        row = layout.row(align=True)
        row.operator(operators.FACEGRAFT_OT_refresh.bl_idname)
        row.operator(operators.FACEGRAFT_OT_restart_engine.bl_idname)
        layout.operator(operators.FACEGRAFT_OT_match_frame_rate.bl_idname)

    def _draw_status(self, node: bpy.types.Node) -> None:
        box = self.layout.box()
        last = status.last(node.node_tree)
        if last is None:
            box.label(text="Not run yet", icon="BLANK1")
            return
        box.label(text=f"Frame {last.frame}: {last.outcome.value}", icon=_ICONS[last.outcome])
        for line in _wrapped(last.message):
            box.label(text=line)
        if last.ms:
            box.label(text=f"{last.face_count} faces")
            stages = ("upstream", "engine", "write")
            box.label(text=", ".join(f"{s} {last.ms[s]:.0f} ms" for s in stages))
            reused = [name for name, was in last.cached.items() if was]
            if reused:
                box.label(text="Reused: " + ", ".join(reused))

    def _draw_warnings(self, context: bpy.types.Context, node: bpy.types.Node) -> None:
        scene = context.scene
        try:
            graph.row_values(node)
        except FacegraftError as error:
            self._warn(str(error))
        if compat.working_space() != compat.REC709:
            self._warn(f"The working space is not {compat.REC709}: no face is made")
        if scene.view_settings.view_transform != "Standard":
            self._warn("The view transform is not Standard: footage changes its look")
        clip = graph.clip_of(node)
        scene_rate = scene.render.fps / scene.render.fps_base
        # an Image data-block does not tell its rate, so only Movie Clip nodes are compared
        rate = getattr(clip, "fps", scene_rate)
        if abs(rate - scene_rate) > 0.001:  # 29.97 and 30 differ by 0.03
            self._warn(f"The clip has {rate:g} frames a second, the scene {scene_rate:g}")
        if compat.sequencer_renders(scene):
            self._warn("The sequencer has a picture strip: renders skip the compositor")

    def _warn(self, text: str) -> None:
        for i, line in enumerate(_wrapped(text)):
            self.layout.label(text=line, icon="BLANK1" if i else "ERROR")


class FACEGRAFT_PT_choices(bpy.types.Panel):
    """Names of the numbers in the node's Integer sockets."""

    bl_label = "Choices"
    bl_parent_id = FACEGRAFT_PT_node.bl_idname
    bl_category = "FaceGraft"
    bl_space_type = "NODE_EDITOR"
    bl_region_type = "UI"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        node = context.active_node
        return node is not None and nodes.is_facegraft(node)

    def draw(self, context: bpy.types.Context) -> None:
        sockets = context.active_node.inputs[IMAGE_INPUTS:]
        for spec, socket in zip(SOCKET_ROWS, sockets, strict=False):
            if spec.row.choices:
                name = str(spec.value_of(socket.default_value)).replace("_", " ")
                row = self.layout.row()
                row.prop(socket, "default_value", text=spec.name)
                row.label(text=name)


class FACEGRAFT_PT_model(bpy.types.Panel):
    """What the model says of itself: framing, licence, consent."""

    bl_label = "Model"
    bl_parent_id = FACEGRAFT_PT_node.bl_idname
    bl_category = "FaceGraft"
    bl_space_type = "NODE_EDITOR"
    bl_region_type = "UI"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return FACEGRAFT_PT_choices.poll(context)

    def draw(self, context: bpy.types.Context) -> None:
        path = bpy.path.abspath(context.active_node.node_tree.facegraft.model_path)
        self.layout.operator(operators.FACEGRAFT_OT_check_model.bl_idname)
        for label, value in engine.known_model(path):
            for line in _wrapped(f"{label}: {value}"):
                self.layout.label(text=line)


def _wrapped(text: str) -> list[str]:
    """Lines of a message for the sidebar, broken between words."""
    lines: list[str] = []
    for word in text.split():
        if lines and len(lines[-1]) + len(word) < _LINE:
            lines[-1] += " " + word
        else:
            lines.append(word)
    return lines


_CLASSES = (FACEGRAFT_PT_node, FACEGRAFT_PT_choices, FACEGRAFT_PT_model)


def register() -> None:
    for cls in _CLASSES:
        bpy.utils.register_class(cls)


def unregister() -> None:
    for cls in reversed(_CLASSES):
        bpy.utils.unregister_class(cls)
