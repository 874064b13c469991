"""Who plays whom in one request: the open models, and what each face brings along to its merge."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from facegraft.faces.face import Face
from facegraft.inference import SwapModel
from facegraft.merge.clip.choose import FaceChoice
from facegraft.merge.clip.seat import seated
from facegraft.merge.extras import FaceExtras
from facegraft.merge.params import MergeParams
from facegraft.worker.found import FoundFace
from facegraft.worker.request import CastEntry, Seating

Pick = Callable[[FaceChoice, Sequence[Face]], Sequence[Face]]  # those of a frame's faces


@dataclass(frozen=True, slots=True, eq=False)
class Casting:
    """own: the model of faces that no entry of the cast means; None leaves them as they are."""

    own: SwapModel | None
    parts: Sequence[tuple[CastEntry, SwapModel]]
    seat: Seating  # of `own`

    @property
    def model(self) -> SwapModel:
        """The merge's model; every face that has another one says so in its extras."""
        return self.own or self.parts[0][1]

    def of(
        self, found: Sequence[FoundFace], pick: Pick, params: MergeParams
    ) -> tuple[tuple[FoundFace, ...], list[FaceExtras]]:
        """`found` where faces without a model are not chosen any more, and what each of the chosen
        ones brings along, in their order. The first entry that means a face has it."""
        faces = [f.face for f in found if f.chosen]
        played: dict[int, tuple[SwapModel, Seating]] = {}
        for entry, model in self.parts:
            for face in pick(entry.choice, faces):
                played.setdefault(id(face), (model, entry.seat))
        if self.own is not None:
            for face in faces:
                played.setdefault(id(face), (self.own, self.seat))
        result = tuple(replace(f, chosen=f.chosen and id(f.face) in played) for f in found)
        extras = []
        for f in result:
            if f.chosen:
                model, seat = played[id(f.face)]
                placed = seated(params, seat) if seat else None
                other = None if model is self.model else model
                extras.append(FaceExtras(model=other, params=placed, motion=f.motion))
        return result, extras


def open_cast(
    own: Path | None,
    seat: Seating,
    entries: Sequence[CastEntry],
    opened: Callable[[Path], SwapModel],
) -> Casting:
    """Raises: NotAModel as `opened`."""
    parts = [(entry, opened(entry.model)) for entry in entries]
    return Casting(None if own is None else opened(own), parts, seat)
