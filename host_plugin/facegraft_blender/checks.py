"""What would make a render look wrong without any error: said in the panel, and in the log once."""

from collections.abc import Iterator

import bpy  # pyright: ignore[reportMissingImports]

from facegraft.errors import FacegraftError

from . import compat, graph
from .props import SOCKET_ROWS

_LOOKING_ALONG = [
    spec.name for spec in SOCKET_ROWS if spec.row.name in ("smooth_color", "smooth_mask")
]
_RATE_TOLERANCE = 0.001  # frames a second; 29.97 and 30 differ by 0.03
_rates: dict[str, float] = {}  # frames a second by movie file; an Image does not tell its rate


def warnings(scene: bpy.types.Scene, node: bpy.types.Node) -> list[str]:
    """Sentences about one FaceGraft node and its scene; reads only, so drawing may ask."""
    return [
        *_value_warnings(node),
        *_steady_warnings(node),
        *_color_warnings(scene),
        *_clip_warnings(scene, node),
    ]


def _value_warnings(node: bpy.types.Node) -> Iterator[str]:
    try:
        graph.row_values(node)
    except FacegraftError as error:
        yield str(error)


def _steady_warnings(node: bpy.types.Node) -> Iterator[str]:
    """Whether a row looks along time that nothing was fitted for; each frame says what is stale."""
    settings = node.node_tree.facegraft
    if settings.source == "LIVE" and not settings.steady_path:
        for label in _LOOKING_ALONG:
            if node.inputs[label].default_value > 0:
                yield f"{label} does nothing until the clip is fitted: press Fit Steady"


def _color_warnings(scene: bpy.types.Scene) -> Iterator[str]:
    transform = scene.view_settings.view_transform
    if transform != "Standard":
        yield f"The view transform is {transform}, not Standard: footage changes its look"
    elif scene.view_settings.exposure != 0 or scene.view_settings.gamma != 1:
        yield "The view has an exposure or gamma of its own: footage changes its look"
    if compat.sequencer_renders(scene):
        yield "The sequencer has a picture strip: renders skip the compositor"


def _clip_warnings(scene: bpy.types.Scene, node: bpy.types.Node) -> Iterator[str]:
    clip = graph.clip_of(node)
    scene_rate = scene.render.fps / scene.render.fps_base
    rate = known_rate(clip) if clip is not None else 0.0
    if rate > 0 and abs(rate - scene_rate) > _RATE_TOLERANCE:
        yield f"The clip has {rate:g} frames a second, the scene {scene_rate:g}: sound drifts"
    source = graph.source_socket(node)
    size = graph.picture_size(source) if source is not None else None
    share = scene.render.resolution_percentage / 100
    shown = (
        round(scene.render.resolution_x * share),
        round(scene.render.resolution_y * share),
    )
    if size is not None and size != shown:
        yield (
            f"The clip is {size[0]}x{size[1]} px, the render {shown[0]}x{shown[1]}: it is cropped "
            "or has a border"
        )


def read_rates(scene: bpy.types.Scene) -> None:
    """`read_rate` for what enters the scene's FaceGraft nodes, so that `warnings` knows."""
    tree = compat.compositor_tree(scene)
    for node in graph.active_nodes(tree) if tree is not None else ():
        clip = graph.clip_of(node)
        if clip is not None:
            read_rate(clip)


def known_rate(clip: bpy.types.Image | bpy.types.MovieClip) -> float:
    """Frames a second, 0 where `read_rate` was not asked before or nobody knows."""
    if isinstance(clip, bpy.types.MovieClip):
        return clip.fps
    return _rates.get(bpy.path.abspath(clip.filepath), 0.0)


def read_rate(clip: bpy.types.Image | bpy.types.MovieClip) -> float:
    """As `known_rate`, asking Blender where needed: a Movie Clip of the same file knows.

    Not for drawing, since it makes a data-block for a moment.
    """
    path = bpy.path.abspath(clip.filepath)
    known = isinstance(clip, bpy.types.MovieClip) or clip.source != "MOVIE"
    if not known and path not in _rates:
        try:
            movie = bpy.data.movieclips.load(path)
        except RuntimeError:
            _rates[path] = 0.0
        else:
            _rates[path] = movie.fps
            bpy.data.movieclips.remove(movie)
    return known_rate(clip)
