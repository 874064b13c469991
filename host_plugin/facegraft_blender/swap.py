"""One frame of one scene: what enters each FaceGraft node in, its layer image out.

Nodes are done in graph order, so that in a chain the second one receives the first one's result.
Whatever goes wrong leaves the layer transparent, so the node shows its source, never an old face.
"""

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import bpy  # pyright: ignore[reportMissingImports]
import numpy as np

from facegraft.errors import FacegraftError, ParameterError
from facegraft.merge.params import MaskMode

from . import cache, card, compat, engine, graph, images, nodes
from .helper import Helper
from .places import Compositor, Place, StripModifier, places_of
from .props import IMAGE, MASK, SOCKET_ROWS, params_from
from .request import FrameRequest, check_models, frame_request
from .status import Outcome, Status

_log = logging.getLogger(__name__)

Helpers = Mapping[int, Helper | str]  # by picture input; text: why there is none


class SceneSwap:
    """The helpers of the FaceGraft nodes in one place of a scene, for one render or one refresh of
    the interface.

    Made before Blender evaluates the scene: only pixels may change while a frame renders.
    """

    nested = False  # true while a helper renders: Blender then calls the same handlers again

    def __init__(
        self, scene: bpy.types.Scene, wanted: str = "", place: Place | None = None
    ) -> None:
        """`wanted`: name of a node whose source is asked for, though it may be baked. `place`: None
        for the scene's compositor, which it then has (see `wanted`)."""
        self._scene = scene
        self._place = place or Compositor(scene, compat.compositor_tree(scene))
        self._helpers: list[tuple[str, Helpers]] = []  # in graph order
        tree = self._place.tree
        if place is None:
            nodes.make_ready(tree)
        for node in graph.active_nodes(tree):
            idle = nodes.is_baked(node.node_tree) and node.name != wanted
            helpers = {} if idle else _helpers_for(self._place, node)
            self._helpers.append((node.name, helpers))

    def close(self) -> None:
        for _, helpers in self._helpers:
            for helper in helpers.values():
                if isinstance(helper, Helper):
                    helper.close()
        self._helpers.clear()

    def frame(self) -> list[tuple[bpy.types.NodeTree, Status]]:
        """Bring every layer to the scene's current frame, and say how each went."""
        results = []
        for name, helpers in self._helpers if self._place.shown else ():
            node = self._place.tree.nodes.get(name)
            if node is not None:  # the user may remove one while the interface renders
                results.append((node.node_tree, self._node(node, helpers)))
        return results

    def entering(self, wanted: str) -> FrameRequest | None:
        """What the wanted node asks of the engine now; None where the user cancelled. Nodes before
        it in the graph show this frame's face already.

        Raises: ParameterError where nothing enters it, and what Blender's render raises.
        """
        return self._request(*self._reached(wanted))

    def source_pixels(self, wanted: str) -> np.ndarray | None:
        """The pixels alone, (H, W, 4) float32 RGBA, scene linear; needs no model. Raises: as
        `entering`."""
        _, helpers = self._reached(wanted)
        with _nested():
            return self._rendered(helpers, IMAGE)

    def _reached(self, wanted: str) -> tuple[bpy.types.Node, Helpers]:
        """The wanted node, once those before it are done."""
        for name, helpers in self._helpers:
            node = self._place.tree.nodes[name]
            if name == wanted:
                return node, helpers
            self._node(node, helpers)
        raise ParameterError(f"{wanted} reaches no output of the compositor; connect it")

    def _node(self, node: bpy.types.Node, helpers: Helpers) -> Status:
        baked = nodes.is_baked(node.node_tree)
        try:
            status = self._baked(node) if baked else self._swap(node, helpers)
        except FacegraftError as error:
            status = self._error(f"{node.name}: {error}")
        except Exception as error:  # Blender would print it and render on, with exit code 0
            _log.exception("FaceGraft: frame %d: %s", self._scene.frame_current, node.name)
            status = self._error(f"{node.name}: {type(error).__name__}: {error}")
        if not baked and status.outcome in (Outcome.ERROR, Outcome.CANCELLED):
            self._show_nothing(node, status)
        return status

    def _show_nothing(self, node: bpy.types.Node, status: Status) -> None:
        """The source, or by option the message over it."""
        layer = nodes.layer_of(node.node_tree)
        if status.outcome is Outcome.ERROR and node.node_tree.facegraft.on_error == "CARD":
            text = f"Frame {status.frame}: {status.message}"
            images.write_layer(layer, card.error_card(text, self._place.size(node)))
        else:
            images.clear_layer(layer)

    def _error(self, message: str) -> Status:
        return Status(self._scene.frame_current, Outcome.ERROR, message)

    def _baked(self, node: bpy.types.Node) -> Status:
        """Whether this frame is baked, and with these values. Raises: FacegraftError."""
        frame = self._scene.frame_current
        bake = cache.load_bake(nodes.cache_folder(node.node_tree))
        problem = bake.problem_at(frame)
        if problem:
            raise ParameterError(problem)
        evaluated = self._place.evaluated()
        values = params_from(graph.row_values(evaluated.nodes[node.name]))
        changed = bake.changes_since(frame, values, nodes.settings_of(node.node_tree))
        labels = {spec.row.name: spec.name for spec in SOCKET_ROWS}
        named = ", ".join(labels.get(name, name) for name in changed)
        notes = [f"baked with another value of {named}; bake again"] if changed else []
        return Status(frame, Outcome.BAKED, notes=notes)

    def _swap(self, node: bpy.types.Node, helpers: Helpers) -> Status:
        """Fill the node's layer. Raises: FacegraftError, and what Blender's render raises."""
        frame, start = self._scene.frame_current, time.perf_counter()
        request = self._request(node, helpers)
        if request is None:
            return Status(frame, Outcome.CANCELLED)
        rendered = time.perf_counter()
        reply = engine.merge(request.pixels, request.matte, request.values)
        merged = time.perf_counter()
        layer = nodes.layer_of(node.node_tree)
        images.write_part(layer, reply.part, reply.roi, reply.size)
        ms = {
            "upstream": (rendered - start) * 1000,
            "engine": (merged - rendered) * 1000,
            "write": (time.perf_counter() - merged) * 1000,
            **{f"engine {stage}": value for stage, value in reply.ms.items()},
        }
        outcome, text = Outcome.SWAPPED, ""
        if reply.face_count == 0:
            outcome = Outcome.NO_FACE
            text = f"{node.name}: no face in this frame; the source is shown"
        return Status(
            frame,
            outcome,
            text,
            getattr(reply, "notes", ()),
            getattr(reply, "faces", ()),
            request.size,
            ms,
            reply.cached,
        )

    def _request(self, node: bpy.types.Node, helpers: Helpers) -> FrameRequest | None:
        """What is asked for this frame; None where the user cancelled. Raises: as `_swap`."""
        tree = node.node_tree
        check_models(tree.facegraft)
        with _nested():
            evaluated = self._place.evaluated()
            params = params_from(graph.row_values(evaluated.nodes[node.name]))
            pixels = self._rendered(helpers, IMAGE)
            wants_mask = params["mask_mode"] == MaskMode.HOST
            mask = self._rendered(helpers, MASK) if wants_mask else None
        if pixels is None or (wants_mask and mask is None):
            return None
        return frame_request(self._scene.frame_current, tree.facegraft, params, pixels, mask)

    def _rendered(self, helpers: Helpers, which: int) -> np.ndarray | None:
        helper = helpers[which]
        if isinstance(helper, str):
            raise ParameterError(helper)
        return helper.render(self._scene)


def _helpers_for(place: Place, node: bpy.types.Node) -> Helpers:
    image = graph.source_socket(node, IMAGE)
    if image is None:
        return {IMAGE: "nothing is connected to Image", MASK: "nothing is connected to Image"}
    try:
        mask = graph.source_socket(node, MASK)
        missing = "mask mode host needs a picture in Mask; connect one or choose another mask mode"
        return {
            IMAGE: place.helper(node),
            MASK: missing if mask is None else place.helper(node, MASK),
        }
    except OSError as error:
        text = f"no temporary folder can be made: {error}"
        return {IMAGE: text, MASK: text}


@contextmanager
def _nested() -> Iterator[None]:
    before, SceneSwap.nested = SceneSwap.nested, True
    try:
        yield
    finally:
        SceneSwap.nested = before


def wanted(scene: bpy.types.Scene) -> bool:
    """Whether rendering `scene` runs a compositor with a FaceGraft node in it."""
    return any(isinstance(place, Compositor) for place in places_of(scene))


def swaps_of(scene: bpy.types.Scene) -> list[SceneSwap]:
    """One for each place in which rendering `scene` runs FaceGraft nodes."""
    swaps = []
    seen: set[str] = set()
    for place in places_of(scene):
        if isinstance(place, StripModifier):
            modifier = place.strip.modifiers[place.modifier_name]
            if modifier.node_group.name in seen:  # two strips may show at once
                modifier.node_group = modifier.node_group.copy()
            seen.add(modifier.node_group.name)
        nodes.make_ready(place.tree, seen)
        swaps.append(SceneSwap(scene, place=place))
    return swaps
