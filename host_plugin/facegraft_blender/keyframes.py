"""Values of a node to and from files: keyframes for the command line, presets into the sockets."""

import json
import os
from collections.abc import Iterable
from pathlib import Path

import bpy  # pyright: ignore[reportMissingImports]
from bpy_extras.io_utils import ExportHelper, ImportHelper  # pyright: ignore[reportMissingImports]

from facegraft.controls import parse_values, plain_values
from facegraft.errors import FacegraftError
from facegraft.merge.animation import Animation, load_animation
from facegraft.merge.params import MergeParams
from facegraft.merge.presets import load_preset, preset_names, save_preset

from . import compat, curves
from .jobs import active_node
from .props import IMAGE_INPUTS, SOCKET_ROWS

# Blender reads property definitions from annotations
# pyright: reportInvalidTypeForm=false


class FACEGRAFT_OT_export_keys(ExportHelper, bpy.types.Operator):
    bl_idname = "facegraft.export_keys"
    bl_label = "Export Keyframes"
    bl_description = (
        "Write this node's values and keyframes as JSON for `facegraft merge --params`, which then "
        "renders the same pixels without Blender"
    )

    filename_ext = ".json"
    filter_glob: bpy.props.StringProperty(default="*.json", options={"HIDDEN"})

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return active_node(context) is not None

    def execute(self, context: bpy.types.Context) -> set[str]:
        node = active_node(context)
        assert node is not None  # poll
        path = Path(bpy.path.abspath(self.filepath))
        part = path.with_name(path.name + ".part")
        try:
            values = curves.animation_json(context.scene, node)
            part.write_text(json.dumps(values, indent=1), encoding="utf-8")
            os.replace(part, path)
        except (FacegraftError, OSError) as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        self.report({"INFO"}, f"wrote {path}; frame 0 is scene frame {_start(node)}")
        return {"FINISHED"}


class FACEGRAFT_OT_import_keys(ImportHelper, bpy.types.Operator):
    bl_idname = "facegraft.import_keys"
    bl_label = "Import Values"
    bl_description = (
        "Set this node's values from a JSON file of merge parameters; keys in it become keyframes"
    )
    bl_options = {"REGISTER", "UNDO"}

    filename_ext = ".json"
    filter_glob: bpy.props.StringProperty(default="*.json", options={"HIDDEN"})

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return active_node(context) is not None

    def execute(self, context: bpy.types.Context) -> set[str]:
        node = active_node(context)
        assert node is not None  # poll
        path = Path(bpy.path.abspath(self.filepath))
        try:
            animation = load_animation(path)
            named = json.loads(path.read_text(encoding="utf-8"))["params"]
        except FacegraftError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        _apply(node, animation, named)
        return {"FINISHED"}


class FACEGRAFT_OT_load_preset(bpy.types.Operator):
    bl_idname = "facegraft.load_preset"
    bl_label = "Load Preset"
    bl_description = "Set this node's values to a preset's; what it does not name goes to default"
    bl_options = {"REGISTER", "UNDO"}

    preset: bpy.props.EnumProperty(name="Preset", items=lambda _self, _context: _preset_items())

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return active_node(context) is not None

    def execute(self, context: bpy.types.Context) -> set[str]:
        node = active_node(context)
        assert node is not None  # poll
        try:
            preset = load_preset(self.preset)
        except FacegraftError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        values = {**plain_values(MergeParams()), **preset.values}
        _apply(node, Animation.constant(parse_values(MergeParams, values)), values)
        return {"FINISHED"}


class FACEGRAFT_OT_save_preset(bpy.types.Operator):
    bl_idname = "facegraft.save_preset"
    bl_label = "Save Preset"
    bl_description = "Keep this node's values of this frame under a name, also for the command line"

    name: bpy.props.StringProperty(name="Name")
    about: bpy.props.StringProperty(name="About")

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return active_node(context) is not None

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        return context.window_manager.invoke_props_dialog(self)

    def execute(self, context: bpy.types.Context) -> set[str]:
        node = active_node(context)
        assert node is not None  # poll
        try:
            values = curves.values_now(context.scene, node.name)
            defaults = plain_values(MergeParams())
            kept = {row: value for row, value in values.items() if value != defaults[row]}
            save_preset(self.name, kept, self.about)
        except FacegraftError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        return {"FINISHED"}


_items: list[tuple[str, str, str]] = []  # Blender keeps no reference to what a callback gives


def _preset_items() -> list[tuple[str, str, str]]:
    _items[:] = []
    for name in preset_names():
        try:
            about = load_preset(name).about
        except FacegraftError as error:
            about = str(error)
        _items.append((name, name.replace("-", " "), about))
    return _items


def _apply(node: bpy.types.Node, animation: Animation, named: Iterable[str]) -> None:
    """Set the named rows, constant or keyed, in place of the keyframes they have."""
    for i, spec in enumerate(SOCKET_ROWS):
        if spec.row.name not in named:
            continue
        socket = node.inputs[IMAGE_INPUTS + i]
        curve = curves.curve_of(node.id_data, socket)
        if curve is not None:
            compat.remove_fcurve(node.id_data, curve)
        keys = animation.curves.get(spec.row.name)
        if keys is None:
            socket.default_value = spec.socket_value(getattr(animation.constants, spec.row.name))
        else:
            curves.set_keys(node, socket, spec, keys, _start(node))


def _start(node: bpy.types.Node) -> int:
    return node.node_tree.facegraft.faces_start
