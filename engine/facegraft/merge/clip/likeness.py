"""Which tracks of a clip show the person of some pictures.

Each track is looked at in a few frames, spread over its length and there the most frontal ones. The
vectors of one person are averaged, as face verification does with several pictures, and compared
by their cosine.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from facegraft.embedding import Embedder
from facegraft.errors import Cancelled, ParameterError, SourceNotFound
from facegraft.faces.clip import Detector
from facegraft.faces.face import Face
from facegraft.media.images import IMAGE_SUFFIXES, read_image_file
from facegraft.media.source import FrameSource
from facegraft.merge.clip.choose import ChoiceKind, FaceChoice
from facegraft.merge.clip.faces import ClipFaces, Track
from facegraft.progress import Progress, Silent

LOOKS = 5  # faces of a track that are compared; more change the mean by less than people differ
_MOST_PICTURES = 50  # of a folder; further ones change the mean by nothing


def resolve_like(
    choice: FaceChoice,
    clip: ClipFaces,
    source: FrameSource,
    embedder: Embedder,
    detector: Detector,
    likeness: float,
    progress: Progress | None = None,
) -> FaceChoice:
    """The tracks that a choice `like:` means in this clip; other choices come back as they are.

    likeness: least cosine similarity. Where nobody reaches it the choice is empty, and a note says
    who came nearest.

    Raises: SourceNotFound, UnreadableMedia, ParameterError where a picture shows no face,
    ModelError, Cancelled.
    """
    if choice.kind is not ChoiceKind.LIKE or choice.picture is None:
        return choice
    progress = progress or Silent()
    person = person_vector(choice.picture, embedder, detector)
    alike = {
        n: float(v @ person) for n, v in track_vectors(clip, source, embedder, progress).items()
    }
    chosen = tuple(number for number, value in alike.items() if value >= likeness)
    for number, value in alike.items():
        verb = "is taken for" if number in chosen else "is not"
        progress.note(f"track {number} {verb} {choice.picture.name} (similarity {value:.2f})")
    return FaceChoice(ChoiceKind.TRACK, chosen)


def track_vectors(
    clip: ClipFaces, source: FrameSource, embedder: Embedder, progress: Progress
) -> dict[int, np.ndarray]:
    """By track number, its person as (D,) float32 of length 1. Raises: Cancelled."""
    looks: dict[int, list[tuple[int, Face]]] = {}
    for track in clip.tracks():
        for index, face in looks_of(track):
            looks.setdefault(index, []).append((track.number, face))
    vectors: dict[int, list[np.ndarray]] = {}
    progress.start(len(looks), "frames compared")
    for index in sorted(looks):
        image = source[index].image_u8
        for number, face in looks[index]:
            vectors.setdefault(number, []).append(embedder.embed(image, face.landmarks))
        progress.advance()
        if progress.cancelled:
            raise Cancelled("nobody is chosen yet; run again")
    return {number: mean_vector(vectors[number]) for number in sorted(vectors)}


def looks_of(track: Track, count: int = LOOKS) -> list[tuple[int, Face]]:
    """Frame and face of the most frontal one in each of `count` equal parts of the track."""
    real = [pair for pair in zip(track.indices, track.faces, strict=True) if not pair[1].held]
    parts = np.array_split(np.arange(len(real)), min(count, len(real)))
    return [min((real[i] for i in part), key=lambda pair: _turned(pair[1])) for part in parts]


def person_vector(path: Path, embedder: Embedder, detector: Detector) -> np.ndarray:
    """(D,) float32 of length 1: who the picture shows, or those of a folder.

    Raises: SourceNotFound, UnreadableMedia, ParameterError where a picture shows no face,
    ModelError.
    """
    return mean_vector([_embed_picture(p, embedder, detector) for p in pictures(path)])


def pictures(path: Path) -> list[Path]:
    """The picture itself, or those of a folder. Raises: SourceNotFound."""
    if path.is_dir():
        found = sorted(p for p in path.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES)
        if not found:
            raise SourceNotFound(f"{path} holds no picture; give one with the person's face")
        return found[:_MOST_PICTURES]
    if not path.is_file():
        raise SourceNotFound(f"no picture {path}; give one with the person's face")
    return [path]


def mean_vector(vectors: Sequence[np.ndarray]) -> np.ndarray:
    """(D,) float32 of length 1: the direction of the mean of unit vectors."""
    mean = np.mean(vectors, axis=0)
    return (mean / max(float(np.linalg.norm(mean)), 1e-9)).astype(np.float32)


def _embed_picture(path: Path, embedder: Embedder, detector: Detector) -> np.ndarray:
    pixels, _ = read_image_file(path)
    image = pixels if pixels.dtype == np.uint8 else (pixels >> 8).astype(np.uint8)
    faces = detector.detect(image, 1)
    if not faces:
        raise ParameterError(f"no face is found in {path}; give a sharper or larger picture")
    return embedder.embed(image, faces[0].landmarks)


def _turned(face: Face) -> float:
    """Degrees that the head is turned away; sizes and places do not count."""
    pose = face.pose
    return abs(pose.yaw) + abs(pose.pitch)
