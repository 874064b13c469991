"""One frame of one scene: what enters each FaceGraft node in, its layer image out.

Nodes are done in graph order, so that in a chain the second one receives the first one's result.
Whatever goes wrong leaves the layer transparent, so the node shows its source, never an old face.
"""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import bpy  # pyright: ignore[reportMissingImports]

from facegraft.errors import FacegraftError, ParameterError

from . import compat, engine, graph, images, nodes
from .faces import FaceTable, load_faces
from .helper import Helper
from .props import params_from
from .status import Outcome, Status

_log = logging.getLogger(__name__)


class SceneSwap:
    """The helpers of a scene's FaceGraft nodes, for one render or one refresh of the interface.

    Made before Blender evaluates the scene: only pixels may change while a frame renders.
    """

    nested = False  # true while a helper renders: Blender then calls the same handlers again

    def __init__(self, scene: bpy.types.Scene) -> None:
        self._scene = scene
        tree = compat.compositor_tree(scene)
        assert tree is not None  # see `wanted`
        self._tree = tree
        self._helpers: list[
            tuple[str, Helper | str]
        ] = []  # in graph order; text: why there is none
        self._face_tables: dict[str, FaceTable] = {}
        nodes.make_ready(tree)
        for node in graph.active_nodes(tree):
            self._helpers.append((node.name, _helper_for(scene, node)))

    def close(self) -> None:
        for _, helper in self._helpers:
            if isinstance(helper, Helper):
                helper.close()
        self._helpers.clear()

    def frame(self) -> list[tuple[bpy.types.NodeTree, Status]]:
        """Bring every layer to the scene's current frame, and say how each went."""
        results = []
        for name, helper in self._helpers:
            node = self._tree.nodes.get(name)
            if node is not None:  # the user may remove one while the interface renders
                results.append((node.node_tree, self._node(node, helper)))
        return results

    def _node(self, node: bpy.types.Node, helper: Helper | str) -> Status:
        try:
            status = self._swap(node, helper)
        except FacegraftError as error:
            status = self._error(f"{node.name}: {error}")
        except Exception as error:  # Blender would print it and render on, with exit code 0
            _log.exception("FaceGraft: frame %d: %s", self._scene.frame_current, node.name)
            status = self._error(f"{node.name}: {type(error).__name__}: {error}")
        if status.outcome in (Outcome.ERROR, Outcome.CANCELLED):
            images.clear_layer(nodes.layer_of(node.node_tree))
        return status

    def _error(self, message: str) -> Status:
        return Status(self._scene.frame_current, Outcome.ERROR, message)

    def _swap(self, node: bpy.types.Node, helper: Helper | str) -> Status:
        """Fill the node's layer. Raises: FacegraftError, and what Blender's render raises."""
        frame, settings = self._scene.frame_current, node.node_tree.facegraft
        if isinstance(helper, str):
            raise ParameterError(helper)
        if not settings.model_path:
            raise ParameterError("no model is chosen; choose a .dfm file in the FaceGraft panel")
        if compat.working_space() != compat.REC709:
            raise ParameterError(
                f"the file's working space is {compat.working_space()}; set it to {compat.REC709}"
            )
        start = time.perf_counter()
        with _nested():
            evaluated = compat.evaluated_tree(self._scene)
            params = params_from(graph.row_values(evaluated.nodes[node.name]))
            pixels = helper.render(self._scene)
        if pixels is None:
            return Status(frame, Outcome.CANCELLED)
        rendered = time.perf_counter()
        reply = engine.merge(
            pixels,
            bpy.path.abspath(settings.model_path),
            params,
            self._landmarks(settings, frame, pixels.shape[1], pixels.shape[0]),
        )
        merged = time.perf_counter()
        images.write_layer(nodes.layer_of(node.node_tree), reply.layer)
        ms = {
            "upstream": (rendered - start) * 1000,
            "engine": (merged - rendered) * 1000,
            "write": (time.perf_counter() - merged) * 1000,
            **{f"engine {stage}": value for stage, value in reply.ms.items()},
        }
        if reply.face_count == 0:
            text = f"{node.name}: no face in this frame; the source is shown"
            return Status(frame, Outcome.NO_FACE, text, ms=ms, cached=reply.cached)
        return Status(frame, Outcome.SWAPPED, "", reply.face_count, ms, reply.cached)

    def _landmarks(
        self, settings: Any, frame: int, width: int, height: int
    ) -> list[list[list[float]]] | None:
        """Faces from the node's faceset folder; None where the engine is to detect them."""
        if not settings.faces_path:
            return None
        folder = bpy.path.abspath(settings.faces_path)
        if folder not in self._face_tables:
            self._face_tables[folder] = load_faces(Path(folder))
        return self._face_tables[folder].at(frame - settings.faces_start, width, height)


def _helper_for(scene: bpy.types.Scene, node: bpy.types.Node) -> Helper | str:
    if graph.source_socket(node) is None:
        return "nothing is connected to Image"
    try:
        return Helper(scene, node)
    except OSError as error:
        return f"no temporary folder can be made: {error}"


@contextmanager
def _nested() -> Iterator[None]:
    before, SceneSwap.nested = SceneSwap.nested, True
    try:
        yield
    finally:
        SceneSwap.nested = before


def compositor_runs(scene: bpy.types.Scene) -> bool:
    """Whether rendering `scene` runs its compositor."""
    return (
        compat.compositor_tree(scene) is not None
        and scene.render.use_compositing
        and not compat.sequencer_renders(scene)
    )


def wanted(scene: bpy.types.Scene) -> bool:
    """Whether rendering `scene` runs a compositor with a FaceGraft node in it."""
    tree = compat.compositor_tree(scene)
    return (
        tree is not None
        and compositor_runs(scene)
        and any(nodes.is_facegraft(node) for node in tree.nodes)
    )
