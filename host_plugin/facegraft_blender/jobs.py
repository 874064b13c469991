"""Work over many frames: a bar and Escape in the interface, a plain loop without one."""

import logging
from collections.abc import Callable, Generator, Iterator, Sequence

import bpy  # pyright: ignore[reportMissingImports]

from facegraft.errors import FacegraftError

from . import compat, nodes
from .swap import SceneSwap

_log = logging.getLogger(__name__)
_TICK_S = 0.01
running = False  # one job at a time; the live preview waits meanwhile


def active_node(context: bpy.types.Context) -> bpy.types.Node | None:
    """The scene's active node where it is a FaceGraft one."""
    tree = compat.compositor_tree(context.scene)
    node = tree.nodes.active if tree is not None else None
    return node if node is not None and nodes.is_facegraft(node) else None


def edited_node(context: bpy.types.Context) -> bpy.types.Node | None:
    """The FaceGraft node that the editor shows, which may stand in a strip's group; else as
    `active_node`."""
    node = getattr(context, "active_node", None)
    return node if node is not None and nodes.is_facegraft(node) else active_node(context)


class NodeOperator:
    """What comes before `bpy.types.Operator` in operators that work on one FaceGraft node, which
    `node_of` finds: the compositor's active one, or `edited_node` where no scene is needed.

    A subclass gives `work`: it gives a line for the user, or none, and raises FacegraftError or
    OSError with what went wrong.
    """

    report: Callable[[set[str], str], None]  # of bpy.types.Operator
    node_of = staticmethod(active_node)

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return cls.node_of(context) is not None

    def work(self, context: bpy.types.Context, node: bpy.types.Node) -> str:
        raise NotImplementedError

    def execute(self, context: bpy.types.Context) -> set[str]:
        node = self.node_of(context)
        assert node is not None  # poll
        try:
            line = self.work(context, node)
        except (FacegraftError, OSError) as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        if line:
            self.report({"INFO"}, line)
        return {"FINISHED"}


class JobOperator:
    """What comes before `bpy.types.Operator` in operators that go through the scene's frames.

    A subclass gives `steps`, a generator: it yields a line for the log before each frame, after
    which the interface is drawn and Escape is heard, cleans up in `finally`, and raises
    FacegraftError or OSError with what went wrong. Called by a script, or in background, all steps
    are done before the call returns. `count` is how many frames there are, by default the scene's.
    """

    _steps: Generator[str, None, None] | None = None
    _timer: bpy.types.Timer | None = None
    bl_label: str
    report: Callable[[set[str], str], None]  # of bpy.types.Operator

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return not running and active_node(context) is not None

    def steps(self, context: bpy.types.Context) -> Generator[str, None, None]:
        raise NotImplementedError

    def execute(self, context: bpy.types.Context) -> set[str]:
        self._begin(context)
        try:
            while not self._step():
                pass
        except (FacegraftError, OSError, RuntimeError) as error:
            self._fail(error)
            return {"CANCELLED"}
        finally:
            self._end(context)
        return {"FINISHED"}

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        self._begin(context)
        self._timer = context.window_manager.event_timer_add(_TICK_S, window=context.window)
        context.window_manager.modal_handler_add(self)
        context.workspace.status_text_set("FaceGraft: Escape stops")
        return {"RUNNING_MODAL"}

    def modal(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        if event.type == "ESC":
            self.report({"WARNING"}, "stopped; nothing was changed")
            self._end(context)
            return {"CANCELLED"}
        if event.type != "TIMER":
            return {"PASS_THROUGH"}
        try:
            if not self._step():
                return {"RUNNING_MODAL"}
        except (FacegraftError, OSError, RuntimeError) as error:
            self._fail(error)
            self._end(context)
            return {"CANCELLED"}
        self._end(context)
        return {"FINISHED"}

    def _begin(self, context: bpy.types.Context) -> None:
        global running
        running = True
        scene = context.scene
        self._frame_before = scene.frame_current
        self.count = max(1, scene.frame_end - scene.frame_start + 1)
        self._done = 0
        self._steps = self.steps(context)
        context.window_manager.progress_begin(0, 100)

    def _step(self) -> bool:
        """One frame; True where that was the last."""
        assert self._steps is not None
        line = next(self._steps, None)
        if line is None:
            return True
        self._done += 1
        bpy.context.window_manager.progress_update(100 * self._done / self.count)
        if bpy.app.background:
            _log.info("FaceGraft: %s", line)
        return False

    def _fail(self, error: Exception) -> None:
        self.report({"ERROR"}, str(error))
        _log.error("FaceGraft: %s: %s", self.bl_label, error)

    def _end(self, context: bpy.types.Context) -> None:
        global running
        steps, self._steps = self._steps, None
        if steps is not None:
            steps.close()  # runs its `finally`
        running = False
        manager = context.window_manager
        manager.progress_end()
        if self._timer is not None:
            manager.event_timer_remove(self._timer)
            context.workspace.status_text_set(None)
            self._timer = None
        context.scene.frame_set(self._frame_before)


def each_frame(
    scene: bpy.types.Scene, swap: SceneSwap, frames: Sequence[int] | None = None
) -> Iterator[int]:
    """The scene's frames, or those, each shown when it is given; `swap` is closed at the end."""
    if frames is None:
        frames = range(scene.frame_start, scene.frame_end + 1)
    try:
        for frame in frames:
            scene.frame_set(frame)
            yield frame
    finally:
        swap.close()
