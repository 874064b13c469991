"""Landmarks of a faceset folder by frame: an extraction that a person looked through, as input.

Where a node names such a folder, nothing is detected: the faces of a frame are the ones whose
aligned images are still in the folder, with their smoothed landmarks.
"""

from dataclasses import dataclass
from pathlib import Path

from facegraft.errors import BadAlignedImage, EmptyFaceset, ParameterError, SourceNotFound
from facegraft.faces.metadata import read_metadata

Landmarks = list[list[float]]  # 68 points (x, y) in frame pixels, corner convention
_SAME_SHAPE = 0.01  # scaling to whole pixels changes proportions by less, down to 100 px
_SUFFIXES = {".png", ".jpg", ".jpeg"}


@dataclass(frozen=True, slots=True)
class FaceTable:
    """Faces by frame index of the clip they were found in."""

    size: tuple[int, int]  # width and height of the clip's frames, px; 0 where nobody knows
    frames: dict[int, list[Landmarks]]

    def at(self, index: int, width: int, height: int) -> list[Landmarks]:
        """Faces of frame `index` in a picture of another size, to which the clip was scaled.

        Raises: ParameterError where that size has other proportions.
        """
        if 0 in self.size:  # faces of other programs, taken as of this very clip
            return self.frames.get(index, [])
        fx, fy = width / self.size[0], height / self.size[1]
        if abs(fx / fy - 1) > _SAME_SHAPE:
            raise ParameterError(
                f"the faces come from a {self.size[0]}x{self.size[1]} clip and the picture is "
                f"{width}x{height}; put the node right behind the clip, or clear Faces"
            )
        return [[[x * fx, y * fy] for x, y in face] for face in self.frames.get(index, [])]


def load_faces(folder: Path) -> FaceTable:
    """Every face of a faceset folder, largest first within a frame.

    Raises: SourceNotFound, EmptyFaceset, BadAlignedImage and FutureVersion, naming the file.
    """
    if not folder.is_dir():
        raise SourceNotFound(f"no faceset folder {folder}; choose another or clear the field")
    found: dict[int, list[tuple[float, Landmarks]]] = {}
    size: tuple[int, int] | None = None
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in _SUFFIXES or path.name[0] in "._":
            continue
        values = read_metadata(path)
        try:
            x0, y0, x1, y1 = values["box"]
            origin = values["origin"]
            this_size = (int(origin["frame_width"]), int(origin["frame_height"]))
            frame = found.setdefault(int(origin["frame_index"]), [])
            frame.append((max(x1 - x0, y1 - y0), values["landmarks"]))
        except (KeyError, TypeError, ValueError) as error:
            raise BadAlignedImage(f"{path}: the face metadata lacks or garbles {error}") from error
        if size is not None and this_size != size:
            raise BadAlignedImage(
                f"{path} comes from a {this_size[0]}x{this_size[1]} clip, others in the folder "
                f"from {size[0]}x{size[1]}; keep one clip in a folder"
            )
        size = this_size
    if size is None:
        raise EmptyFaceset(f"{folder} holds no aligned face; make one with `facegraft extract`")
    frames = {
        index: [points for _, points in sorted(faces, key=lambda f: -f[0])]
        for index, faces in found.items()
    }
    return FaceTable(size, frames)
