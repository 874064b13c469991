"""Who plays whom: another model for each of the clip's people, in one pass.

A part gives a model to the faces of a choice; its text form is CHOICE=MODEL, and a bare number
means a track:

    1=ada.dfm    left:2=ben.dfm    like:carol.png=carol.dfm

The first part that means a face has it. Faces that no part means get the merge's own model, or are
left alone where there is none. `FaceExtras.model` carries the answer into `merge_frame`.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from facegraft.errors import ParameterError
from facegraft.faces.face import Face
from facegraft.inference import SwapModel
from facegraft.merge.clip.choose import FaceChoice, choose, parse_choice
from facegraft.merge.clip.faces import ClipFaces

Part = tuple[FaceChoice, SwapModel]

_TRACKS = re.compile(r"[\d,\s]+")


@dataclass(frozen=True, slots=True, eq=False)
class CastClip:
    """The faces of a clip that have a model, and the model of each, frame by frame."""

    clip: ClipFaces
    models: Mapping[int, tuple[SwapModel, ...]]  # in the order of the frame's faces


def parse_part(text: str) -> tuple[FaceChoice, Path]:
    """A choice and the path of its model. Raises: ParameterError naming the text."""
    who, equals, path = text.partition("=")
    if not equals or not who.strip() or not path.strip():
        raise ParameterError(f"cast {text!r} is no CHOICE=MODEL; write 1=ada.dfm or left:2=ben.dfm")
    choice = parse_choice(f"track:{who}" if _TRACKS.fullmatch(who) else who)
    return choice, Path(path.strip())


def cast_frame(
    faces: Sequence[Face],
    parts: Sequence[Part],
    width: int,
    height: int,
    otherwise: SwapModel | None = None,
    sizes: Mapping[int, float] | None = None,
) -> tuple[tuple[Face, ...], tuple[SwapModel, ...]]:
    """The faces of one frame that have a model, in their order, and the model of each.

    width, height: of the frame, px. otherwise: the model of faces that no part means.
    Raises: ParameterError for a choice `like`, which `resolve_like` must have answered before.
    """
    models: list[SwapModel | None] = [None] * len(faces)
    for choice, model in parts:
        chosen = choice.pick(faces, width, height, sizes)
        for i, face in enumerate(faces):
            if models[i] is None and any(face is one for one in chosen):
                models[i] = model
    pairs = [(f, m or otherwise) for f, m in zip(faces, models, strict=True)]
    kept = [(face, model) for face, model in pairs if model is not None]
    return tuple(face for face, _ in kept), tuple(model for _, model in kept)


def cast_clip(
    clip: ClipFaces,
    parts: Sequence[Part],
    width: int,
    height: int,
    otherwise: SwapModel | None = None,
) -> CastClip:
    """The same for every frame of a clip. Raises: ParameterError, also for a track that the clip
    has not."""
    for choice, _ in parts:
        choose(clip, choice, width, height)  # refuses a track that is not there
    sizes = {track.number: track.size_px for track in clip.tracks()}
    frames: dict[int, tuple[Face, ...]] = {}
    models: dict[int, tuple[SwapModel, ...]] = {}
    for index, faces in clip.frames.items():
        kept, played_by = cast_frame(faces, parts, width, height, otherwise, sizes)
        if kept:
            frames[index], models[index] = kept, played_by
    return CastClip(ClipFaces(frames), models)
