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
from facegraft.media.images import to_depth
from facegraft.media.source import Frame, FrameSource
from facegraft.merge.area import face_area
from facegraft.merge.extras import NO_EXTRAS, FrameExtras
from facegraft.merge.frame import merge_frame
from facegraft.merge.in_order import in_order
from facegraft.merge.job import MergeJob
from facegraft.merge.out.output import Output
from facegraft.merge.over_time import fit_clip, looks_along
from facegraft.merge.params import MergeMode, MergeParams
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
    output: Output,
    matte_output: Output | None,
    job: MergeJob,
    indices: Sequence[int] | None = None,
    skip_existing: bool = False,
    progress: Progress | None = None,
) -> MergeReport:
    """Merge the frames at `indices` (rising; None: all) into `output`, mattes into `matte_output`.

    Keys of the job's animation count by the frame's index in the source. A frame without a face
    passes through, with a black matte. `skip_existing` leaves frames whose images are all there.

    Raises: UnreadableMedia, WriteError, ParameterError as `merge_frame`, Cancelled (images are
    kept, a movie is not).
    """
    progress = progress or Silent()
    started = time.monotonic()
    chosen = range(source.info.frame_count) if indices is None else indices
    outputs = [o for o in (output, matte_output) if o is not None]
    if looks_along(job.animation.constants) and job.steady is None:
        todo = [i for i in chosen if not (skip_existing and _are_there(outputs, source[i]))]
        job = replace(job, steady=fit_clip(source, job, todo, progress))
    progress.start(len(chosen), "frames merged")
    face_count, skipped, done = 0, 0, 0
    without: list[str] = []

    def frames() -> Iterator[tuple[Frame, np.ndarray | None]]:
        nonlocal skipped
        for index in chosen:
            frame = source[index]
            if skip_existing and _are_there(outputs, frame):
                skipped += 1
                progress.advance()
            else:
                yield frame, job.matte_at(index)

    for (frame, _), (pixels, matte) in in_order(frames(), lambda item: _merge(job, *item)):
        output.write(frame, pixels)
        if matte_output is not None:
            matte_output.write(frame, matte)
        done += 1
        count = len(job.faces(frame))
        face_count += count
        if not count:
            without.append(frame.name)
        progress.advance(note=f"{frame.name}: {count} face{'s' * (count != 1)}")
        if progress.cancelled:
            raise Cancelled(_what_is_kept(done + skipped, len(chosen), output))
    return MergeReport(
        done + skipped, face_count, tuple(without), skipped, time.monotonic() - started
    )


def _merge(job: MergeJob, frame: Frame, matte: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    faces, params = job.faces(frame), job.params(frame)
    extras = job.extras(frame, faces, params, matte)
    return merge_pixels(frame, faces, job.model, params, extras)


def merge_pixels(
    frame: Frame,
    faces: Sequence[Face],
    model: SwapModel,
    params: MergeParams,
    extras: FrameExtras = NO_EXTRAS,
) -> tuple[np.ndarray, np.ndarray]:
    """(H, W, 3) pixels and (H, W) matte, both of the dtype of the frame's pixels.

    A pixel whose matte is 0, or rounds to it in whole numbers, keeps its value to the bit. Where
    the alpha of a premultiplied frame is 0 there is no picture to swap, and the matte is 0.
    """
    pixels = frame.pixels
    matte = np.zeros(pixels.shape[:2], pixels.dtype)
    area = face_area(frame, faces, model, params, extras)
    if area is None:
        return pixels, matte
    merged = merge_frame(area.image, area.faces, model, params, area.extras)
    place, covered = area.place, merged.matte
    if frame.premultiplied and frame.alpha is not None:
        covered = np.where(frame.alpha[place] > 0, covered, np.float32(0))
    matte[place] = covered if frame.is_float else to_depth(covered, 8 * pixels.dtype.itemsize)
    if params.mode is MergeMode.ORIGINAL:
        return pixels, matte
    result = pixels.copy()
    changed = (matte[place] > 0)[..., None]
    np.copyto(result[place], frame.from_display(merged.result, place), where=changed)
    return result, matte


def _are_there(outputs: Sequence[Output], frame: Frame) -> bool:
    paths = [output.path_of(frame) for output in outputs]
    return all(path is not None and path.exists() for path in paths)


def _what_is_kept(done: int, total: int, output: Output) -> str:
    if output.folder is None:
        return f"{done} of {total} frames were merged; an unfinished movie is not kept"
    return f"{done} of {total} frames are merged; run again with --skip-existing to continue"
