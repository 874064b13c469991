"""The compositor's graph around FaceGraft nodes: what shows them, what enters them, and values."""

from collections.abc import Iterator

import bpy  # pyright: ignore[reportMissingImports]

from facegraft.errors import FutureVersion, ParameterError

from . import compat, nodes
from .props import IMAGE, IMAGE_INPUTS, SOCKET_ROWS


def source_socket(node: bpy.types.Node, which: int = IMAGE) -> bpy.types.NodeSocket | None:
    """The output that feeds the node's Image input, or its Mask; None where nothing does."""
    return _source_of(node.inputs[which])


def active_nodes(tree: bpy.types.NodeTree) -> list[bpy.types.Node]:
    """FaceGraft nodes that some output of the tree shows, each after those it depends on."""
    order: list[bpy.types.Node] = []
    visited: set[str] = set()
    ends = [n for n in tree.nodes if n.bl_idname in _ENDS and not n.mute]
    stack = [(node, False) for node in reversed(ends)]
    while stack:
        node, inputs_done = stack.pop()
        if inputs_done:
            if nodes.is_facegraft(node) and not node.mute:
                order.append(node)
        elif node.name not in visited:
            visited.add(node.name)
            stack.append((node, True))
            stack.extend((up, False) for up in _inputs_of(node))
    return order


_ENDS = {
    compat.OUTPUT_NODE,
    "CompositorNodeOutputFile",
    "CompositorNodeViewer",
}


def upstream_names(socket: bpy.types.NodeSocket) -> set[str]:
    """Names of the nodes that `socket` is computed from, its own included."""
    names: set[str] = set()
    stack = [socket.node]
    while stack:
        node = stack.pop()
        if node.name not in names:
            names.add(node.name)
            stack.extend(_inputs_of(node))
    return names


def _inputs_of(node: bpy.types.Node) -> Iterator[bpy.types.Node]:
    for socket in node.inputs:
        for link in socket.links:
            yield link.from_node


def picture_size(socket: bpy.types.NodeSocket) -> tuple[int, int] | None:
    """Width and height of the one clip that `socket` shows, None where that is not plain.

    Plain is a clip behind nodes that change colours only, and other FaceGraft nodes: its picture
    has the clip's size, whatever the render's.
    """
    sizes: set[tuple[int, int]] = set()
    for name in upstream_names(socket):
        node = socket.id_data.nodes[name]
        if node.bl_idname in _CLIP_NODES:
            clip = getattr(node, "image", None) or getattr(node, "clip", None)
            sizes.add(tuple(clip.size) if clip is not None else (0, 0))
        elif node.bl_idname not in _COLOR_NODES and not nodes.is_facegraft(node):
            return None
    if len(sizes) != 1:
        return None
    width, height = sizes.pop()
    return (width, height) if width > 0 and height > 0 else None


_CLIP_NODES = {"CompositorNodeImage", "CompositorNodeMovieClip"}
_COLOR_NODES = {  # each pixel by itself; what 5.0 took over from shading has other names in 4.5
    "NodeReroute",
    "CompositorNodeBrightContrast",
    "CompositorNodeColorBalance",
    "CompositorNodeColorCorrection",
    "CompositorNodeConvertColorSpace",
    "CompositorNodeCurveRGB",
    "CompositorNodeExposure",
    "CompositorNodeHueCorrect",
    "CompositorNodeHueSat",
    "CompositorNodeInvert",
    "CompositorNodePremulKey",
    "CompositorNodeRGB",
    "CompositorNodeGamma",
    "CompositorNodeMath",
    "CompositorNodeMixRGB",
    "CompositorNodeValue",
    "ShaderNodeGamma",
    "ShaderNodeMath",
    "ShaderNodeMix",
    "ShaderNodeValue",
}


def buried_nodes(tree: bpy.types.NodeTree) -> list[tuple[str, bpy.types.NodeTree]]:
    """FaceGraft trees inside other groups, at any depth, with the name of the group.

    They are never run: the picture that enters them cannot be rendered from outside.
    """
    found: list[tuple[str, bpy.types.NodeTree]] = []
    seen: set[str] = set()
    stack = [n.node_tree for n in tree.nodes if _is_group(n) and not nodes.is_facegraft(n)]
    while stack:
        group = stack.pop()
        if group.name not in seen:
            seen.add(group.name)
            inner = [n for n in group.nodes if _is_group(n)]
            found += [(group.name, n.node_tree) for n in inner if nodes.is_facegraft(n)]
            stack += [n.node_tree for n in inner if not nodes.is_facegraft(n)]
    return found


def row_values(node: bpy.types.Node) -> list[bool | int | float]:
    """Values of the rows' sockets, in order; `node` comes from an evaluated tree.

    A Value node that is linked to a socket is read too.
    Raises: ParameterError for another link, FutureVersion where the node has rows unknown here.
    """
    present = node.node_tree[nodes.MARK]
    if present > len(SOCKET_ROWS):
        raise FutureVersion(
            f"{node.name} comes from a newer FaceGraft with {present} controls, this one knows "
            f"{len(SOCKET_ROWS)}; update the add-on"
        )
    values = []
    for socket in node.inputs[IMAGE_INPUTS : IMAGE_INPUTS + len(SOCKET_ROWS)]:
        source = _source_of(socket)
        if source is not None and source.node.bl_idname not in compat.VALUE_NODES:
            raise ParameterError(
                f"{socket.name} is linked to {source.node.name}, whose values only the compositor "
                "knows; remove the link and set or key the value, or link a Value node"
            )
        values.append((source or socket).default_value)
    return values


def _source_of(socket: bpy.types.NodeSocket) -> bpy.types.NodeSocket | None:
    """The output that feeds a socket, behind any reroutes; None where nothing does."""
    source = socket
    while True:
        links = [link for link in source.links if link.is_valid and not link.is_muted]
        if not links:
            return None
        source = links[0].from_socket
        if source.node.bl_idname != "NodeReroute":
            return source
        source = source.node.inputs[0]


def clip_of(node: bpy.types.Node | None) -> bpy.types.Image | bpy.types.MovieClip | None:
    """A movie or image sequence that enters `node`, None where there is none."""
    upstream = _clip_node(node)
    return (
        (getattr(upstream, "image", None) or getattr(upstream, "clip", None)) if upstream else None
    )


def clip_range(
    node: bpy.types.Node, clip: bpy.types.Image | bpy.types.MovieClip
) -> tuple[int, int]:
    """Scene frame that shows the clip's first frame, and the number of its frames."""
    if isinstance(clip, bpy.types.MovieClip):
        return clip.frame_start, clip.frame_duration
    upstream = _clip_node(node)
    assert upstream is not None  # `clip` came from there
    count = clip.frame_duration if clip.source == "MOVIE" else upstream.frame_duration
    return upstream.frame_start - upstream.frame_offset, count


def _clip_node(node: bpy.types.Node | None) -> bpy.types.Node | None:
    source = source_socket(node) if node is not None else None
    if source is None:
        return None
    for name in sorted(upstream_names(source)):
        upstream = source.id_data.nodes[name]
        found = getattr(upstream, "image", None) or getattr(upstream, "clip", None)
        if found is not None and found.source in ("MOVIE", "SEQUENCE"):
            return upstream
    return None


def _is_group(node: bpy.types.Node) -> bool:
    return getattr(node, "node_tree", None) is not None
