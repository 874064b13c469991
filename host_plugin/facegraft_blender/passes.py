"""Passes over the clip beside Track Faces: what looks along time is fitted, and faces are seated.

Both work on what enters the node, in the engine, and need to know its tracks.
"""

from collections.abc import Generator
from pathlib import Path

import bpy  # pyright: ignore[reportMissingImports]

from facegraft.errors import ParameterError
from facegraft.merge.clip.params import SEAT_ROWS
from facegraft.worker.clip_client import ClipPasses, MeasuredSeat

from . import compat, curves, engine
from .jobs import JobOperator, active_node, each_frame
from .request import check_models, played
from .swap import SceneSwap, wanted
from .track import beside_blend

_CANCELLED = "the render was cancelled"


class FACEGRAFT_OT_fit_steady(JobOperator, bpy.types.Operator):
    bl_idname = "facegraft.fit_steady"
    bl_label = "Fit Steady"
    bl_description = (
        "Fit colour and mask of the tracked faces in every scene frame, so that Steady color and "
        "Steady mask can average them over time. Both may be turned afterwards without another pass"
    )

    def steps(self, context: bpy.types.Context) -> Generator[str, None, None]:
        scene, node = context.scene, active_node(context)
        assert node is not None  # poll
        name, settings = node.name, node.node_tree.facegraft
        _check(scene, settings)
        path = beside_blend(node, "steady.zip")
        first = max(scene.frame_start, settings.faces_start)
        frames = range(first, scene.frame_end + 1)
        if not frames:
            raise ParameterError(
                f"the scene ends at frame {scene.frame_end}, the clip begins at {first}"
            )
        self.count = len(frames)
        with engine.connection() as connection:
            passes = ClipPasses(connection)
            swap = SceneSwap(scene, name)
            for frame in each_frame(scene, swap, frames):
                yield f"fits frame {frame}"
                asked = swap.entering(name)
                if asked is None:
                    raise ParameterError(_CANCELLED)
                is_first = frame == first
                passes.fit(asked.pixels, first=is_first, matte=asked.matte, **asked.values)
            found = passes.save_fits(str(path))
        settings.steady_path = bpy.path.relpath(str(path))
        self.report({"INFO"}, f"{found['faces']} faces fitted in {found['frames']} frames: {path}")


class FACEGRAFT_OT_seat_face(JobOperator, bpy.types.Operator):
    bl_idname = "facegraft.seat_face"
    bl_label = "Seat the Face"
    bl_description = (
        "Measure in some frames how far the model's faces, and those of the cast, lie off their "
        "place, and correct the placement by it: the values stand under Seat"
    )

    def steps(self, context: bpy.types.Context) -> Generator[str, None, None]:
        scene, node = context.scene, active_node(context)
        assert node is not None  # poll
        name, settings = node.name, node.node_tree.facegraft
        _check(scene, settings)
        faces = bpy.path.abspath(settings.faces_path)
        with engine.connection() as connection:
            passes = ClipPasses(connection)
            swap = SceneSwap(scene, name)
            try:
                pixels = swap.source_pixels(name)
                if pixels is None:
                    raise ParameterError(_CANCELLED)
                size = (pixels.shape[1], pixels.shape[0])
                params = curves.values_now(scene, name)
                planned = passes.plan_seats(faces, size, params, **played(settings))
            except BaseException:
                swap.close()
                raise
            self.count = len(planned)
            frames = [index + settings.faces_start for index in planned]
            for frame in each_frame(scene, swap, frames):
                yield f"looks at frame {frame}"
                pixels = swap.source_pixels(name)
                if pixels is None:
                    raise ParameterError(_CANCELLED)
                passes.look(pixels, frame - settings.faces_start, compat.working_space())
            found = passes.seats()
        for measured in found:
            _write(settings, measured)
            values = ", ".join(f"{row} {measured.seat[row]:+.2f}" for row in SEAT_ROWS)
            model = Path(measured.model).name
            self.report({"INFO"}, f"seat of {model}, from {measured.frames} frames: {values}")


def _check(scene: bpy.types.Scene, settings: bpy.types.PropertyGroup) -> None:
    """Raises: ParameterError where there is nothing to go through."""
    if not wanted(scene):
        raise ParameterError("this scene's render does not run the compositor")
    if not settings.faces_path:
        raise ParameterError("the faces are not followed yet; press Track Faces first")
    check_models(settings)


def _write(settings: bpy.types.PropertyGroup, measured: MeasuredSeat) -> None:
    """Give a seat to whoever has that model."""
    for holder in (settings, *settings.cast):
        path = bpy.path.abspath(holder.model_path)
        if path and Path(path) == Path(measured.model):
            holder.seat = [measured.seat[row] for row in SEAT_ROWS]
