"""What a FaceGraft node keeps beside the table's rows: properties of its node tree.

They are saved in the file, take no keyframes, and survive where the add-on is missing.
"""

# Blender reads property definitions from annotations
# pyright: reportInvalidTypeForm=false

from typing import Any

import bpy  # pyright: ignore[reportMissingImports]
from bpy.props import (  # pyright: ignore[reportMissingImports]
    BoolProperty,
    CollectionProperty,
    EnumProperty,
    FloatProperty,
    FloatVectorProperty,
    IntProperty,
    PointerProperty,
    StringProperty,
)

from facegraft.merge.clip.params import ClipParams

from . import compat, nodes, preview


def _changed(_settings: bpy.types.PropertyGroup, _context: bpy.types.Context) -> None:
    preview.request()


def _source_changed(settings: bpy.types.PropertyGroup, _context: bpy.types.Context) -> None:
    nodes.show_source(settings.id_data)
    preview.request()


def _looks_changed(_settings: bpy.types.PropertyGroup, _context: bpy.types.Context) -> None:
    preview.redraw()


def _file(name: str, description: str) -> Any:
    return StringProperty(
        name=name,
        description=description,
        subtype="FILE_PATH",
        update=_changed,
        options=compat.PATH_OPTIONS,
    )


def _seat(whose: str) -> Any:
    return FloatVectorProperty(
        name="Seat",
        description=f"Added to the placement of {whose}: offsets to the right and down in permille "
        "of the face square, size in percent, turn in degrees. Seat the Face measures it",
        size=4,
        precision=2,
        update=_changed,
    )


class FaceGraftCastPart(bpy.types.PropertyGroup):
    choice: StringProperty(
        name="Who",
        description="The faces that this model plays, in the form of Swap",
        update=_changed,
    )
    model_path: _file("Model", "The face to put on them: a .dfm file")
    seat: _seat("this model's faces")


class FaceGraftSettings(bpy.types.PropertyGroup):
    model_path: _file(
        "Model", "The face to put on: a .dfm file, exported by FaceGraft or made elsewhere"
    )
    segmenter_path: _file(
        "XSeg", "Segmentation network (.onnx) for the xseg mask modes. Empty: none"
    )
    enhancer_path: _file(
        "Enhancer", "Super resolution or face restoration network (.onnx). Empty: none"
    )
    faces_path: _file(
        "Faces",
        "Track file or faceset folder of this very clip: its landmarks are used, and frames that "
        "have no face in it stay as they are. Empty: faces are detected in the picture",
    )
    faces_start: IntProperty(
        name="First frame",
        description="Scene frame that shows the first frame of the clip: where stored faces begin, "
        "and frame 0 of exported keyframes",
        default=1,
        update=_changed,
    )
    choice: StringProperty(
        name="Swap",
        description="Which faces: all, largest:1, left:1 (first from the left), near:0.4,0.5 (of "
        "width and height), track:1,3 (numbers from Faces), like:PICTURE (who resembles it; needs "
        "the recognition network)",
        default="all",
        update=_changed,
    )
    recognition_path: _file(
        "Recognition", "Face recognition network (.onnx, ArcFace kind), for like:PICTURE in Swap"
    )
    likeness: FloatProperty(
        name="Likeness",
        description="Least cosine similarity to the picture of like:",
        default=ClipParams().likeness,
        min=-1.0,
        max=1.0,
        soft_min=0.0,
        update=_changed,
    )
    cast: CollectionProperty(
        name="Cast",
        description="Other models for some of the faces; the first one that means a face has it, "
        "and faces that none means get the node's model, or stay as they are without one",
        type=FaceGraftCastPart,
    )
    seat: _seat("the model's faces")
    steady_path: _file(
        "Fits", "What Fit Steady wrote: each frame's colour and mask, for Steady color and mask"
    )
    source: EnumProperty(
        name="Source",
        description="Where the face layer comes from",
        items=(
            ("LIVE", "Live", "The engine makes it, frame by frame"),
            ("CACHE", "Baked", "From the EXR files that Bake wrote; needs no engine and no model"),
        ),
        default="LIVE",
        update=_source_changed,
    )
    cache_path: StringProperty(
        name="Cache",
        description="Folder for the baked layers. Empty: beside the .blend file, by node name",
        subtype="DIR_PATH",
        options=compat.PATH_OPTIONS,
        update=_source_changed,
    )
    on_error: EnumProperty(
        name="On error",
        description="What a render does where the face cannot be made",
        items=(
            ("PASS", "Pass through", "Show the source and go on; the message is in panel and log"),
            ("CARD", "Error card", "Lay the message over the frame and go on"),
            ("FAIL", "Stop", "A background render ends with exit code 3"),
            ("STRICT", "Stop, also without a face", "As Stop, and frames without a face count"),
        ),
        default="PASS",
    )
    show_faces: BoolProperty(
        name="Show faces",
        description="Draw landmarks and track numbers over the viewer's picture",
        update=_looks_changed,
    )


def register() -> None:
    bpy.utils.register_class(FaceGraftCastPart)
    bpy.utils.register_class(FaceGraftSettings)
    bpy.types.NodeTree.facegraft = PointerProperty(type=FaceGraftSettings)


def unregister() -> None:
    del bpy.types.NodeTree.facegraft
    bpy.utils.unregister_class(FaceGraftSettings)
    bpy.utils.unregister_class(FaceGraftCastPart)
