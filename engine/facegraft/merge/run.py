"""Merge a whole clip: every frame comes out, with its matte, in the source's own depth.

Frames are decoded and written in order on the calling thread, and merged in others. Only the
rectangle around the faces is ever converted to float; every pixel whose matte is 0 is copied.
"""

import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np

from facegraft.errors import Cancelled
from facegraft.faces.face import Face
from facegraft.inference import SwapModel
from facegraft.media.images import to_depth
from facegraft.media.source import Frame, FrameSource
from facegraft.merge.animation import Animation
from facegraft.merge.clip.faces import FacesFor
from facegraft.merge.frame import merge_frame, reach
from facegraft.merge.out.output import Output
from facegraft.merge.params import MergeMode, MergeParams
from facegraft.progress import Progress, Silent

THREADS = min(4, os.cpu_count() or 1)  # a network alone uses every core; these hide the rest
AHEAD = 2  # frames in memory per thread


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
    model: SwapModel,
    animation: Animation,
    faces_for: FacesFor,
    indices: Sequence[int] | None = None,
    skip_existing: bool = False,
    progress: Progress | None = None,
) -> MergeReport:
    """Merge the frames at `indices` (rising; None: all) into `output`, mattes into `matte_output`.

    Keys of `animation` count by the frame's index in the source. A frame without a face passes
    through, with a black matte. `skip_existing` leaves frames whose images are all there.

    Raises: UnreadableMedia, WriteError, Cancelled (images are kept, a movie is not).
    """
    progress = progress or Silent()
    started = time.monotonic()
    chosen = range(source.info.frame_count) if indices is None else indices
    outputs = [o for o in (output, matte_output) if o is not None]
    progress.start(len(chosen), "frames merged")
    face_count, skipped, done = 0, 0, 0
    without: list[str] = []

    def todo() -> Iterator[Frame]:
        nonlocal skipped
        for index in chosen:
            frame = source[index]
            if skip_existing and all(_is_there(o, frame) for o in outputs):
                skipped += 1
                progress.advance()
            else:
                yield frame

    def merge(frame: Frame) -> tuple[Sequence[Face], np.ndarray, np.ndarray]:
        faces = faces_for(frame)
        return faces, *merge_pixels(frame, faces, model, animation.at(frame.index))

    frames = todo()
    with ThreadPoolExecutor(THREADS) as pool:
        waiting: list[tuple[Frame, Future[tuple[Sequence[Face], np.ndarray, np.ndarray]]]] = []
        try:
            while True:
                for frame in frames:
                    waiting.append((frame, pool.submit(merge, frame)))
                    if len(waiting) >= THREADS * AHEAD:
                        break
                if not waiting:
                    break
                frame, result = waiting.pop(0)
                faces, pixels, matte = result.result()
                output.write(frame, pixels)
                if matte_output is not None:
                    matte_output.write(frame, matte)
                done += 1
                face_count += len(faces)
                if not faces:
                    without.append(frame.name)
                progress.advance(note=f"{frame.name}: {len(faces)} face{'s' * (len(faces) != 1)}")
                if progress.cancelled:
                    raise Cancelled(_what_is_kept(done + skipped, len(chosen), output))
        finally:
            for _, result in waiting:
                result.cancel()
    return MergeReport(
        done + skipped, face_count, tuple(without), skipped, time.monotonic() - started
    )


def merge_pixels(
    frame: Frame, faces: Sequence[Face], model: SwapModel, params: MergeParams
) -> tuple[np.ndarray, np.ndarray]:
    """(H, W, 3) pixels and (H, W) matte, both of the dtype of the frame's pixels.

    A pixel whose matte is 0, or rounds to it in whole numbers, keeps its value to the bit. Where
    the alpha of a premultiplied frame is 0 there is no picture to swap, and the matte is 0.
    """
    pixels = frame.pixels
    matte = np.zeros(pixels.shape[:2], pixels.dtype)
    x0, y0, x1, y1 = reach(faces, model, params, pixels.shape)
    if params.mix == 0 or x0 == x1:
        return pixels, matte
    area = np.s_[y0:y1, x0:x1]
    merged = merge_frame(
        frame.display(area), [_moved(face, -x0, -y0) for face in faces], model, params
    )
    covered = merged.matte
    if frame.premultiplied and frame.alpha is not None:
        covered = np.where(frame.alpha[area] > 0, covered, np.float32(0))
    matte[area] = covered if frame.is_float else to_depth(covered, 8 * pixels.dtype.itemsize)
    if params.mode is MergeMode.ORIGINAL:
        return pixels, matte
    result = pixels.copy()
    changed = (matte[area] > 0)[..., None]
    np.copyto(result[area], frame.from_display(merged.result, area), where=changed)
    return result, matte


def _moved(face: Face, dx: int, dy: int) -> Face:
    x0, y0, x1, y1 = face.box
    return replace(
        face,
        landmarks=face.landmarks + np.array([dx, dy], np.float32),
        box=(x0 + dx, y0 + dy, x1 + dx, y1 + dy),
    )


def _is_there(output: Output, frame: Frame) -> bool:
    path = output.path_of(frame)
    return path is not None and path.exists()


def _what_is_kept(done: int, total: int, output: Output) -> str:
    if output.folder is None:
        return f"{done} of {total} frames were merged; an unfinished movie is not kept"
    return f"{done} of {total} frames are merged; run again with --skip-existing to continue"
