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

from facegraft.errors import FacegraftError

from . import compat, engine, images, nodes, status
from .faces import FaceTable, load_faces
from .helper import Helper
from .props import IMAGE_INPUTS, SOCKET_ROWS, params_from
from .status import Outcome, Status

_log = logging.getLogger(__name__)


class SceneSwap:
    """The helpers of a scene's FaceGraft nodes, for one render or one refresh of the interface.

    Made before Blender evaluates the scene: only pixels may change while a frame renders.
    """

    nested = False  # true while a helper renders: Blender then calls the same handlers again

    def __init__(self, scene: bpy.types.Scene) -> None:
        self._scene = scene
        self._tree = compat.compositor_tree(scene)
        self._helpers: list[tuple[bpy.types.Node, Helper | None]] = []
        self._face_tables: dict[str, FaceTable] = {}
        assert self._tree is not None
        nodes.make_ready(self._tree)
        for node in nodes.active_nodes(self._tree):
            connected = nodes.source_socket(node) is not None
            self._helpers.append((node, Helper(scene, node) if connected else None))

    def close(self) -> None:
        for _, helper in self._helpers:
            if helper is not None:
                helper.close()
        self._helpers.clear()

    def frame(self) -> list[tuple[bpy.types.NodeTree, Status]]:
        """Bring every layer to the scene's current frame, and report how each went."""
        values = self._values()
        results = []
        for node, helper in self._helpers:
            result = self._node(node, helper, values[node.name])
            status.report(node.node_tree, result)
            results.append((node.node_tree, result))
        return results

    def _values(self) -> dict[str, dict[str, Any]]:
        """Each node's parameters with F-curves and drivers applied."""
        with _nested():
            evaluated = compat.evaluated_tree(self._scene)
        behind_image = slice(IMAGE_INPUTS, IMAGE_INPUTS + len(SOCKET_ROWS))
        return {
            node.name: params_from(
                [s.default_value for s in evaluated.nodes[node.name].inputs[behind_image]]
            )
            for node, _ in self._helpers
        }

    def _node(self, node: bpy.types.Node, helper: Helper | None, params: dict[str, Any]) -> Status:
        frame = self._scene.frame_current
        layer = nodes.layer_of(node.node_tree)
        written = False
        try:
            if helper is None:
                return Status(frame, Outcome.ERROR, f"{node.name}: nothing is connected to Image")
            settings = node.node_tree.facegraft
            if not settings.model_path:
                text = f"{node.name}: no model is chosen; choose a .dfm file in the FaceGraft panel"
                return Status(frame, Outcome.ERROR, text)
            start = time.perf_counter()
            with _nested():
                pixels = helper.render(self._scene)
            if pixels is None:
                return Status(frame, Outcome.CANCELLED)
            rendered = time.perf_counter()
            model = bpy.path.abspath(settings.model_path)
            landmarks = self._landmarks(settings, frame, pixels.shape[1], pixels.shape[0])
            reply = engine.merge(pixels, model, params, landmarks)
            merged = time.perf_counter()
            images.write_layer(layer, reply.layer)
            written = True
            ms = {
                "upstream": (rendered - start) * 1000,
                "engine": (merged - rendered) * 1000,
                "write": (time.perf_counter() - merged) * 1000,
                **{f"engine {stage}": value for stage, value in reply.ms.items()},
            }
            _log.debug("FaceGraft: frame %d: %s: %s", frame, node.name, ms)
            if reply.face_count == 0:
                text = f"{node.name}: no face in this frame; the source is shown"
                return Status(frame, Outcome.NO_FACE, text, ms=ms, cached=reply.cached)
            return Status(frame, Outcome.SWAPPED, "", reply.face_count, ms, reply.cached)
        except FacegraftError as error:
            return Status(frame, Outcome.ERROR, f"{node.name}: {error}")
        except Exception as error:  # Blender would print it and render on, with exit code 0
            _log.exception("FaceGraft: frame %d: %s", frame, node.name)
            return Status(frame, Outcome.ERROR, f"{node.name}: {type(error).__name__}: {error}")
        finally:
            if not written:
                images.clear_layer(layer)

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


@contextmanager
def _nested() -> Iterator[None]:
    before, SceneSwap.nested = SceneSwap.nested, True
    try:
        yield
    finally:
        SceneSwap.nested = before


def wanted(scene: bpy.types.Scene) -> bool:
    """Whether rendering `scene` runs a compositor with a FaceGraft node in it."""
    tree = compat.compositor_tree(scene)
    return (
        tree is not None
        and scene.render.use_compositing
        and not compat.sequencer_renders(scene)
        and any(nodes.is_facegraft(node) for node in tree.nodes)
    )
