"""What the user can do beside setting values: add a node, refresh, restart, match frame rates."""

from fractions import Fraction

import bpy  # pyright: ignore[reportMissingImports]

from facegraft.errors import FacegraftError

from . import compat, engine, graph, nodes, preview


def _active_node(context: bpy.types.Context) -> bpy.types.Node | None:
    """The scene's active node where it is a FaceGraft one."""
    tree = compat.compositor_tree(context.scene)
    node = tree.nodes.active if tree is not None else None
    return node if node is not None and nodes.is_facegraft(node) else None


def _rate_of(clip: bpy.types.Image | bpy.types.MovieClip) -> float:
    """Frames a second, 0 where Blender cannot read the movie.

    An Image does not tell its rate; a Movie Clip of the same file does.
    """
    if isinstance(clip, bpy.types.MovieClip):
        return clip.fps
    try:
        movie = bpy.data.movieclips.load(bpy.path.abspath(clip.filepath))
    except RuntimeError:
        return 0.0
    try:
        return movie.fps
    finally:
        bpy.data.movieclips.remove(movie)


class FACEGRAFT_OT_add_node(bpy.types.Operator):
    bl_idname = "facegraft.add_node"
    bl_label = "FaceGraft"
    bl_description = "Add a node that replaces the face in the picture that enters it"
    bl_options = {"REGISTER", "UNDO"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        tree = compat.ensure_compositor_tree(context.scene)
        for other in tree.nodes:
            other.select = False
        node = nodes.add_node(tree)
        space = context.space_data
        if space is not None and space.type == "NODE_EDITOR":
            node.location = space.cursor_location
        return {"FINISHED"}


class FACEGRAFT_OT_check_model(bpy.types.Operator):
    bl_idname = "facegraft.check_model"
    bl_label = "Read Model"
    bl_description = "Load the model and show what it says of itself"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        node = _active_node(context)
        return node is not None and bool(node.node_tree.facegraft.model_path)

    def execute(self, context: bpy.types.Context) -> set[str]:
        node = _active_node(context)
        assert node is not None  # poll
        try:
            engine.describe_model(bpy.path.abspath(node.node_tree.facegraft.model_path))
        except FacegraftError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        return {"FINISHED"}


class FACEGRAFT_OT_refresh(bpy.types.Operator):
    bl_idname = "facegraft.refresh"
    bl_label = "Refresh"
    bl_description = "Make the face of this frame anew, for example after a change in the 3D scene"

    def execute(self, _context: bpy.types.Context) -> set[str]:
        preview.request(forced=True)
        return {"FINISHED"}


class FACEGRAFT_OT_restart_engine(bpy.types.Operator):
    bl_idname = "facegraft.restart_engine"
    bl_label = "Restart Engine"
    bl_description = "End the engine process; the next frame starts a new one"

    def execute(self, _context: bpy.types.Context) -> set[str]:
        engine.stop()
        preview.request(forced=True)
        return {"FINISHED"}


class FACEGRAFT_OT_match_frame_rate(bpy.types.Operator):
    bl_idname = "facegraft.match_frame_rate"
    bl_label = "Scene Rate from Clip"
    bl_description = (
        "Set the scene's frame rate to that of the clip; Blender plays one clip frame per scene "
        "frame, and sound by time, so at another rate they drift apart"
    )
    bl_options = {"REGISTER", "UNDO"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        clip = graph.clip_of(_active_node(context))
        if clip is None:
            self.report({"ERROR"}, "no movie enters the active FaceGraft node")
            return {"CANCELLED"}
        rate = _rate_of(clip)
        if rate <= 0:
            self.report({"ERROR"}, f"Blender knows no frame rate of {clip.name}")
            return {"CANCELLED"}
        # fps is whole and fps_base divides it: 29.97 is 30 over 1.001
        whole = max(1, round(rate))
        context.scene.render.fps = whole
        context.scene.render.fps_base = float(Fraction(whole) / Fraction(rate))
        return {"FINISHED"}


_CLASSES = (
    FACEGRAFT_OT_add_node,
    FACEGRAFT_OT_check_model,
    FACEGRAFT_OT_refresh,
    FACEGRAFT_OT_restart_engine,
    FACEGRAFT_OT_match_frame_rate,
)


def _draw_add(menu: bpy.types.Menu, context: bpy.types.Context) -> None:
    if getattr(context.space_data, "tree_type", "") == "CompositorNodeTree":
        menu.layout.separator()
        menu.layout.operator(FACEGRAFT_OT_add_node.bl_idname, icon="USER")


def register() -> None:
    for cls in _CLASSES:
        bpy.utils.register_class(cls)
    bpy.types.NODE_MT_add.append(_draw_add)


def unregister() -> None:
    bpy.types.NODE_MT_add.remove(_draw_add)
    for cls in reversed(_CLASSES):
        bpy.utils.unregister_class(cls)
