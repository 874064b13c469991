"""Merge a whole clip: every frame comes out, with its matte, in the source's own depth.

Frames are decoded and written in order on the calling thread, and merged in others. Only the
rectangle around the faces is ever converted to float; every pixel whose matte is 0 is copied.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from facegraft.errors import Cancelled
from facegraft.faces.face import Face
from facegraft.inference import SwapModel
from facegraft.media.source import Frame, FrameSource
from facegraft.merge.extras import NO_EXTRAS, FrameExtras
from facegraft.merge.in_order import in_order
from facegraft.merge.job import MergeJob
from facegraft.merge.out.merged import merge_whole
from facegraft.merge.out.outputs import Made, OutputSet
from facegraft.merge.over_time import fit_clip, looks_along
from facegraft.merge.params import MergeParams
from facegraft.progress import Progress, Silent


@dataclass(frozen=True, slots=True)
class MergeReport:
    """What a merge did."""

    frame_count: int  # with those that were there already
    face_count: int
    frames_without_face: tuple[str, ...]  # names of frames; they are passed through
    skipped_frames: int  # there already from an earlier run
    seconds: float


def merge_clip(
    source: FrameSource,
    outputs: OutputSet,
    job: MergeJob,
    indices: Sequence[int] | None = None,
    skip_existing: bool = False,
    progress: Progress | None = None,
    at_once: int = 0,
) -> MergeReport:
    """Merge the frames at `indices` (rising; None: all) into `outputs`.

    Keys of the job's animation count by the frame's index in the source. A frame without a face
    passes through, with a black matte. `skip_existing` leaves frames whose images are all there.
    `at_once` frames are merged at a time, and twice as many are in memory; 0: a frame for every
    core, but 4 at most (in_order.py).

    Raises: UnreadableMedia, WriteError, ParameterError as `merge_frame`, Cancelled (images are
    kept, a movie is not).
    """
    progress = progress or Silent()
    started = time.monotonic()
    chosen = range(source.info.frame_count) if indices is None else indices
    if looks_along(job.animation.constants) and job.steady is None:
        todo = [i for i in chosen if not (skip_existing and _is_there(outputs, source, i))]
        job = replace(job, steady=fit_clip(source, job, todo, progress, at_once))
    progress.start(len(chosen), "frames merged")
    face_count, skipped, done = 0, 0, 0
    without: list[str] = []

    def frames() -> Iterator[tuple[Frame, np.ndarray | None]]:
        nonlocal skipped
        for index in chosen:
            if skip_existing and _is_there(outputs, source, index):
                skipped += 1
                progress.advance()
            else:
                yield source[index], job.matte_at(index)

    for (frame, _), made in in_order(frames(), lambda item: _merge(job, outputs, *item), at_once):
        outputs.write(frame, made)
        done += 1
        count = len(job.faces(frame))
        face_count += count
        if not count:
            without.append(frame.name)
        progress.advance(note=f"{frame.name}: {count} face{'s' * (count != 1)}")
        if progress.cancelled:
            raise Cancelled(_what_is_kept(done + skipped, len(chosen), outputs))
    return MergeReport(
        done + skipped, face_count, tuple(without), skipped, time.monotonic() - started
    )


def _merge(job: MergeJob, outputs: OutputSet, frame: Frame, matte: np.ndarray | None) -> Made:
    faces, params = job.faces(frame), job.params(frame)
    extras = job.extras(frame, faces, params, matte)
    extras = replace(extras, occlusion=outputs.wants_occlusion)
    return outputs.make(frame, merge_whole(frame, faces, job.model, params, extras))


def merge_pixels(
    frame: Frame,
    faces: Sequence[Face],
    model: SwapModel,
    params: MergeParams,
    extras: FrameExtras = NO_EXTRAS,
) -> tuple[np.ndarray, np.ndarray]:
    """Pixels and matte of `merge_whole`, for who needs no more."""
    merged = merge_whole(frame, faces, model, params, extras)
    return merged.pixels, merged.matte


def _is_there(outputs: OutputSet, source: FrameSource, index: int) -> bool:
    return outputs.is_there(source.name_of(index), index)


def _what_is_kept(done: int, total: int, outputs: OutputSet) -> str:
    if outputs.result.names is None:
        return f"{done} of {total} frames were merged; an unfinished movie is not kept"
    return f"{done} of {total} frames are merged; run again with --skip-existing to continue"
