"""The FaceGraft node: a group of native compositor nodes around one layer image.

    Image ─┬──────────────► Alpha Over ─► Set Alpha ─► Image
           └─ alpha ──────────────────────────┘
    layer image ──────────────┘ ─► Matte (its alpha), Face Layer

The layer is premultiplied, so the result is  layer + image * (1 - matte),  with the image's own
alpha; where the matte is 0 the image goes through bit by bit. As the group is made of Blender's own
nodes, a Blender without this add-on opens the file and shows the source.
"""

from pathlib import Path
from typing import Any

import bpy  # pyright: ignore[reportMissingImports]

from facegraft.errors import FacegraftError, ParameterError

from . import cache, compat, images
from .props import IMAGE_INPUTS, MASK, SOCKET_ROWS, SocketRow, panels

NODE_NAME = "FaceGraft"
MARK = "facegraft_node"  # custom property of our trees; its value is how many rows it shows
OUTPUTS = ("Image", "Matte", "Face Layer")
_LAYER_NODE = "FaceGraft Layer"
_COLUMN = 200  # px between columns when someone opens the group


def new_tree() -> bpy.types.NodeTree:
    """A group with every row's socket and an empty layer."""
    tree = bpy.data.node_groups.new(NODE_NAME, "CompositorNodeTree")
    tree[MARK] = len(SOCKET_ROWS)
    interface = tree.interface
    for name, kind in zip(OUTPUTS, ("Color", "Float", "Color"), strict=True):
        interface.new_socket(name, in_out="OUTPUT", socket_type=f"NodeSocket{kind}")
    image = interface.new_socket("Image", in_out="INPUT", socket_type="NodeSocketColor")
    image.description = "The picture whose face is replaced: a clip, a grade, another FaceGraft"
    image.hide_value = True
    mask = interface.new_socket("Mask", in_out="INPUT", socket_type="NodeSocketFloat")
    mask.description = "A matte of your own, white where the face may show, for mask mode host"
    mask.hide_value = True
    _add_rows(tree, SOCKET_ROWS)
    _fill(tree)
    ensure_layer(tree)
    return tree


def upgrade_tree(tree: bpy.types.NodeTree) -> None:
    """Give a tree from an older file the rows that the table has gained since."""
    present = int(tree[MARK])
    if present >= len(SOCKET_ROWS):
        return
    _add_rows(tree, SOCKET_ROWS[present:])
    for node in [n for n in tree.nodes if n.name != _LAYER_NODE]:
        tree.nodes.remove(node)  # our own tree, without keyframes on its nodes
    _fill(tree)
    tree[MARK] = len(SOCKET_ROWS)


def _add_rows(tree: bpy.types.NodeTree, rows: tuple[SocketRow, ...]) -> None:
    for group, run in panels(rows):
        panel = tree.interface.new_panel(group)
        for spec in run:
            socket = tree.interface.new_socket(
                spec.name, in_out="INPUT", socket_type=spec.socket_type, parent=panel
            )
            socket.description = spec.description
            if spec.slider is not None:
                low, high = spec.slider
                kind = type(spec.default)
                socket.min_value, socket.max_value = kind(low), kind(high)
            socket.default_value = spec.default


def _fill(tree: bpy.types.NodeTree) -> None:
    """The nodes inside; the layer's own node is kept where it exists, as it holds the image."""
    nodes, link = tree.nodes, tree.links.new
    source = nodes.new("NodeGroupInput")
    layer = nodes.get(_LAYER_NODE) or nodes.new("CompositorNodeImage")
    layer.name = layer.label = _LAYER_NODE
    source_parts = nodes.new("CompositorNodeSeparateColor")
    layer_parts = nodes.new("CompositorNodeSeparateColor")
    over, factor, background, foreground = compat.over_node(tree)
    alpha = compat.replace_alpha_node(tree)
    result = nodes.new("NodeGroupOutput")

    link(source.outputs["Image"], source_parts.inputs[0])
    link(layer.outputs["Image"], layer_parts.inputs[0])
    link(source.outputs["Image"], background)
    link(layer.outputs["Image"], foreground)
    link(over.outputs[0], alpha.inputs[0])
    link(source_parts.outputs["Alpha"], alpha.inputs["Alpha"])
    link(alpha.outputs[0], result.inputs["Image"])
    link(layer_parts.outputs["Alpha"], result.inputs["Matte"])
    link(layer.outputs["Image"], result.inputs["Face Layer"])
    link(_one_for_all(tree, source), factor)

    columns = ((source,), (layer, source_parts), (layer_parts, over), (alpha,), (result,))
    for x, column in enumerate(columns):
        for y, node in enumerate(column):
            node.location = (x * _COLUMN, -y * _COLUMN)


def _one_for_all(tree: bpy.types.NodeTree, source: bpy.types.Node) -> bpy.types.NodeSocket:
    """1 + 0 * every value: Blender greys out an input that nothing inside its group uses."""
    total: bpy.types.NodeSocket | None = None
    values = [s for s in source.outputs if s.identifier][MASK : IMAGE_INPUTS + len(SOCKET_ROWS)]
    for i, socket in enumerate(values):
        add = tree.nodes.new(compat.MATH_NODE)
        add.operation = "MULTIPLY_ADD"
        add.hide = True
        add.location = (i * 40, 400)  # out of the way, above the rest
        tree.links.new(socket, add.inputs[0])
        add.inputs[1].default_value = 0.0
        add.inputs[2].default_value = 1.0
        if total is not None:
            tree.links.new(total, add.inputs[2])
        total = add.outputs[0]
    assert total is not None  # the table has rows
    return total


def add_node(tree: bpy.types.NodeTree) -> bpy.types.Node:
    """A FaceGraft node in a compositor tree, selected and active."""
    node = tree.nodes.new("CompositorNodeGroup")
    node.node_tree = new_tree()
    node.name = node.label = NODE_NAME
    node.width = 220  # px, so that labels are not cut
    tree.nodes.active = node
    return node


def is_facegraft(node: bpy.types.Node) -> bool:
    tree = getattr(node, "node_tree", None)
    return tree is not None and MARK in tree


def layer_of(tree: bpy.types.NodeTree) -> bpy.types.Image:
    """The layer image inside a FaceGraft tree; see `ensure_layer`."""
    return tree.nodes[_LAYER_NODE].image


def ensure_layer(tree: bpy.types.NodeTree) -> None:
    """Make the layer image where a loaded file or an undo left none."""
    node = tree.nodes[_LAYER_NODE]
    if node.image is None:
        node.image = images.new_layer(_LAYER_NODE)


def settings_of(tree: bpy.types.NodeTree) -> dict[str, Any]:
    """The settings that a layer's pixels depend on, by name, as JSON types."""
    return _plain_settings(tree.facegraft)


def _plain_settings(group: bpy.types.PropertyGroup) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for prop in group.bl_rna.properties:
        value = getattr(group, prop.identifier)
        if prop.type == "COLLECTION":
            found[prop.identifier] = [_plain_settings(item) for item in value]
        elif prop.type != "POINTER" and prop.identifier not in _LOOKS:
            found[prop.identifier] = list(value) if getattr(prop, "is_array", False) else value
    return found


_LOOKS = {"name", "on_error", "show_faces", "source", "cache_path"}


def is_baked(tree: bpy.types.NodeTree) -> bool:
    return tree.facegraft.source == "CACHE"


def cache_folder(tree: bpy.types.NodeTree) -> Path:
    """Where the tree's baked layers lie.

    Raises: ParameterError where that is beside a .blend file that was never saved.
    """
    chosen = tree.facegraft.cache_path
    if not chosen:
        chosen = f"//facegraft/{bpy.path.clean_name(tree.name)}"
    if chosen.startswith("//") and not bpy.data.filepath:
        raise ParameterError("save the .blend file first, or choose a folder for the cache")
    return Path(bpy.path.abspath(chosen))


def show_source(tree: bpy.types.NodeTree) -> None:
    """Let the group read the baked layers, or a live layer, as its settings say.

    Where nothing is baked the layer is an empty one; each frame's status says what is missing.
    """
    node = tree.nodes[_LAYER_NODE]
    old, node.image = node.image, None
    if old is not None and old.users == 0:
        bpy.data.images.remove(old)
    if is_baked(tree):
        try:
            bake = cache.load_bake(cache_folder(tree))
            node.image = images.layer_sequence(bake.path_of(bake.first - 1))
            node.frame_start = bake.first - 1
            node.frame_duration = bake.count + 2
            node.frame_offset = 0
            node.use_cyclic = False
            node.use_auto_refresh = True
        except (FacegraftError, RuntimeError):
            node.image = None
    ensure_layer(tree)


def make_ready(tree: bpy.types.NodeTree, seen: set[str] | None = None) -> None:
    """Give every FaceGraft node in a compositor tree its own group and layer, up to date.

    Duplicating a node shares both, and two nodes would show one face. `seen`: names of groups that
    nodes of other trees have.
    """
    seen = set() if seen is None else seen
    for node in tree.nodes:
        if not is_facegraft(node):
            continue
        if node.node_tree.name in seen:
            node.node_tree = node.node_tree.copy()
            node.node_tree.nodes[_LAYER_NODE].image = None
        seen.add(node.node_tree.name)
        upgrade_tree(node.node_tree)
        ensure_layer(node.node_tree)
