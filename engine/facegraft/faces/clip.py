"""Detection over a clip: several frames at once, in order, with cuts marked and resume.

Extraction and merging both begin with it; what they do with the faces differs.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from facegraft.errors import Cancelled
from facegraft.faces.face import Face
from facegraft.faces.track import is_cut
from facegraft.media.source import Frame, FrameSource
from facegraft.progress import Progress, Silent

AHEAD = 3  # frames in memory per thread, decoded while the networks run


class Detector(Protocol):
    """What finds faces; `detect.py` and `fan.py` provide one each. Called from several threads."""

    @property
    def name(self) -> str: ...

    def detect(self, image_u8: np.ndarray, max_faces: int = 0) -> list[Face]: ...


@dataclass(frozen=True, slots=True)
class Detection:
    """Faces of one frame as the networks gave them, largest first."""

    index: int
    name: str
    faces: list[Face]
    cut_before: bool  # the picture changed entirely since the frame before


class DetectionStore(Protocol):
    """Where detections of an interrupted run are kept; `journal.py` is one."""

    def known(self) -> dict[int, Detection]: ...

    def append(self, detection: Detection) -> None: ...


def detect_clip(
    source: FrameSource,
    indices: Sequence[int],
    detector: Detector,
    store: DetectionStore | None = None,
    progress: Progress | None = None,
) -> list[Detection]:
    """The faces of the frames at `indices` (rising), in order.

    Raises: UnreadableMedia, Cancelled (what was found is in the store).
    """
    progress = progress or Silent()
    known = store.known() if store is not None else {}
    todo = [i for i in indices if i not in known]
    progress.start(len(indices), "frames searched")
    if len(todo) < len(indices):
        progress.note(f"continuing: {len(indices) - len(todo)} frames were searched before")
        progress.advance(len(indices) - len(todo))
    frames = (source[i] for i in todo)
    previous: Frame | None = None
    for frame, faces in _in_threads(lambda f: detector.detect(f.image_u8), frames):
        if previous is None or previous.index != frame.index - 1:
            # the frame before was left out or searched by an earlier run
            previous = source[frame.index - 1] if frame.index - 1 in known else previous
        cut = previous is not None and is_cut(previous.image_u8, frame.image_u8)
        detection = Detection(frame.index, frame.name, [_rounded(f) for f in faces], bool(cut))
        previous = frame
        known[frame.index] = detection
        if store is not None:
            store.append(detection)
        progress.advance(note=f"{frame.name}: {len(faces)} face{'s' * (len(faces) != 1)}")
        if progress.cancelled:
            raise Cancelled(
                f"{sum(i in known for i in indices)} of {len(indices)} frames are searched; "
                "run again to continue"
            )
    return [known[i] for i in indices]


def _rounded(face: Face) -> Face:
    """The face at the precision a store keeps, so that a resumed run equals an unbroken one."""
    x0, y0, x1, y1 = (round(float(v), 2) for v in face.box)
    landmarks = np.round(face.landmarks.astype(np.float64), 3).astype(np.float32)
    return replace(
        face, landmarks=landmarks, box=(x0, y0, x1, y1), score=round(float(face.score), 4)
    )


def _in_threads(
    function: Callable[[Frame], list[Face]], frames: Iterable[Frame]
) -> Iterator[tuple[Frame, list[Face]]]:
    """`function` over frames in threads; results in order, a bounded number of frames in memory."""
    threads = os.cpu_count() or 1
    waiting: list[tuple[Frame, Future[list[Face]]]] = []
    with ThreadPoolExecutor(threads) as pool:
        try:
            for frame in frames:
                waiting.append((frame, pool.submit(function, frame)))
                if len(waiting) >= threads * AHEAD:
                    first, result = waiting.pop(0)
                    yield first, result.result()
            for first, result in waiting:
                yield first, result.result()
        finally:
            for _, result in waiting:
                result.cancel()
