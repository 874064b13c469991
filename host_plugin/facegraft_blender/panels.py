"""The FaceGraft tab in the compositor's sidebar; drawing only."""

from collections.abc import Iterator
from pathlib import Path

import bpy  # pyright: ignore[reportMissingImports]

from facegraft.errors import FacegraftError
from facegraft.merge.clip.params import SEAT_ROWS

from . import (
    bake,
    cache,
    checks,
    engine,
    keyframes,
    nodes,
    operators,
    passes,
    status,
    track,
    viewer,
)
from .faces import load_faces
from .props import IMAGE_INPUTS, SOCKET_ROWS
from .status import Outcome

_ICONS = {
    Outcome.SWAPPED: "CHECKMARK",
    Outcome.BAKED: "FILE_TICK",
    Outcome.NO_FACE: "INFO",
    Outcome.CANCELLED: "CANCEL",
    Outcome.ERROR: "ERROR",
}
_LABELS = {spec.row.name: spec.name.removeprefix("Face ") for spec in SOCKET_ROWS}
_LINE = 34  # characters of a message that fit the sidebar's usual width
_TRACKS_SHOWN = 12  # of the longest


class _Panel:
    """What the tab's panels share."""

    bl_category = "FaceGraft"
    bl_space_type = "NODE_EDITOR"
    bl_region_type = "UI"
    layout: bpy.types.UILayout

    def lines(self, text: str, icon: str = "BLANK1") -> None:
        """A text over several lines, the first with an icon."""
        for i, line in enumerate(_wrapped(text)):
            self.layout.label(text=line, icon="BLANK1" if i else icon)


class _NodePanel(_Panel):
    """One below the first, for the active FaceGraft node."""

    bl_parent_id = "FACEGRAFT_PT_node"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        node = context.active_node
        return node is not None and nodes.is_facegraft(node)


class FACEGRAFT_PT_node(_Panel, bpy.types.Panel):
    bl_idname = "FACEGRAFT_PT_node"
    bl_label = "FaceGraft"

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
        layout.prop(settings, "segmenter_path")
        layout.prop(settings, "enhancer_path")
        layout.prop(settings, "on_error")
        for text in checks.warnings(context.scene, node):
            self.lines(text, "ERROR")
        self._draw_status(status.last(node.node_tree))
        row = layout.row(align=True)
        row.operator(operators.FACEGRAFT_OT_refresh.bl_idname)
        row.operator(operators.FACEGRAFT_OT_restart_engine.bl_idname)
        layout.operator(operators.FACEGRAFT_OT_match_scene.bl_idname)

    def _draw_status(self, last: status.Status | None) -> None:
        if last is None:
            self.lines("Not run yet")
            return
        self.lines(f"Frame {last.frame}: {last.outcome.value}", _ICONS[last.outcome])
        self.lines(last.message)
        for note in last.notes:
            self.lines(note, "INFO")
        if last.ms:
            stages = ("upstream", "engine", "write")
            self.lines(", ".join(f"{s} {last.ms[s]:.0f} ms" for s in stages))
        reused = [name for name, was in last.cached.items() if was]
        if reused:
            self.lines("Reused: " + ", ".join(reused))


class FACEGRAFT_PT_faces(_NodePanel, bpy.types.Panel):
    """Which faces: where they are known from, and which of them are replaced."""

    bl_label = "Faces"

    def draw(self, context: bpy.types.Context) -> None:
        layout, settings = self.layout, context.active_node.node_tree.facegraft
        layout.operator(track.FACEGRAFT_OT_track_faces.bl_idname)
        layout.prop(settings, "faces_path")
        if settings.faces_path:
            layout.prop(settings, "faces_start")
        layout.prop(settings, "choice")
        if settings.choice.startswith("like") or settings.recognition_path:
            layout.prop(settings, "recognition_path")
            layout.prop(settings, "likeness")
        layout.operator(viewer.FACEGRAFT_OT_pick_face.bl_idname, icon="EYEDROPPER")
        layout.prop(settings, "show_faces")
        if settings.faces_path:
            self._draw_tracks(settings)
            layout.operator(passes.FACEGRAFT_OT_fit_steady.bl_idname)
            layout.prop(settings, "steady_path")

    def _draw_tracks(self, settings: bpy.types.PropertyGroup) -> None:
        try:
            tracks = load_faces(Path(bpy.path.abspath(settings.faces_path))).tracks()
        except FacegraftError as error:
            self.lines(str(error), "ERROR")
            return
        chosen = viewer.chosen_tracks(settings.choice)
        for one in tracks[:_TRACKS_SHOWN]:
            first, last = (settings.faces_start + index for index in (one.first, one.last))
            button = self.layout.operator(
                viewer.FACEGRAFT_OT_choose_track.bl_idname,
                text=f"Track {one.number}: {first}-{last}, {one.largest:.0f} px",
                icon="CHECKBOX_HLT" if one.number in chosen else "CHECKBOX_DEHLT",
            )
            button.track = one.number
        if len(tracks) > _TRACKS_SHOWN:
            self.lines(f"and {len(tracks) - _TRACKS_SHOWN} shorter ones")


class FACEGRAFT_PT_cast(_NodePanel, bpy.types.Panel):
    """Who plays whom, and what seats each model's faces."""

    bl_label = "Cast and Seat"

    def draw(self, context: bpy.types.Context) -> None:
        layout, settings = self.layout, context.active_node.node_tree.facegraft
        layout.operator(passes.FACEGRAFT_OT_seat_face.bl_idname)
        if settings.model_path:
            _draw_seat(layout, settings)
        for index, part in enumerate(settings.cast):
            box = layout.box()
            row = box.row()
            row.prop(part, "choice")
            removing = operators.FACEGRAFT_OT_remove_cast.bl_idname
            row.operator(removing, text="", icon="X").index = index
            box.prop(part, "model_path")
            _draw_seat(box, part)
        layout.operator(operators.FACEGRAFT_OT_add_cast.bl_idname, icon="ADD")


class FACEGRAFT_PT_output(_NodePanel, bpy.types.Panel):
    """Baked layers, and values to and from files."""

    bl_label = "Bake and Export"

    def draw(self, context: bpy.types.Context) -> None:
        layout, tree = self.layout, context.active_node.node_tree
        layout.prop(tree.facegraft, "source")
        layout.prop(tree.facegraft, "cache_path")
        layout.operator(bake.FACEGRAFT_OT_bake.bl_idname)
        if nodes.is_baked(tree):
            try:
                found = cache.load_bake(nodes.cache_folder(tree))
            except FacegraftError as error:
                self.lines(str(error), "ERROR")
            else:
                self.lines(f"Frames {found.first}-{found.first + found.count - 1}", "FILE_TICK")
        layout.operator(keyframes.FACEGRAFT_OT_export_keys.bl_idname)
        layout.operator(keyframes.FACEGRAFT_OT_import_keys.bl_idname)
        layout.operator_menu_enum(keyframes.FACEGRAFT_OT_load_preset.bl_idname, "preset")
        layout.operator(keyframes.FACEGRAFT_OT_save_preset.bl_idname)


class FACEGRAFT_PT_choices(_NodePanel, bpy.types.Panel):
    """Names of the numbers in the node's Integer sockets."""

    bl_label = "Choices"

    def draw(self, context: bpy.types.Context) -> None:
        sockets = context.active_node.inputs[IMAGE_INPUTS:]
        for spec, socket in zip(SOCKET_ROWS, sockets, strict=False):
            if spec.row.choices:
                name = str(spec.value_of(socket.default_value)).replace("_", " ")
                row = self.layout.row()
                row.prop(socket, "default_value", text=spec.name)
                row.label(text=name)


class FACEGRAFT_PT_model(_NodePanel, bpy.types.Panel):
    """What the model says of itself: framing, licence, consent."""

    bl_label = "Model"

    def draw(self, context: bpy.types.Context) -> None:
        path = bpy.path.abspath(context.active_node.node_tree.facegraft.model_path)
        self.layout.operator(operators.FACEGRAFT_OT_check_model.bl_idname)
        for label, value in engine.known_model(path):
            self.lines(f"{label}: {value}")


def _draw_seat(layout: bpy.types.UILayout, holder: bpy.types.PropertyGroup) -> None:
    for index, row in enumerate(SEAT_ROWS):
        layout.prop(holder, "seat", index=index, text=f"Seat: {_LABELS[row]}")


def _wrapped(text: str) -> Iterator[str]:
    """Lines of a message for the sidebar, broken between words."""
    line = ""
    for word in text.split():
        if line and len(line) + len(word) >= _LINE:
            yield line
            line = word
        else:
            line = f"{line} {word}".strip()
    if line:
        yield line


_CLASSES = (
    FACEGRAFT_PT_node,
    FACEGRAFT_PT_faces,
    FACEGRAFT_PT_cast,
    FACEGRAFT_PT_output,
    FACEGRAFT_PT_choices,
    FACEGRAFT_PT_model,
)


def register() -> None:
    for cls in _CLASSES:
        bpy.utils.register_class(cls)


def unregister() -> None:
    for cls in reversed(_CLASSES):
        bpy.utils.unregister_class(cls)
