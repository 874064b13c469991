"""Bake: the layers of one node into EXR files, which the node then reads instead of the engine.

For render farms without engine or model, for playback at full speed, and should a Blender of the
future refuse the nested render that feeds the live node.
"""

import shutil
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path

import bpy  # pyright: ignore[reportMissingImports]
import numpy as np

from facegraft.errors import FacegraftError, ParameterError

from . import compat, graph, images, nodes
from .cache import Bake, replace_folder
from .jobs import JobOperator, active_node, each_frame
from .props import params_from
from .status import Outcome, report
from .swap import SceneSwap, wanted

_SCENE = ".facegraft bake"
_CODEC = "ZIP"  # no loss; a layer is mostly empty and shrinks to a tenth


class FACEGRAFT_OT_bake(JobOperator, bpy.types.Operator):
    bl_idname = "facegraft.bake"
    bl_label = "Bake"
    bl_description = (
        "Write this node's face layer of every scene frame as EXR, and show those from then on"
    )

    def steps(self, context: bpy.types.Context) -> Generator[str, None, None]:
        scene, node = context.scene, active_node(context)
        assert node is not None  # poll
        if not wanted(scene):
            raise ParameterError("this scene's render does not run the compositor; nothing to bake")
        tree = node.node_tree
        folder = nodes.cache_folder(tree)
        folder.parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        writer = _writer_scene()
        shown = tree.facegraft.source
        tree.facegraft.source = "LIVE"
        try:
            bake = Bake(fresh, scene.frame_start, (0, 0), nodes.settings_of(tree))
            yield from self._frames(scene, node.name, bake, writer)
            _write_empty(bake, writer)
            bake.save()
            replace_folder(fresh, folder)
            shown = "CACHE"
        finally:
            tree.facegraft.source = shown  # after Escape or an error what was there before
            bpy.data.scenes.remove(writer)
            shutil.rmtree(fresh, ignore_errors=True)

    def _frames(
        self, scene: bpy.types.Scene, name: str, bake: Bake, writer: bpy.types.Scene
    ) -> Iterator[str]:
        """Raises: FacegraftError where a frame cannot be made, RuntimeError where not written."""
        swap = SceneSwap(scene)
        tree = compat.compositor_tree(scene)
        assert tree is not None
        for frame in each_frame(scene, swap):
            yield f"bakes frame {frame}"
            node = tree.nodes[name]
            status = next((s for t, s in swap.frame() if t == node.node_tree), None)
            if status is None:
                raise ParameterError(f"{name} reaches no output of the compositor; connect it")
            report(node.node_tree, status)
            if status.outcome in (Outcome.ERROR, Outcome.CANCELLED):
                raise FacegraftError(f"frame {frame}: {status.message or 'cancelled'}")
            layer = nodes.layer_of(node.node_tree)
            if status.outcome is Outcome.NO_FACE:
                images.clear_layer(layer)
            bake.size = (layer.size[0], layer.size[1])
            images.save_layer(layer, bake.path_of(frame), writer)
            evaluated = compat.evaluated_tree(scene)
            bake.values[frame] = params_from(graph.row_values(evaluated.nodes[name]))


def _writer_scene() -> bpy.types.Scene:
    scene = bpy.data.scenes.new(_SCENE)
    compat.set_exr_output(scene.render, _CODEC)
    return scene


def _write_empty(bake: Bake, writer: bpy.types.Scene) -> None:
    """The layers just outside the range. Raises: RuntimeError."""
    empty = images.new_layer(_SCENE)
    try:
        images.write_layer(empty, np.zeros((bake.size[1], bake.size[0], 4), np.float32))
        for frame in (bake.first - 1, bake.first + bake.count):
            images.save_layer(empty, bake.path_of(frame), writer)
    finally:
        bpy.data.images.remove(empty)
