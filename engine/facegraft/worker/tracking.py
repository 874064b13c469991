"""Faces followed through frames that a host hands over one by one.

A host renders what enters its node, frame after frame; each is searched here, and at the end all
are followed, steadied and written as one track file. One tracker belongs to one connection.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from facegraft.errors import ParameterError
from facegraft.faces.clip import Detection, Detector
from facegraft.faces.face import Face
from facegraft.faces.track import is_cut, track_faces
from facegraft.merge.clip.faces import ClipFaces, clip_faces
from facegraft.merge.clip.params import ClipParams
from facegraft.merge.clip.steady import steadied
from facegraft.merge.clip.track_file import save_tracks


@dataclass(frozen=True, slots=True)
class Tracked:
    """What a finished tracking holds."""

    frames: int  # searched
    frames_without_face: int
    tracks: int


class Tracker:
    """Frames of one clip, searched so far."""

    def __init__(self, detector: Detector) -> None:
        self._detector = detector
        self._found: list[Detection] = []
        self._previous: np.ndarray | None = None
        self._size: tuple[int, int] | None = None  # width, height

    def add(self, index: int, image_u8: np.ndarray) -> list[Face]:
        """Search one frame, (H, W, 3) uint8 RGB, and give its faces, largest first.

        Raises: ParameterError where `index` does not rise or the frame has another size.
        """
        size = (image_u8.shape[1], image_u8.shape[0])
        if self._size is not None and size != self._size:
            raise ParameterError(
                f"frame {index} is {size[0]}x{size[1]} px, those before were "
                f"{self._size[0]}x{self._size[1]}; track a clip of one size"
            )
        if self._found and index <= self._found[-1].index:
            raise ParameterError(f"frame {index} comes after {self._found[-1].index}; go forward")
        cut = self._previous is not None and is_cut(self._previous, image_u8)
        faces = self._detector.detect(image_u8)
        self._found.append(Detection(index, str(index), faces, bool(cut)))
        self._previous, self._size = image_u8, size
        return faces

    def save(self, path: Path, params: ClipParams) -> Tracked:
        """Follow the faces through all frames and write them to `path`.

        Raises: ParameterError where no frame was searched, WriteError.
        """
        if self._size is None:
            raise ParameterError("no frame was searched; there is nothing to save")
        clip = self._followed(params)
        save_tracks(path, clip, *self._size, self._detector.name)
        without = len(self._found) - len(clip.frames)
        return Tracked(len(self._found), without, len(clip.tracks()))

    def _followed(self, params: ClipParams) -> ClipFaces:
        cuts = [n for n, d in enumerate(self._found) if d.cut_before]
        tracked = track_faces([d.faces for d in self._found], cuts)
        faces = {d.index: f for d, f in zip(self._found, tracked, strict=True)}
        return steadied(clip_faces(faces), params)
