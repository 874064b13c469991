"""The picture that enters a node, by rendering a hidden copy of its scene that ends there.

Blender lets no Python see what flows inside the compositor, so the scene is copied, the copy's
output is linked to the socket that feeds the node, and one frame is rendered to an uncompressed
float EXR in memory-backed storage. Nodes of the copy are only linked and muted: removing one would
remove its keyframes from the Action it shares with the user's tree.
"""

import os
import shutil
import tempfile
from pathlib import Path

import bpy  # pyright: ignore[reportMissingImports]
import numpy as np

from . import compat, exr, graph
from .props import IMAGE

MARK = "facegraft_helper"  # custom property by which a helper left in a file is known
_NAME = ".facegraft helper"  # Blender lists names with a dot last, and hides them in searches
_RAM = Path("/dev/shm")  # memory-backed on Linux
_SPARE = 4  # times the size of one frame that must be free there; containers give it 64 MB
_SIDE_OUTPUTS = ("CompositorNodeOutputFile", "CompositorNodeViewer")


class Helper:
    """Renders what enters one picture input of a node of `scene`; `close` removes all it made."""

    def __init__(self, scene: bpy.types.Scene, node: bpy.types.Node, which: int = IMAGE) -> None:
        """`node` has sources for its image and for `which` (`graph.source_socket`).

        Whatever is rendered has the size of the node's image, so that a mask lies on it.
        """
        image = graph.source_socket(node)
        assert image is not None
        self._which = which
        self._start(scene, graph.picture_size(image))
        self._tree = compat.copy_tree(self._scene)
        self._cut(scene, node.name)

    def _start(self, scene: bpy.types.Scene, size: tuple[int, int] | None) -> None:
        """The copy of the scene, which renders pictures of this size, and a folder for them."""
        folder = _folder_for(size or (scene.render.resolution_x, scene.render.resolution_y))
        self._folder = Path(tempfile.mkdtemp(prefix=f"facegraft-{os.getpid()}-", dir=folder))
        self._scene = scene.copy()
        self._scene.name = _NAME
        self._scene[MARK] = True
        self._set_output(size)

    def _cut(self, scene: bpy.types.Scene, node_name: str) -> None:
        """Let the tree end at the node's source, and nothing else of it write or render."""
        tree = self._tree
        source = graph.source_socket(tree.nodes[node_name], self._which)
        assert source is not None
        needed = graph.upstream_names(source)
        for node in tree.nodes:
            if node.bl_idname in _SIDE_OUTPUTS:
                node.mute = True
            elif node.bl_idname == "CompositorNodeRLayers":
                node.mute = node.mute or node.name not in needed
                if node.scene == scene:  # two renders must not share one scene's render state
                    node.scene = self._scene
        tree.links.new(source, compat.output_socket(tree))

    def _set_output(self, size: tuple[int, int] | None) -> None:
        """One EXR of the whole clip where its `size` is known, else of the render's frame.

        A layer of the clip's size lies on it pixel by pixel, also where the render is of another
        size and the clip is scaled after the node.
        """
        render = self._scene.render
        if size is not None:
            render.resolution_x, render.resolution_y = size
            render.resolution_percentage = 100
            render.use_border = False
        render.use_sequencer = False
        render.use_compositing = True
        render.use_file_extension = True
        render.use_overwrite = True
        render.use_placeholder = False
        render.use_multiview = False
        render.filepath = str(self._path)
        compat.set_exr_output(render)

    @property
    def _path(self) -> Path:
        return self._folder / "frame.exr"

    def render(self, scene: bpy.types.Scene) -> np.ndarray | None:
        """(H, W, 4) float32 RGBA, scene linear, row 0 at the top, at the frame `scene` shows.

        None where the user cancelled. Raises: RuntimeError from Blender (disk full), ValueError.
        """
        self._scene.frame_current = scene.frame_current
        self._scene.frame_subframe = scene.frame_subframe
        try:
            bpy.ops.render.render(write_still=True, scene=self._scene.name)
            return exr.read_rgba(self._path)
        except FileNotFoundError:
            return None
        finally:  # a cancelled frame never reads the one before, a crash leaves no memory taken
            self._path.unlink(missing_ok=True)

    def close(self) -> None:
        bpy.data.scenes.remove(self._scene)
        compat.drop_tree(self._tree)
        shutil.rmtree(self._folder, ignore_errors=True)


class StripHelper(Helper):
    """The same where the node stands in the group of a strip's compositor modifier.

    The strip alone shows, unmoved and in its own size, and its modifier ends at the node's source.
    """

    def __init__(
        self,
        scene: bpy.types.Scene,
        node: bpy.types.Node,
        which: int,
        names: tuple[str, str],
        size: tuple[int, int],
    ) -> None:
        """`names` of strip and modifier, `size` of the strip's own pictures."""
        self._which = which
        self._start(scene, size)
        self._scene.render.use_sequencer = True
        self._scene.animation_data_clear()  # what moves the strip must not move it here
        for other in self._scene.sequence_editor.strips:
            other.mute = other.name != names[0]
        strip = self._scene.sequence_editor.strips[names[0]]
        _lay_plain(strip)
        modifiers = list(strip.modifiers)
        own = next(i for i, modifier in enumerate(modifiers) if modifier.name == names[1])
        for later in modifiers[own + 1 :]:
            later.mute = True
        self._tree = modifiers[own].node_group.copy()
        modifiers[own].node_group = self._tree
        self._cut(scene, node.name)


def _lay_plain(strip: bpy.types.Strip) -> None:
    """A strip at its own size in the middle of the frame, over nothing."""
    strip.blend_type, strip.blend_alpha = "REPLACE", 1.0
    strip.use_flip_x = strip.use_flip_y = False
    move, crop = strip.transform, strip.crop
    move.offset_x = move.offset_y = move.rotation = 0
    move.scale_x = move.scale_y = 1
    move.origin = (0.5, 0.5)
    crop.min_x = crop.max_x = crop.min_y = crop.max_y = 0


def remove_leftovers() -> None:
    """Remove helpers that a file carries because it was saved, or Blender ended, in mid-render."""
    for scene in [s for s in bpy.data.scenes if MARK in s]:
        tree = compat.compositor_tree(scene)
        bpy.data.scenes.remove(scene)
        if tree is not None:
            compat.drop_tree(tree)


def _folder_for(size: tuple[int, int]) -> Path | None:
    """Where frames of `size` fit in memory; None for the system's temporary folder."""
    frame_bytes = size[0] * size[1] * 16  # four floats a pixel
    if _RAM.is_dir() and shutil.disk_usage(_RAM).free > _SPARE * frame_bytes:
        return _RAM
    return None
