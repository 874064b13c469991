"""Which faces make which batch: shuffled passes over a list of faces, laid end to end.

Face number `position` of a run is a function of seed, side, position and the list, and nothing
else, so a resumed run goes on exactly and every process of several computes the same. A list that
changes while training runs begins a new `Stretch` of passes; the sampler's state is the stretches
that are still to come.
"""

import base64
import hashlib
import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from facegraft.errors import CheckpointError
from facegraft.faces.face import AlignedFace

YAW_BINS = 128  # DeepFaceLab's, as the next: finer than a face's turn can be told
YAW_REACH = 1.2  # radians; the outermost bins hold what is turned further
STRETCHES = 8  # kept for going back to an earlier save; a list each

Part = tuple[int, int]  # rank and number of the processes that share a batch


def random_seed(*key: int | str) -> int:
    """A 63-bit seed from a key such as (run seed, "src", draw number), alike on every machine."""
    text = "/".join(map(str, key)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big") >> 1


def part_rows(batch_size: int, part: Part) -> slice:
    """The rows of a whole batch that are this process's."""
    rank, count = part
    return slice(rank * batch_size // count, (rank + 1) * batch_size // count)


@lru_cache(maxsize=64)  # the passes and yaw bins in flight on both sides
def shuffled(count: int, *key: int | str) -> np.ndarray:
    """(count,) a permutation that the key draws."""
    return np.random.default_rng(random_seed(*key)).permutation(count)


@dataclass(frozen=True, slots=True, eq=False)
class Stretch:
    """Passes over one list of faces, until the next stretch begins."""

    number: int  # of its first pass, counted from the run's beginning
    first: int  # position of that pass
    faces: tuple[AlignedFace, ...]

    def pass_at(self, position: int) -> int:
        return self.number + (position - self.first) // len(self.faces)

    def start_of(self, number: int) -> int:
        return self.first + (number - self.number) * len(self.faces)


class Sampler:
    """One side's order."""

    def __init__(
        self,
        faces: Sequence[AlignedFace],
        side: str,
        seed: int,
        batch_size: int,
        uniform_yaw: bool = False,
        state: dict[str, Any] | None = None,
    ) -> None:
        self._key, self.batch_size, self.uniform_yaw = (seed, side), batch_size, uniform_yaw
        self.stretches = [Stretch(0, 0, tuple(faces))]
        self.decided = 0  # the position up to which no change of the list may reach any more
        if state is not None:
            self.stretches, self.decided = _restored(state, tuple(faces), batch_size)
        self._bins: dict[Stretch, list[np.ndarray]] = {}

    def stretch_at(self, position: int) -> Stretch:
        begun = [s for s in self.stretches if s.first <= position]
        return begun[-1] if begun else self.stretches[0]

    @property
    def boundary(self) -> int:
        """The position of the first pass that another list could begin with."""
        newest = self.stretches[-1]
        return newest.start_of(newest.pass_at(self.decided - 1) + 1)

    def change(self, faces: Sequence[AlignedFace]) -> Stretch:
        """Another list, from the boundary on."""
        number = self.stretches[-1].pass_at(self.boundary)
        new = Stretch(number, self.boundary, tuple(faces))
        kept = [s for s in self.stretches if s.first < new.first]
        self.stretches = [*kept[-STRETCHES:], new]
        self._bins = {s: bins for s, bins in self._bins.items() if s in self.stretches}
        return new

    def picks(self, draw: int) -> list[tuple[Stretch, int]]:
        """For every face of batch `draw`, its stretch and its number in the stretch's list."""
        positions = range(draw * self.batch_size, (draw + 1) * self.batch_size)
        return [self._pick(position) for position in positions]

    def references(self, draw: int) -> list[tuple[Stretch, int]]:
        """As many faces, of the list that batch `draw` begins with, drawn without regard to it."""
        stretch = self.stretch_at(draw * self.batch_size)
        rng = np.random.default_rng(random_seed(*self._key, "reference", draw))
        numbers = rng.integers(len(stretch.faces), size=self.batch_size)
        return [(stretch, int(number)) for number in numbers]

    def _pick(self, position: int) -> tuple[Stretch, int]:
        stretch = self.stretch_at(position)
        if self.uniform_yaw:
            return stretch, self._pick_yaw(stretch, position - stretch.first)
        number = stretch.pass_at(position)
        order = shuffled(len(stretch.faces), *self._key, "order", number)
        return stretch, int(order[position - stretch.start_of(number)])

    def _pick_yaw(self, stretch: Stretch, place: int) -> int:
        """All turns in shuffled order, and for each the next of its own shuffled faces."""
        if stretch not in self._bins:
            self._bins[stretch] = yaw_bins([face.pose.yaw for face in stretch.faces])
        bins = self._bins[stretch]
        key = (*self._key, "yaw", stretch.number)
        visit, turn = divmod(place, len(bins))
        which = int(shuffled(len(bins), *key, visit)[turn])
        lap, number = divmod(visit, len(bins[which]))  # a round visits each bin exactly once
        return int(bins[which][shuffled(len(bins[which]), *key, "bin", which, lap)[number]])

    def state(self, draw: int) -> dict[str, Any]:
        """What a later sampler needs to go on at `draw`, as JSON values."""
        position = draw * self.batch_size
        at = self.stretches.index(self.stretch_at(position))
        stretches = [
            {
                "pass": s.number,
                "first": s.first,
                "digest": list_digest(s.faces),
                "faces": _pack(s.faces),
            }
            for s in self.stretches[at:]
        ]
        return {"draw": draw, "ahead": self.decided - position, "stretches": stretches}


def yaw_bins(yaws: Sequence[float]) -> list[np.ndarray]:
    """Numbers of the faces in every turn that occurs, from `yaws` in degrees."""
    share = (YAW_REACH - np.radians(np.asarray(yaws, np.float64))) / (2 * YAW_REACH)
    bins = np.clip(np.floor(share * YAW_BINS), 0, YAW_BINS - 1)
    return [np.flatnonzero(bins == value) for value in np.unique(bins)]


def list_digest(faces: Sequence[AlignedFace]) -> str:
    """sha256 over names and contents, first 16 digits."""
    text = "\n".join(f"{face.path.name} {face.digest}" for face in faces)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _label(face: AlignedFace) -> str:
    return f"{face.digest[:4]} {face.path.name}"  # enough to see that another face took the name


def _pack(faces: Sequence[AlignedFace]) -> str:
    text = "\n".join(map(_label, faces))
    return base64.b64encode(zlib.compress(text.encode())).decode()


def _restored(
    state: dict[str, Any], faces: tuple[AlignedFace, ...], batch_size: int
) -> tuple[list[Stretch], int]:
    """The stretches of a state over the faces that are there now, and what is decided of them.

    A pass under way goes on with its own list; the neighbour of a face that is missing stands in
    for it. Where less than half is left these are other faces, and a new pass begins at once.
    """
    digest, by_label = list_digest(faces), {_label(face): face for face in faces}
    stretches: list[Stretch] = []
    try:
        position = int(state["draw"]) * batch_size
        decided = position + int(state["ahead"])
        for values in state["stretches"]:
            number, first = int(values["pass"]), int(values["first"])
            if values["digest"] == digest:
                stretches.append(Stretch(number, first, faces))
                continue
            labels = zlib.decompress(base64.b64decode(values["faces"])).decode().split("\n")
            present = [by_label.get(label) for label in labels]
            if sum(face is not None for face in present) * 2 < len(labels):
                passes = math.ceil((position - first) / len(labels))
                return [Stretch(number + max(1, passes), position, faces)], position
            stretches.append(Stretch(number, first, _filled(present)))
    except (KeyError, TypeError, ValueError, zlib.error) as error:
        raise CheckpointError(f"the sampler's state lacks or garbles {error}") from error
    return stretches, decided


def _filled(present: list[AlignedFace | None]) -> tuple[AlignedFace, ...]:
    """Every gap closed by the next face after it, round the end."""
    filled: list[AlignedFace] = []
    following = next(face for face in present if face is not None)
    for face in reversed(present):
        following = face or following
        filled.append(following)
    return tuple(reversed(filled))
