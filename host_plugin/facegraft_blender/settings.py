"""What a FaceGraft node keeps beside the table's rows: properties of its node tree.

They are saved in the file, take no keyframes, and survive where the add-on is missing.
"""

# Blender reads property definitions from annotations
# pyright: reportInvalidTypeForm=false

import bpy  # pyright: ignore[reportMissingImports]
from bpy.props import EnumProperty, IntProperty, PointerProperty, StringProperty  # pyright: ignore[reportMissingImports]

from . import preview


def _changed(_settings: bpy.types.PropertyGroup, _context: bpy.types.Context) -> None:
    preview.request()


class FaceGraftSettings(bpy.types.PropertyGroup):
    model_path: StringProperty(
        name="Model",
        description="The face to put on: a .dfm file, exported by FaceGraft or made elsewhere",
        subtype="FILE_PATH",
        update=_changed,
    )
    faces_path: StringProperty(
        name="Faces",
        description="Faceset folder of this very clip; its landmarks are used and frames without "
        "an image in it stay as they are. Empty: faces are detected in the picture",
        subtype="DIR_PATH",
        update=_changed,
    )
    faces_start: IntProperty(
        name="First frame",
        description="Scene frame that shows the first frame of the clip the faces come from",
        default=1,
        update=_changed,
    )
    on_error: EnumProperty(
        name="On error",
        description="What a render does where the face cannot be made",
        items=(
            ("PASS", "Pass through", "Show the source and go on; the message is in panel and log"),
            ("FAIL", "Stop", "A background render ends with exit code 3"),
            ("STRICT", "Stop, also without a face", "As Stop, and frames without a face count"),
        ),
        default="PASS",
    )


def register() -> None:
    bpy.utils.register_class(FaceGraftSettings)
    bpy.types.NodeTree.facegraft = PointerProperty(type=FaceGraftSettings)


def unregister() -> None:
    del bpy.types.NodeTree.facegraft
    bpy.utils.unregister_class(FaceGraftSettings)
