"""Frames in, faceset out: detect, follow, smooth, cut.

Two passes over the clip. The first detects; every frame's faces are appended to a journal in the
faceset, so an interrupted run continues where it stopped. The second knows all frames: it follows
faces through time, smooths their landmarks without lag, and cuts the squares. It takes a few
milliseconds a frame beside the detector's tens.
"""

import json
import time
from dataclasses import asdict, dataclass
from enum import StrEnum
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2

from facegraft.controls import control, plain_values
from facegraft.errors import Cancelled, FacesetError
from facegraft.faces.align import align_matrix, warp_image
from facegraft.faces.clip import Detection, Detector, detect_clip
from facegraft.faces.face import Face, Origin
from facegraft.faces.faceset import aligned_paths, read_aligned, write_aligned
from facegraft.faces.journal import Journal
from facegraft.faces.overlay import draw_faces
from facegraft.faces.track import track_faces
from facegraft.files import write_atomic
from facegraft.media.images import write_image
from facegraft.media.source import Frame, FrameSource
from facegraft.model_spec import FaceType
from facegraft.progress import Progress, Silent
from facegraft.sets.lock import lock_set

STATE_FOLDER = "_extract"  # inside the faceset; the underscore keeps it from being taken for faces


class Backend(StrEnum):
    MEDIAPIPE = "mediapipe"
    FACE_ALIGNMENT = "face_alignment"


class ImageFormat(StrEnum):
    JPG = "jpg"
    PNG = "png"


@dataclass(frozen=True, slots=True)
class ExtractParams:
    """Options of an extraction."""

    face_type: FaceType = control(
        FaceType.WHOLE_FACE,
        label="Face type",
        help="How much of the head the square holds; a model can be trained on this type or a "
        "smaller one",
        group="Faces",
    )
    image_size: int = control(
        512,
        label="Image size",
        help="Side of the aligned images",
        hard=(64, 2048),
        unit="px",
        group="Faces",
    )
    max_faces: int = control(
        0,
        label="Max faces",
        help="Keep only the largest faces of each frame; 0 keeps all",
        hard=(0, 100),
        group="Faces",
    )
    min_size: int = control(
        0,
        label="Min size",
        help="Leave out faces smaller than this, measured from brow to chin; under 40 their "
        "landmarks are too rough to train on",
        hard=(0, 4096),
        unit="px",
        group="Faces",
    )
    small_faces: bool = control(
        False,
        label="Small faces",
        help="Search in tiles too, for crowds and faces under 30 px; about twice the time",
        group="Detection",
    )
    backend: Backend = control(
        Backend.MEDIAPIPE,
        label="Backend",
        help="Networks that find faces and landmarks; face_alignment needs that package and its "
        "weights",
        group="Detection",
    )
    smooth: float = control(
        1.0,
        label="Smooth",
        help="Steady the landmarks along each face's track, by a Gaussian over time that does not "
        "lag; 0 keeps what the network gave",
        hard=(0.0, 10.0),
        unit="frames",
        group="Tracks",
    )
    fps: float = control(
        0.0,
        label="FPS",
        help="Take only so many frames a second, for src clips; 0 takes every frame",
        hard=(0.0, 240.0),
        unit="frames/s",
        group="Frames",
    )
    image_format: ImageFormat = control(
        ImageFormat.JPG,
        label="Image format",
        help="jpg at quality 95, or png without loss at about five times the size",
        group="Output",
    )


@dataclass(frozen=True, slots=True)
class ExtractReport:
    """What an extraction found; also written to `_extract/report.json`."""

    frame_count: int
    face_count: int
    frames_without_face: tuple[str, ...]  # names of frames
    skipped_small: int  # faces under `min_size`
    resumed_frames: int  # frames whose detections came from an earlier, interrupted run
    seconds: float


def extract_faces(
    source: FrameSource,
    folder: Path,
    params: ExtractParams,
    detector: Detector,
    progress: Progress | None = None,
    debug_folder: Path | None = None,
    overwrite: bool = False,
) -> ExtractReport:
    """Cut every face of `source` into `folder` as `<frame>_<n>.jpg`, largest face first.

    A second call with the same clip and options continues an interrupted run; after a finished one
    it changes nothing and returns that report, since people delete faces by hand. `overwrite`
    starts again and removes this clip's faces first. `debug_folder` receives each frame with
    boxes, points, squares and track numbers drawn in.

    Raises: ParameterError where `folder` was made from another clip or with other options and
    `overwrite` is not set, SetInUse, WriteError, UnreadableMedia, Cancelled (what was found is
    kept).
    """
    progress = progress or Silent()
    with lock_set(folder, create=True):
        return _extract(source, folder, params, detector, progress, debug_folder, overwrite)


def _extract(
    source: FrameSource,
    folder: Path,
    params: ExtractParams,
    detector: Detector,
    progress: Progress,
    debug_folder: Path | None,
    overwrite: bool,
) -> ExtractReport:
    started = time.monotonic()
    report_path = folder / STATE_FOLDER / "report.json"
    journal_path = folder / STATE_FOLDER / "detections.jsonl"
    with Journal(journal_path, _job_key(source, params, detector), overwrite) as journal:
        if journal.is_new:
            report_path.unlink(missing_ok=True)
        if report_path.exists():
            progress.note(f"{folder} is finished already; --overwrite extracts it again")
            return _read_report(report_path)
        if overwrite:
            _remove_faces_of(source.info.path.name, folder)
        indices = thinned_indices(source, params.fps)
        detections = detect_clip(source, indices, detector, journal, progress)
    resumed = journal.resumed_count
    tracked = track_faces(
        [d.faces for d in detections],
        cuts=[n for n, d in enumerate(detections) if d.cut_before],
        smooth_sigma=params.smooth,
    )
    report = _cut_all(
        source, folder, params, detections, tracked, detector.name, progress, debug_folder
    )
    report = ExtractReport(*report, resumed, time.monotonic() - started)
    write_atomic(report_path, json.dumps(asdict(report), indent=1).encode())
    return report


def _read_report(path: Path) -> ExtractReport:
    values = json.loads(path.read_text())
    return ExtractReport(**{**values, "frames_without_face": tuple(values["frames_without_face"])})


def thinned_indices(source: FrameSource, fps: float) -> list[int]:
    """Indices of the frames to take: one per 1/fps seconds, or all where `fps` is 0 or higher
    than the clip's own rate."""
    info = source.info
    if fps <= 0 or fps >= info.fps:
        return list(range(info.frame_count))
    step = info.fps / Fraction(fps).limit_denominator(1000)
    count = int(info.frame_count / step) + 1
    return [i for n in range(count) if (i := int(n * step)) < info.frame_count]


def _cut_all(
    source: FrameSource,
    folder: Path,
    params: ExtractParams,
    detections: list[Detection],
    tracked: list[list[Face]],
    detector_name: str,
    progress: Progress,
    debug_folder: Path | None,
) -> tuple[int, int, tuple[str, ...], int]:
    """The second pass; gives frames, faces, names of frames without a face, small faces."""
    progress.start(len(detections), "frames cut")
    face_count = small = 0
    without: list[str] = []
    for detection, faces in zip(detections, tracked, strict=True):
        if progress.cancelled:
            raise Cancelled(f"{folder} holds the faces so far; run again to continue")
        frame = source[detection.index]
        kept = [face for face in faces if face.size_px >= params.min_size]
        small += len(faces) - len(kept)
        kept = kept[: params.max_faces or None]
        for number, face in enumerate(kept):
            _cut(frame, face, number, source.info.path.name, folder, params, detector_name)
        if debug_folder is not None:
            overlay = draw_faces(frame.image_u8, kept, params.face_type)
            write_image(debug_folder / f"{frame.name}.jpg", overlay)
        face_count += len(kept)
        if not kept:
            without.append(frame.name)
        progress.advance()
    return len(detections), face_count, tuple(without), small


def _cut(
    frame: Frame,
    face: Face,
    number: int,
    source_name: str,
    folder: Path,
    params: ExtractParams,
    detector_name: str,
) -> None:
    size = params.image_size
    matrix = align_matrix(face.landmarks, params.face_type, size)
    image = warp_image(frame.image_u8, matrix, size, size, cv2.INTER_CUBIC)
    height, width = frame.pixels.shape[:2]
    origin = Origin(
        source_name, frame.name, frame.index, str(frame.pts), width, height, detector_name
    )
    path = folder / f"{frame.name}_{number}.{params.image_format}"
    write_aligned(path, image, face, params.face_type, matrix, origin)


def _remove_faces_of(source_name: str, folder: Path) -> None:
    for path in aligned_paths(folder):
        try:
            is_ours = read_aligned(path).origin.source_name == source_name
        except FacesetError:
            continue  # not a face of ours: never remove what we did not write
        if is_ours:
            path.unlink()


def _job_key(source: FrameSource, params: ExtractParams, detector: Detector) -> dict[str, Any]:
    """What must be equal for the journal of an interrupted run to be of use."""
    info = source.info
    return {
        "source": info.path.name,
        "frames": info.frame_count,
        "size": [info.width, info.height],
        "detector": detector.name,
        "options": plain_values(params),
    }
