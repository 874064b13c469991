"""Track Faces: find and follow the faces in what enters a node, once, into a file.

The file stands beside the .blend file. From then on a frame's faces come from it: with numbers to
choose by, steadied over time, and with the neighbours that motion blur needs.
"""

from collections.abc import Generator
from pathlib import Path

import bpy  # pyright: ignore[reportMissingImports]

from facegraft.controls import Row, controls_of
from facegraft.errors import ParameterError
from facegraft.merge.clip.params import ClipParams

from . import compat, engine
from .jobs import JobOperator, active_node, each_frame
from .swap import SceneSwap, wanted

# Blender reads property definitions from annotations
# pyright: reportInvalidTypeForm=false

# which faces show is the node's own choice, and the report is the command line's
_GROUP = "Tracks"
ROWS = tuple(row for row in controls_of(ClipParams) if row.control.group == _GROUP)


def _property(row: Row) -> object:
    hard, soft = row.control.hard, row.slider
    assert hard is not None and soft is not None  # rows of this group are numbers with limits
    make = bpy.props.IntProperty if row.type is int else bpy.props.FloatProperty
    kind = row.type
    return make(
        name=row.control.label,
        description=row.control.help,
        default=row.default,
        min=kind(hard[0]),
        max=kind(hard[1]),
        soft_min=kind(soft[0]),
        soft_max=kind(soft[1]),
    )


class FACEGRAFT_OT_track_faces(JobOperator, bpy.types.Operator):
    bl_idname = "facegraft.track_faces"
    bl_label = "Track Faces"
    bl_description = (
        "Find and follow the faces in the picture that enters this node, in every scene frame, and "
        "use them from then on"
    )

    __annotations__ = {row.name: _property(row) for row in ROWS}

    def steps(self, context: bpy.types.Context) -> Generator[str, None, None]:
        scene, node = context.scene, active_node(context)
        assert node is not None  # poll
        if not wanted(scene):
            raise ParameterError("this scene's render does not run the compositor")
        name, settings = node.name, node.node_tree.facegraft
        path = beside_blend(node, "tracks.json")
        with engine.connection() as tracking:
            swap = SceneSwap(scene, name)
            for frame in each_frame(scene, swap):
                yield f"searches frame {frame}"
                pixels = swap.source_pixels(name)
                if pixels is None:
                    raise ParameterError("the render was cancelled")
                index = frame - scene.frame_start
                tracking.search(pixels, index, compat.working_space(), first=index == 0)
            options = {row.name: getattr(self, row.name) for row in ROWS}
            found = tracking.save_tracks(str(path), options)
        settings.faces_path = bpy.path.relpath(str(path))
        settings.faces_start = scene.frame_start
        self.report(
            {"INFO"},
            f"{found['tracks']} tracks in {found['frames']} frames, "
            f"{found['frames_without_face']} without a face: {path}",
        )


def beside_blend(node: bpy.types.Node, ending: str) -> Path:
    """A node's file beside the .blend file, by both names.

    Raises: ParameterError where that was never saved.
    """
    if not bpy.data.filepath:
        raise ParameterError("save the .blend file first; what is found is written beside it")
    blend = Path(bpy.data.filepath)
    name = bpy.path.clean_name(node.node_tree.name)
    return blend.with_name(f"{blend.stem}.{name}.{ending}")
