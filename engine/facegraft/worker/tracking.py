"""Faces followed through frames that a host hands over one by one.

A host renders what enters its node, frame after frame; each is searched here, and at the end all
are followed, steadied and written as one track file. One tracker belongs to one connection.
"""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from facegraft.errors import ParameterError
from facegraft.faces.clip import Detection
from facegraft.faces.face import Face
from facegraft.faces.track import is_cut, track_faces
from facegraft.media.working_space import WorkingSpace
from facegraft.merge.clip.faces import ClipFaces, clip_faces
from facegraft.merge.clip.params import ClipParams
from facegraft.merge.clip.steady import steadied
from facegraft.merge.clip.track_file import save_tracks
from facegraft.worker.layer import detection_image

_THUMBNAIL_PX = 128  # shorter side


@dataclass(frozen=True, slots=True)
class Tracked:
    """What a finished tracking holds."""

    frames: int  # searched
    frames_without_face: int
    tracks: int


class Tracker:
    """Frames of one clip, searched so far."""

    def __init__(self, detector: str) -> None:
        """`detector`: name of what finds the faces, for the file."""
        self._detector = detector
        self._found: list[Detection] = []
        self._previous: np.ndarray | None = None
        self._size: tuple[int, int] | None = None  # width, height

    def add(
        self, index: int, faces: list[Face], small_u8: np.ndarray, size: tuple[int, int]
    ) -> None:
        """One frame of `size` (width, height), its faces, and a small picture of it (h, w, 3)
        uint8, by which cuts are seen.

        Raises: ParameterError where `index` does not rise or the frame has another size.
        """
        if self._size is not None and size != self._size:
            raise ParameterError(
                f"frame {index} is {size[0]}x{size[1]} px, those before were "
                f"{self._size[0]}x{self._size[1]}; track a clip of one size"
            )
        if self._found and index <= self._found[-1].index:
            raise ParameterError(f"frame {index} comes after {self._found[-1].index}; go forward")
        cut = self._previous is not None and is_cut(self._previous, small_u8)
        self._found.append(Detection(index, str(index), faces, bool(cut)))
        self._previous, self._size = small_u8, size

    def save(self, path: Path, params: ClipParams) -> Tracked:
        """Follow the faces through all frames and write them to `path`.

        Raises: ParameterError where no frame was searched, WriteError.
        """
        if self._size is None:
            raise ParameterError("no frame was searched; there is nothing to save")
        clip = self._followed(params)
        save_tracks(path, clip, *self._size, self._detector)
        without = len(self._found) - len(clip.frames)
        return Tracked(len(self._found), without, len(clip.tracks()))

    def _followed(self, params: ClipParams) -> ClipFaces:
        cuts = [n for n, d in enumerate(self._found) if d.cut_before]
        tracked = track_faces([d.faces for d in self._found], cuts)
        faces = {d.index: f for d, f in zip(self._found, tracked, strict=True)}
        return steadied(clip_faces(faces), params)


def thumbnail(rgba: np.ndarray, space: WorkingSpace) -> np.ndarray:
    """(h, w, 3) uint8 RGB of a frame (H, W, 4) float32; large enough for `is_cut`."""
    height, width = rgba.shape[:2]
    scale = min(1.0, _THUMBNAIL_PX / min(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return detection_image(cv2.resize(rgba, size, interpolation=cv2.INTER_AREA), space)
