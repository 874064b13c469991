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
from .jobs import NodeOperator
from .props import IMAGE_INPUTS, SOCKET_ROWS

# Blender reads property definitions from annotations
# pyright: reportInvalidTypeForm=false


class FACEGRAFT_OT_export_keys(NodeOperator, ExportHelper, bpy.types.Operator):
    bl_idname = "facegraft.export_keys"
    bl_label = "Export Keyframes"
    bl_description = (
        "Write this node's values and keyframes as JSON for `facegraft merge --params`, which then "
        "renders the same pixels without Blender"
    )

    filename_ext = ".json"
    filter_glob: bpy.props.StringProperty(default="*.json", options={"HIDDEN"})

    def work(self, context: bpy.types.Context, node: bpy.types.Node) -> str:
        path = Path(bpy.path.abspath(self.filepath))
        part = path.with_name(path.name + ".part")
        values = curves.animation_json(context.scene, node)
        part.write_text(json.dumps(values, indent=1), encoding="utf-8")
        os.replace(part, path)
        return f"wrote {path}; frame 0 is scene frame {_start(node)}"


class FACEGRAFT_OT_import_keys(NodeOperator, ImportHelper, bpy.types.Operator):
    bl_idname = "facegraft.import_keys"
    bl_label = "Import Values"
    bl_description = (
        "Set this node's values from a JSON file of merge parameters; keys in it become keyframes"
    )
    bl_options = {"REGISTER", "UNDO"}

    filename_ext = ".json"
    filter_glob: bpy.props.StringProperty(default="*.json", options={"HIDDEN"})

    def work(self, context: bpy.types.Context, node: bpy.types.Node) -> str:
        path = Path(bpy.path.abspath(self.filepath))
        animation = load_animation(path)
        _apply(node, animation, json.loads(path.read_text(encoding="utf-8"))["params"])
        return ""


class FACEGRAFT_OT_load_preset(NodeOperator, bpy.types.Operator):
    bl_idname = "facegraft.load_preset"
    bl_label = "Load Preset"
    bl_description = "Set this node's values to a preset's; what it does not name goes to default"
    bl_options = {"REGISTER", "UNDO"}

    preset: bpy.props.EnumProperty(name="Preset", items=lambda _self, _context: _preset_items())

    def work(self, context: bpy.types.Context, node: bpy.types.Node) -> str:
        values = {**plain_values(MergeParams()), **load_preset(self.preset).values}
        _apply(node, Animation.constant(parse_values(MergeParams, values)), values)
        return ""


class FACEGRAFT_OT_save_preset(NodeOperator, bpy.types.Operator):
    bl_idname = "facegraft.save_preset"
    bl_label = "Save Preset"
    bl_description = "Keep this node's values of this frame under a name, also for the command line"

    name: bpy.props.StringProperty(name="Name")
    about: bpy.props.StringProperty(name="About")

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        return context.window_manager.invoke_props_dialog(self)

    def work(self, context: bpy.types.Context, node: bpy.types.Node) -> str:
        values = curves.values_now(context.scene, node.name)
        defaults = plain_values(MergeParams())
        kept = {row: value for row, value in values.items() if value != defaults[row]}
        save_preset(self.name, kept, self.about)
        return ""


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
