"""Where Blender 4.5 and 5.x differ, all of it. 5.0 is tested; 4.5 is best effort."""

from typing import Any

import bpy  # pyright: ignore[reportMissingImports]
from bpy_extras.anim_utils import (  # pyright: ignore[reportMissingImports]
    action_get_channelbag_for_slot,
)

COMPOSITOR_IS_GROUP = bpy.app.version >= (5, 0, 0)  # before, each scene embedded its own tree
MATH_NODE = "ShaderNodeMath" if COMPOSITOR_IS_GROUP else "CompositorNodeMath"
# of properties that hold paths; without it 5.x shows "//" in red
PATH_OPTIONS = {"PATH_SUPPORTS_BLEND_RELATIVE"} if bpy.app.version >= (5, 0, 0) else set()
VALUE_NODES = ("ShaderNodeValue", "CompositorNodeValue")
OUTPUT_NODE = "NodeGroupOutput" if COMPOSITOR_IS_GROUP else "CompositorNodeComposite"


def compositor_tree(scene: bpy.types.Scene) -> bpy.types.NodeTree | None:
    """The tree the scene's compositor runs, None where it has none."""
    if COMPOSITOR_IS_GROUP:
        return scene.compositing_node_group
    return scene.node_tree if scene.use_nodes else None


def ensure_compositor_tree(scene: bpy.types.Scene) -> bpy.types.NodeTree:
    """The scene's tree; a new one with an output node where it has none."""
    tree = compositor_tree(scene)
    if tree is not None:
        return tree
    if not COMPOSITOR_IS_GROUP:
        scene.use_nodes = True
        return scene.node_tree
    tree = bpy.data.node_groups.new("Compositor", "CompositorNodeTree")
    tree.interface.new_socket("Image", in_out="OUTPUT", socket_type="NodeSocketColor")
    tree.nodes.new(OUTPUT_NODE)
    scene.compositing_node_group = tree
    return tree


def copy_tree(helper: bpy.types.Scene) -> bpy.types.NodeTree:
    """A tree that only `helper`, a scene just copied, uses. A 4.5 tree came with the copy."""
    if not COMPOSITOR_IS_GROUP:
        return helper.node_tree
    helper.compositing_node_group = helper.compositing_node_group.copy()
    return helper.compositing_node_group


def drop_tree(tree: bpy.types.NodeTree) -> None:
    """Remove a tree made by `copy_tree`, after its scene."""
    if COMPOSITOR_IS_GROUP:
        bpy.data.node_groups.remove(tree)


def evaluated_tree(scene: bpy.types.Scene) -> bpy.types.NodeTree:
    """The scene's tree with F-curves and drivers applied at the scene's current frame."""
    layer = scene.view_layers[0]
    # keys set since the last change of frame count as well
    (scene.compositing_node_group if COMPOSITOR_IS_GROUP else scene).update_tag(refresh={"TIME"})
    layer.update()
    depsgraph = layer.depsgraph
    if COMPOSITOR_IS_GROUP:
        return scene.compositing_node_group.evaluated_get(depsgraph)
    return scene.evaluated_get(depsgraph).node_tree


def evaluated_group(scene: bpy.types.Scene, tree: bpy.types.NodeTree) -> bpy.types.NodeTree:
    """The same of a group that a strip of the scene uses; Blender 5.0 and later."""
    tree.update_tag(refresh={"TIME"})
    layer = scene.view_layers[0]
    layer.update()
    return tree.evaluated_get(layer.depsgraph)


def fcurves_of(tree: bpy.types.NodeTree) -> list[bpy.types.FCurve]:
    """F-curves of the tree's own action, of its slot alone."""
    data = tree.animation_data
    if data is None or data.action is None or data.action_slot is None:
        return []
    bag = action_get_channelbag_for_slot(data.action, data.action_slot)
    return list(bag.fcurves) if bag is not None else []


def remove_fcurve(tree: bpy.types.NodeTree, curve: bpy.types.FCurve) -> None:
    """Remove one of `fcurves_of`."""
    data = tree.animation_data
    action_get_channelbag_for_slot(data.action, data.action_slot).fcurves.remove(curve)


def output_socket(tree: bpy.types.NodeTree) -> bpy.types.NodeSocket:
    """The socket whose picture is the tree's render; made where the tree has none."""
    outputs = [node for node in tree.nodes if node.bl_idname == OUTPUT_NODE]
    active = [n for n in outputs if not COMPOSITOR_IS_GROUP or n.is_active_output]
    node = (active or outputs or [None])[0] or tree.nodes.new(OUTPUT_NODE)
    if COMPOSITOR_IS_GROUP and not any(s.type == "RGBA" for s in node.inputs):
        tree.interface.new_socket("Image", in_out="OUTPUT", socket_type="NodeSocketColor")
    return next(socket for socket in node.inputs if socket.type == "RGBA")


def set_exr_output(render: bpy.types.RenderSettings, codec: str = "NONE") -> None:
    """One OpenEXR per frame, 32-bit RGBA, scene linear; `codec` as Blender names it."""
    settings = render.image_settings
    if COMPOSITOR_IS_GROUP:
        settings.media_type = "IMAGE"
    settings.file_format = "OPEN_EXR"
    settings.color_mode = "RGBA"
    settings.color_depth = "32"
    settings.exr_codec = codec
    settings.color_management = "FOLLOW_SCENE"


def over_node(tree: bpy.types.NodeTree) -> tuple[bpy.types.Node, Any, Any, Any]:
    """Alpha Over for a premultiplied foreground, and its factor, background and foreground."""
    node = tree.nodes.new("CompositorNodeAlphaOver")
    if COMPOSITOR_IS_GROUP:
        inputs = node.inputs
        return node, inputs["Factor"], inputs["Background"], inputs["Foreground"]
    return node, node.inputs[0], node.inputs[1], node.inputs[2]


def replace_alpha_node(tree: bpy.types.NodeTree) -> bpy.types.Node:
    """Set Alpha that keeps the colour as it is."""
    node = tree.nodes.new("CompositorNodeSetAlpha")
    if COMPOSITOR_IS_GROUP:
        node.inputs["Type"].default_value = "Replace Alpha"
    else:
        node.mode = "REPLACE_ALPHA"
    return node


def sequencer_renders(scene: bpy.types.Scene) -> bool:
    """Whether the sequencer makes the scene's picture, so that its compositor does not run.

    Sound strips are no picture, muted ones do not count (Blender's own rule).
    """
    editor = scene.sequence_editor
    if not scene.render.use_sequencer or editor is None:
        return False
    return any(strip.type != "SOUND" and not strip.mute for strip in editor.strips)


def working_space() -> str:
    """The engine's name for the colours of scene-linear values; before 5.0 always Rec. 709."""
    if not COMPOSITOR_IS_GROUP:
        return _SPACES["Linear Rec.709"]
    name = bpy.data.colorspace.working_space
    return _SPACES[name]  # the configuration that comes with Blender has no other


_SPACES = {  # Blender's names -> those of facegraft.media.working_space
    "Linear Rec.709": "linear_rec709",
    "Linear Rec.2020": "linear_rec2020",
    "ACEScg": "acescg",
}
