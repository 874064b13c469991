"""One side's faces as batches of uint8 squares, with no step waiting for a file.

What does not fit into the memory limit is decoded again when its batch comes near, in threads, a
few batches ahead (`face_cache.py`). Which faces make a batch is a function of seed, side and number
of the batch (`sampling.py`). The folder may change meanwhile: near the end of each pass it is
listed again in the background, and the next pass is over what was found; a deleted face that is
needed before that is replaced by its neighbour.
"""

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

import numpy as np
import torch

from facegraft.errors import BadAlignedImage, Cancelled
from facegraft.faces.face import AlignedFace
from facegraft.faces.faceset import Faceset
from facegraft.faces.pack import is_packed
from facegraft.model_spec import FaceType
from facegraft.progress import Progress, Silent
from facegraft.training.face_cache import (
    CHANNELS,
    FaceCache,
    Key,
    Load,
    cut_closer,
    free_memory,
    key_of,
    load_square,
    margin_of,
)
from facegraft.training.folder_watch import Listing, Stamp, list_changes
from facegraft.training.sampling import Part, Sampler, Stretch, part_rows

MEMORY_SHARE = 0.4  # of the memory that is free at start, for both sides together
BATCHES_AHEAD = 4  # hides a slow disk's seek; each costs a batch of memory
LISTING_AHEAD = 16  # batches before a pass ends: seconds, enough to list a large folder
ROOM_TO_GROW = 1 / 4  # of a faceset, and not less than the next; untouched memory costs nothing
LEAST_GROWTH = 64  # faces
BAD_NAMED = 5  # damaged files named in one message

_log = logging.getLogger(__name__)

Picks = list[tuple[Stretch, int]]
Coming = list[tuple[Stretch, int, Future[np.ndarray] | None]]


class Samples:
    """One side's faces. Close it, or use it as a context manager, to end its threads."""

    def __init__(
        self,
        faces: Sequence[AlignedFace],
        side: str,
        face_type: FaceType,
        resolution: int,
        batch_size: int,
        seed: int,
        threads: int = 1,
        memory_bytes: int | None = None,  # None: half of MEMORY_SHARE of what is free
        uniform_yaw: bool = False,
        state: dict[str, Any] | None = None,  # of `state()`, to go on from
        share: "Samples | None" = None,  # of the same faces and framing, whose memory serves both
        watch: bool = True,  # pick up changes of a faceset's folder
        load: Load = load_square,  # what a face becomes
    ) -> None:
        self.side, self.face_type, self.resolution = side, face_type, resolution
        self._sampler = Sampler(faces, side, seed, batch_size, uniform_yaw, state)
        self._owns = share is None
        if share is None:
            margin = margin_of(faces, face_type, resolution)
            if memory_bytes is None:
                memory_bytes = int(free_memory() * MEMORY_SHARE / 2)
            grown = len(faces) + max(LEAST_GROWTH, int(len(faces) * ROOM_TO_GROW))
            room = min(grown, memory_bytes // ((resolution + 2 * margin) ** 2 * CHANNELS))
            self._cache = FaceCache(face_type, resolution, margin, room, threads, side, load)
        else:
            self._cache = share._cache
        self.margin = self._cache.margin
        self.side_px = resolution + 2 * self.margin
        self._coming: dict[str, dict[int, Coming]] = {"batch": {}, "reference": {}}
        self._draw = 0 if state is None else int(state["draw"])
        self._progress: Progress = Silent()
        self._lost: set[Key] = set()  # could not be decoded
        self._told: Stretch | None = None  # of the last note about a lost face
        self._folder = faces.folder if watch and isinstance(faces, Faceset) else None
        self._listings: list[Future[Listing]] = []  # begun since the last change was taken over
        self._stamps: dict[str, Stamp] = {}
        self._fresh = state is None
        self._listed_for = -1  # position of the pass that the last listing was begun for
        self._leaving: list[tuple[int, AlignedFace]] = []  # unused from that position on

    @property
    def faces(self) -> tuple[AlignedFace, ...]:
        """The list of the newest pass."""
        return self._sampler.stretches[-1].faces

    def load(self, progress: Progress) -> None:
        """Decode what fits into memory. Raises: BadAlignedImage, Cancelled."""
        self._progress = progress
        faces = list(dict.fromkeys(self.faces))
        progress.start(len(faces), f"{self.side} faces")
        bad: list[str] = []
        jobs = [(face, self._cache.keep(face)) for face in faces]
        for face, job in jobs:
            try:
                if job is not None:
                    self._cache.square(face)
            except BadAlignedImage as error:
                bad.append(str(error))
            if progress.cancelled:
                raise Cancelled(f"while reading the {self.side} faces; nothing was trained")
            progress.advance()
        if bad:
            more = f"\n... and {len(bad) - BAD_NAMED} more" if len(bad) > BAD_NAMED else ""
            raise BadAlignedImage("\n".join(bad[:BAD_NAMED]) + more)
        self._report(faces, progress)

    def _report(self, faces: list[AlignedFace], progress: Progress) -> None:
        smaller = [face for face in faces if cut_closer(face.face_type, self.face_type)]
        if smaller:
            progress.note(
                f"{len(smaller)} {self.side} faces are cut closer ({smaller[0].face_type}) than "
                f"the model's {self.face_type}; their rim is smeared, extract them again wider"
            )
        if len(self._cache) < len(faces):
            progress.note(
                f"{len(self._cache)} of {len(faces)} {self.side} faces fit into "
                f"{self._cache.used_bytes / 2**30:.1f} GiB, the others are read again each time"
            )
        _log.info("%s: %d faces, %d px margin", self.side, len(faces), self.margin)

    def indices(self, draw: int) -> np.ndarray:
        """(batch_size,) face numbers of batch `draw`, counted from 0, each in the list of the pass
        that it belongs to.
        """
        return np.array([number for _, number in self._sampler.picks(draw)])

    def batch(self, draw: int, part: Part = (0, 1)) -> torch.Tensor:
        """(N, S, S, 5) uint8 on the CPU: RGB, mask, eyes and mouth of batch `draw`, or of its rows
        that are this process's `part`. Raises: BadAlignedImage where no face can be read any more.
        """
        self._draw = draw
        self._release(draw * self._sampler.batch_size)
        return torch.from_numpy(self._collect("batch", self._sampler.picks, draw, part))

    def references(self, draw: int, part: Part = (0, 1)) -> torch.Tensor:
        """(N, R, R, 5) uint8: random faces of this side without margin, as many as a batch has, for
        the other side's batch `draw` to take colours from.
        """
        inner = slice(self.margin, self.margin + self.resolution)
        squares = self._collect("reference", self._sampler.references, draw, part)
        return torch.from_numpy(np.ascontiguousarray(squares[:, inner, inner]))

    def squares(self, indices: Sequence[int]) -> torch.Tensor:
        """(len, R, R, 5) uint8: these of `faces` as the model frames them, without margin."""
        inner = slice(self.margin, self.margin + self.resolution)
        newest = self._sampler.stretches[-1]
        arrays = [self._square(newest, i, None)[inner, inner] for i in indices]
        return torch.from_numpy(np.stack(arrays))

    def state(self) -> dict[str, Any]:
        """What another Samples needs to go on after the last batch, as JSON values."""
        return self._sampler.state(self._draw)

    def refresh(self) -> "Future[Listing] | None":
        """Begin to list the folder, for the next pass; None where there is no folder to watch.

        Called by itself before each pass ends.
        """
        if self._folder is None:
            return None
        if not self._listings or self._listings[-1].done():
            names = frozenset(face.path.name for face in self.faces)
            job = self._cache.pool.submit(list_changes, self._folder, names, dict(self._stamps))
            self._listings.append(job)
        return self._listings[-1]

    def _collect(
        self, kind: str, choose: Callable[[int], Picks], draw: int, part: Part
    ) -> np.ndarray:
        """(N, S, S, 5), with the next batches on their way."""
        rows = part_rows(self._sampler.batch_size, part)
        coming = {d: faces for d, faces in self._coming[kind].items() if d >= draw}
        for ahead in range(draw, draw + 1 + BATCHES_AHEAD):
            if ahead not in coming:
                self._look_for_changes(ahead)
                picks = choose(ahead)[rows]
                coming[ahead] = [(s, i, self._cache.ahead(s.faces[i])) for s, i in picks]
        self._coming[kind] = coming
        # kept until the next draw: an un-warped repeat asks for it again
        return np.stack([self._square(*one) for one in coming[draw]])

    def _square(self, stretch: Stretch, number: int, job: Future[np.ndarray] | None) -> np.ndarray:
        """One face, or where it can not be read its neighbour. Raises: BadAlignedImage."""
        problem: BadAlignedImage | None = None
        for step in range(len(stretch.faces)):
            face = stretch.faces[(number + step) % len(stretch.faces)]
            if key_of(face) in self._lost:
                continue
            try:
                return job.result() if job and not step else self._cache.square(face)
            except BadAlignedImage as error:
                problem = error
                self._lost.add(key_of(face))
                if self._told is not stretch:  # once for each list; the next listing counts them
                    self._told = stretch
                    is_there = is_packed(face.path) or face.path.exists()
                    reason = str(error) if is_there else f"{face.path} was deleted"
                    self._progress.note(
                        f"{reason}; a neighbour stands in for it and others like it until the next "
                        f"pass over the {self.side} faces"
                    )
        raise BadAlignedImage(f"none of the {self.side} faces can be read any more") from problem

    def _look_for_changes(self, draw: int) -> None:
        """Before batch `draw` is chosen: take over what a listing found, if a pass begins in it,
        and begin a listing shortly before one does. Waits for nothing.
        """
        size, sampler = self._sampler.batch_size, self._sampler
        if self._fresh:  # a run from before there were states begins where it was
            sampler.decided = max(sampler.decided, draw * size)
            self._fresh = False
        boundary, end = sampler.boundary, (draw + 1) * size
        done = [listing for listing in self._listings if listing.done()]
        if boundary < end and done:
            self._listings = []  # one still under way compares with the list that was
            self._take_over(done[-1])
        elif boundary - end <= LISTING_AHEAD * size and self._listed_for != boundary:
            self._listed_for = boundary
            self.refresh()
        sampler.decided = max(sampler.decided, end)

    def _take_over(self, listing: Future[Listing]) -> None:
        try:
            found = listing.result()
        except OSError as error:
            self._progress.note(f"{error}; the {self.side} faces stay as they are")
            return
        self._stamps = dict(found.stamps)
        if found.broken:
            more = f" and {len(found.broken) - BAD_NAMED} more" * (len(found.broken) > BAD_NAMED)
            self._progress.note(f"left out: {'; '.join(found.broken[:BAD_NAMED])}{more}")
        if not found.came and not found.gone:
            return
        unique = dict.fromkeys(self.faces)
        kept = [face for face in unique if face.path.name not in found.gone]
        faces = sorted([*kept, *found.came], key=lambda face: face.path)
        if not faces:
            self._progress.note(f"no {self.side} face is left in the folder; those in memory stay")
            return
        went = [face for face in unique if face.path.name in found.gone]
        new = self._sampler.change(faces)
        self._leaving += [(new.first, face) for face in went]
        for face in found.came:
            self._cache.keep(face)
        self._progress.note(
            f"{len(found.came)} {self.side} faces came and {len(went)} went; pass {new.number + 1} "
            f"is over {len(faces)}"
        )

    def _release(self, position: int) -> None:
        """Give away the memory of faces that no batch from `position` on asks for."""
        for _, face in [one for one in self._leaving if one[0] <= position]:
            self._cache.drop(face)
        self._leaving = [one for one in self._leaving if one[0] > position]

    def close(self) -> None:
        if self._owns:
            self._cache.close()

    def __enter__(self) -> "Samples":
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()
