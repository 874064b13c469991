"""Where FaceGraft nodes run: a scene's compositor, or the compositor modifier of a strip in it.

A place gives the tree with the nodes, its values at the scene's frame, and helpers that render what
enters a node. A strip's modifier runs a group of its own (Blender 5.0 and later); the picture that
enters the group has the strip's own size, before the strip is moved and scaled.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import bpy  # pyright: ignore[reportMissingImports]

from . import compat, graph, nodes
from .helper import Helper, StripHelper
from .props import IMAGE

MODIFIER = "COMPOSITOR"


@dataclass(frozen=True, slots=True)
class Compositor:
    """The compositor of a scene that has one."""

    scene: bpy.types.Scene
    tree: bpy.types.NodeTree

    @property
    def shown(self) -> bool:
        """Whether it makes a picture at the scene's frame."""
        return True

    def __str__(self) -> str:
        """What of it beside its nodes the pictures depend on."""
        return "compositor"

    def evaluated(self) -> bpy.types.NodeTree:
        return compat.evaluated_tree(self.scene)

    def size(self, node: bpy.types.Node) -> tuple[int, int]:
        """Width and height of what enters a node, px."""
        source = graph.source_socket(node)
        size = graph.picture_size(source) if source is not None else None
        return size or render_size(self.scene)

    def helper(self, node: bpy.types.Node, which: int = IMAGE) -> Helper:
        return Helper(self.scene, node, which)


@dataclass(frozen=True, slots=True)
class StripModifier:
    """A compositor modifier of a strip, by their names."""

    scene: bpy.types.Scene
    strip_name: str
    modifier_name: str

    @property
    def strip(self) -> bpy.types.Strip:
        return self.scene.sequence_editor.strips[self.strip_name]

    @property
    def tree(self) -> bpy.types.NodeTree:
        return self.strip.modifiers[self.modifier_name].node_group

    @property
    def shown(self) -> bool:
        strip = self.strip
        return strip.frame_final_start <= self.scene.frame_current < strip.frame_final_end

    def __str__(self) -> str:
        strip = self.strip
        times = strip.frame_start, strip.frame_final_start, strip.frame_final_end
        earlier = [m.name for m in strip.modifiers if not m.mute]
        return repr((strip.name, strip.type, times, earlier, self.modifier_name))

    def evaluated(self) -> bpy.types.NodeTree:
        return compat.evaluated_group(self.scene, self.tree)

    def size(self, _node: bpy.types.Node) -> tuple[int, int]:
        return native_size(self.strip) or render_size(self.scene)

    def helper(self, node: bpy.types.Node, which: int = IMAGE) -> Helper:
        names = (self.strip_name, self.modifier_name)
        return StripHelper(self.scene, node, which, names, self.size(node))


Place = Compositor | StripModifier


def strip_modifiers(scene: bpy.types.Scene) -> Iterator[StripModifier]:
    """Those in a scene's sequencer, in no meta strip, with a FaceGraft node in their group."""
    if not compat.COMPOSITOR_IS_GROUP or not compat.sequencer_renders(scene):
        return
    for strip in scene.sequence_editor.strips:
        for modifier in strip.modifiers:
            runs = modifier.type == MODIFIER and not modifier.mute and not strip.mute
            if runs and modifier.node_group is not None:
                if any(nodes.is_facegraft(node) for node in modifier.node_group.nodes):
                    yield StripModifier(scene, strip.name, modifier.name)


def places_of(scene: bpy.types.Scene) -> list[Place]:
    """Where rendering `scene` runs FaceGraft nodes."""
    tree = compat.compositor_tree(scene)
    places: list[Place] = []
    if tree is not None and compositor_runs(scene):
        if any(nodes.is_facegraft(node) for node in tree.nodes):
            places.append(Compositor(scene, tree))
    return [*places, *strip_modifiers(scene)]


def compositor_runs(scene: bpy.types.Scene) -> bool:
    """Whether rendering `scene` runs its compositor."""
    return (
        compat.compositor_tree(scene) is not None
        and scene.render.use_compositing
        and not compat.sequencer_renders(scene)
    )


def bare_modifiers(scene: bpy.types.Scene) -> Iterator[tuple[str, bpy.types.NodeTree]]:
    """Strips whose modifier's group is a FaceGraft node's own: nothing says its values there."""
    if compat.COMPOSITOR_IS_GROUP and compat.sequencer_renders(scene):
        for strip in scene.sequence_editor.strips:
            for modifier in strip.modifiers:
                tree = modifier.node_group if modifier.type == MODIFIER else None
                if tree is not None and nodes.MARK in tree:
                    yield strip.name, tree


def native_size(strip: bpy.types.Strip) -> tuple[int, int] | None:
    """Width and height of a strip's pictures, px; None where they are made at the render's."""
    if strip.type == "MOVIECLIP" and strip.clip is not None:
        return tuple(strip.clip.size)
    if strip.type == "SCENE" and strip.scene is not None:
        return render_size(strip.scene)
    if strip.type not in ("IMAGE", "MOVIE"):
        return None
    first = strip.elements[0]
    if first.orig_width > 0:
        return first.orig_width, first.orig_height
    path = Path(strip.directory, first.filename) if strip.type == "IMAGE" else strip.filepath
    image = bpy.data.images.load(bpy.path.abspath(str(path)))  # Blender has not opened it yet
    size = tuple(image.size)
    bpy.data.images.remove(image)
    return size


def render_size(scene: bpy.types.Scene) -> tuple[int, int]:
    share = scene.render.resolution_percentage / 100
    return round(scene.render.resolution_x * share), round(scene.render.resolution_y * share)
