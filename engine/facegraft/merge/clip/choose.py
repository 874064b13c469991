"""Which of a frame's faces are meant: by number, size, place, or who they are.

A choice has a text form, for the command line, JSON and hosts:

    all             every face
    largest:2       the two largest
    track:1,3       the faces followed under these numbers
    near:0.4,0.5    the face nearest to a point, 0 to 1 of the frame's width and height
    left:1,2        the first and second from the left
    like:ada.png    who resembles a picture, or a folder of pictures; `likeness.py` turns it into
                    track numbers

`largest` ranks faces by the size of their tracks, so that two people of like size do not change
places from frame to frame. `near` and `left` look at each frame by itself; to stay with somebody
who moves, take the number of the track.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

from facegraft.errors import ParameterError
from facegraft.faces.face import Face
from facegraft.merge.clip.faces import ClipFaces

N = TypeVar("N", int, float)

FORMS = "all, largest:N, track:N,N, near:X,Y, left:N,N or like:PICTURE"


class ChoiceKind(StrEnum):
    ALL = "all"
    LARGEST = "largest"
    TRACK = "track"
    NEAR = "near"
    LEFT = "left"
    LIKE = "like"


@dataclass(frozen=True, slots=True)
class FaceChoice:
    """A choice of faces; `parse_choice` makes it from its text form."""

    kind: ChoiceKind = ChoiceKind.ALL
    numbers: tuple[int, ...] = ()  # tracks, places from the left counted from 1, or how many
    point: tuple[float, float] = (0.5, 0.5)  # of near: 0..1 of the frame from its top left
    picture: Path | None = None  # of like

    def pick(
        self,
        faces: Sequence[Face],
        width: int,
        height: int,
        sizes: Mapping[int, float] | None = None,
    ) -> tuple[Face, ...]:
        """Those of one frame's faces that are meant, in their order.

        width, height: of the frame, px. sizes: px by track, where the whole clip is known.
        Raises: ParameterError for `like`, which compares pixels: `likeness.py` answers it for a
        clip, `worker/alike.py` for a frame.
        """
        return tuple(faces[i] for i in sorted(self._indices(faces, width, height, sizes or {})))

    def _indices(
        self, faces: Sequence[Face], width: int, height: int, sizes: Mapping[int, float]
    ) -> list[int]:
        everyone = range(len(faces))
        match self.kind:
            case ChoiceKind.ALL:
                return list(everyone)
            case ChoiceKind.LARGEST:
                rank = {i: sizes.get(faces[i].track, faces[i].size_px) for i in everyone}
                return sorted(everyone, key=lambda i: -rank[i])[: self.numbers[0]]
            case ChoiceKind.TRACK:
                return [i for i in everyone if faces[i].track in self.numbers]
            case ChoiceKind.NEAR:
                x, y = self.point[0] * width, self.point[1] * height
                return sorted(everyone, key=lambda i: math.dist(_center(faces[i]), (x, y)))[:1]
            case ChoiceKind.LEFT:
                ordered = sorted(everyone, key=lambda i: _center(faces[i])[0])
                return [ordered[n - 1] for n in self.numbers if n <= len(ordered)]
            case ChoiceKind.LIKE:
                raise ParameterError(
                    f"{self} needs a face recognition model and the whole clip; give --recognition "
                    "MODEL.onnx, or choose by track:N"
                )

    def __str__(self) -> str:
        match self.kind:
            case ChoiceKind.ALL:
                return "all"
            case ChoiceKind.NEAR:
                return f"near:{self.point[0]:g},{self.point[1]:g}"
            case ChoiceKind.LIKE:
                return f"like:{self.picture}"
        return f"{self.kind}:{','.join(map(str, self.numbers))}"


EVERYONE = FaceChoice()


def choose(clip: ClipFaces, choice: FaceChoice, width: int, height: int) -> ClipFaces:
    """The clip with the chosen faces alone; `width` and `height` of its frames, px.

    Raises: ParameterError where a chosen track does not exist, and for `like`.
    """
    tracks = clip.tracks()
    if choice.kind is ChoiceKind.TRACK:
        known = {track.number for track in tracks}
        missing = [number for number in choice.numbers if number not in known]
        if missing:
            raise ParameterError(
                f"no face is followed as track {', '.join(map(str, missing))}; the clip has "
                f"{_shortened(sorted(known))}. `facegraft faceset tracks` shows who is who"
            )
    sizes = {track.number: track.size_px for track in tracks}
    chosen = {
        index: choice.pick(faces, width, height, sizes) for index, faces in clip.frames.items()
    }
    return ClipFaces({index: faces for index, faces in chosen.items() if faces})


def parse_choice(text: str) -> FaceChoice:
    """A choice from its text form. Raises: ParameterError naming the text and the known forms."""
    name, _, rest = text.strip().partition(":")
    try:
        kind = ChoiceKind(name.strip().lower())
    except ValueError:
        raise ParameterError(f"faces are chosen by {text!r}; it can be {FORMS}") from None
    match kind:
        case ChoiceKind.ALL:
            if rest:
                raise ParameterError(f"{text!r}: `all` takes nothing after it")
            return EVERYONE
        case ChoiceKind.LIKE:
            if not rest.strip():
                raise ParameterError(f"{text!r} names no picture; write like:ada.png")
            return FaceChoice(kind, picture=Path(rest.strip()))
        case ChoiceKind.NEAR:
            x, y = _numbers(text, rest, float, "two numbers, 0 to 1", 2)
            if not (0 <= x <= 1 and 0 <= y <= 1):
                raise ParameterError(f"{text!r}: the point lies outside 0 to 1 of the frame")
            return FaceChoice(kind, point=(x, y))
        case ChoiceKind.LARGEST:
            numbers = _numbers(text, rest or "1", int, "how many", 1)
        case _:
            numbers = _numbers(text, rest, int, "numbers such as 1,3")
    least = 0 if kind is ChoiceKind.TRACK else 1
    if min(numbers) < least:
        raise ParameterError(f"{text!r}: {min(numbers)} is too low; the numbers begin at {least}")
    return FaceChoice(kind, tuple(dict.fromkeys(numbers)))


def _numbers(text: str, rest: str, kind: Callable[[str], N], what: str, count: int = 0) -> list[N]:
    try:
        numbers = [kind(part) for part in rest.split(",")]
    except ValueError:
        numbers = []
    if not numbers or (count and len(numbers) != count) or not all(map(math.isfinite, numbers)):
        raise ParameterError(f"{text!r} takes {what} after the colon")
    return numbers


def _center(face: Face) -> tuple[float, float]:
    x0, y0, x1, y1 = face.box
    return (x0 + x1) / 2, (y0 + y1) / 2


def _shortened(numbers: Sequence[int], shown: int = 12) -> str:
    text = ", ".join(map(str, numbers[:shown])) or "none"
    return f"{text}, and {len(numbers) - shown} more" if len(numbers) > shown else text
