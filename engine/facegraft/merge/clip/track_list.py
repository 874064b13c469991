"""Who is in a faceset: its tracks as a list, and one face of each as a picture."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from facegraft.faces.face import AlignedFace
from facegraft.faces.faceset import Faceset, read_image
from facegraft.faces.track import track_faces
from facegraft.merge.clip.sheets import picture_sheet


@dataclass(frozen=True, slots=True, eq=False)
class TrackRow:
    """One track of a faceset."""

    number: int
    frame_count: int
    size_px: float  # median, from brow to chin
    position: tuple[float, float]  # mean of the boxes' centres; 0..1 of the frame where it is known
    first: str  # names of frames
    last: str
    face: AlignedFace  # the most frontal one

    def __str__(self) -> str:
        x, y = self.position
        where = f"{x:.2f},{y:.2f}" if self.face.origin.frame_width else f"{x:.0f},{y:.0f} px"
        return (
            f"track {self.number}: {self.frame_count} frames, {self.first} to {self.last}, "
            f"{self.size_px:.0f} px, at {where}"
        )


def list_tracks(faceset: Faceset) -> list[TrackRow]:
    """The tracks by number. Faces of other programs, which follow none, are followed here."""
    return [_row(number, faces) for number, faces in sorted(_by_track(faceset).items())]


def track_sheet(rows: Sequence[TrackRow]) -> np.ndarray:
    """(H, W, 3) uint8 RGB: one face of each track above its words. Raises: BadAlignedImage."""
    return picture_sheet([(read_image(row.face), str(row)) for row in rows])


def _by_track(faceset: Faceset) -> Mapping[int, list[AlignedFace]]:
    found: dict[int, list[AlignedFace]] = {}
    ordered = sorted(faceset, key=lambda aligned: aligned.origin.frame_index)
    if all(aligned.face.track >= 0 for aligned in ordered):
        for aligned in ordered:
            found.setdefault(aligned.face.track, []).append(aligned)
        return found
    by_index = faceset.by_frame_index()
    frames = [by_index.get(index, []) for index in range(max(by_index, default=-1) + 1)]
    followed = track_faces([[a.face for a in frame] for frame in frames], smooth_sigma=0)
    for frame, faces in zip(frames, followed, strict=True):
        for aligned, face in zip(frame, faces, strict=True):
            found.setdefault(face.track, []).append(aligned)
    return found


def _row(number: int, faces: Sequence[AlignedFace]) -> TrackRow:
    boxes = np.array([aligned.face.box for aligned in faces])
    x, y = ((boxes[:, :2] + boxes[:, 2:]) / 2).mean(axis=0).tolist()
    origin = faces[0].origin
    return TrackRow(
        number,
        len(faces),
        float(np.median([aligned.face.size_px for aligned in faces])),
        (x / (origin.frame_width or 1), y / (origin.frame_height or 1)),
        origin.frame_name,
        faces[-1].origin.frame_name,
        min(faces, key=lambda aligned: abs(aligned.pose.yaw) + abs(aligned.pose.pitch)),
    )
