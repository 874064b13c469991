"""What a node asks of the engine for one frame: pixels, and settings in the engine's words."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bpy  # pyright: ignore[reportMissingImports]
import numpy as np

from facegraft.errors import ParameterError
from facegraft.merge.clip.params import SEAT_ROWS
from facegraft.worker.frame_message import CastPart

from . import compat
from .faces import load_faces


@dataclass(frozen=True, slots=True, eq=False)
class FrameRequest:
    """pixels: (H, W, 4) float32 RGBA, scene linear. matte: (H, W) float32 where the mask mode needs
    it. values: the other arguments of `WorkerClient.merge`."""

    pixels: np.ndarray
    matte: np.ndarray | None
    values: dict[str, Any]

    @property
    def size(self) -> tuple[int, int]:
        """Width and height, px."""
        return self.pixels.shape[1], self.pixels.shape[0]


def frame_request(
    frame: int,
    settings: Any,
    params: dict[str, Any],
    pixels: np.ndarray,
    mask: np.ndarray | None,
) -> FrameRequest:
    """The request of scene frame `frame`. Raises: what reading the stored faces raises."""
    size = (pixels.shape[1], pixels.shape[0])
    values = {
        **played(settings),
        "params": params,
        "color": compat.working_space(),
        "faces": _stored_faces(settings, frame, size),
        "frame": max(frame - settings.faces_start, 0),  # as the command line counts
        "segmenter": bpy.path.abspath(settings.segmenter_path),
        "enhancer": bpy.path.abspath(settings.enhancer_path),
        "seat": seat_of(settings),
        "fits": bpy.path.abspath(settings.steady_path),
        "recognition": bpy.path.abspath(settings.recognition_path),
        "likeness": settings.likeness,
    }
    return FrameRequest(pixels, None if mask is None else mask[..., :3].mean(axis=2), values)


def played(settings: Any) -> dict[str, Any]:
    """Which faces are swapped, and who plays them."""
    cast = [
        CastPart(_choice(part.choice), bpy.path.abspath(part.model_path), seat_of(part))
        for part in settings.cast
    ]
    return {
        "model": bpy.path.abspath(settings.model_path),
        "choice": _choice(settings.choice),
        "cast": cast,
    }


def _choice(text: str) -> str:
    """A choice with the whole path of its picture, which may stand beside the .blend file."""
    kind, colon, picture = text.partition(":")
    is_like = kind.strip().lower() == "like" and picture.strip()
    return f"like{colon}{bpy.path.abspath(picture.strip())}" if is_like else text


def check_models(settings: Any) -> None:
    """Raises: ParameterError where nobody's face is to be put on."""
    if not settings.model_path and not settings.cast:
        raise ParameterError("no model is chosen; choose a .dfm file in the FaceGraft panel")
    for part in settings.cast:
        if not part.model_path or not part.choice:
            raise ParameterError("the cast has an entry without Who or Model; fill or remove it")


def seat_of(settings: Any) -> dict[str, float]:
    """The seat of a node's own model, or of one of its cast, by row; empty where it has none."""
    values = {str(row): value for row, value in zip(SEAT_ROWS, settings.seat, strict=True)}
    return values if any(values.values()) else {}


def _stored_faces(settings: Any, frame: int, size: tuple[int, int]) -> list[dict[str, Any]] | None:
    """Faces from the node's track file or faceset; None where the engine is to detect them."""
    if not settings.faces_path:
        return None
    table = load_faces(Path(bpy.path.abspath(settings.faces_path)))
    return table.at(frame - settings.faces_start, *size)
