"""What changed in a faceset's folder or pack while training runs: faces come, go and change."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from facegraft.errors import FacesetError
from facegraft.faces.face import AlignedFace
from facegraft.faces.faceset import aligned_paths, read_aligned
from facegraft.faces.pack import is_packed, packed_stamp

_log = logging.getLogger(__name__)

# size in bytes and time of change in ns, or in a pack the CRC: enough to see another content
Stamp = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Listing:
    """A look at the folder.

    came:   faces that are new, or whose file was written anew.
    gone:   names of faces that are no longer there as they were.
    broken: why a new file is not a face, one text each.
    stamps: of every file, for the next look.
    """

    came: tuple[AlignedFace, ...]
    gone: frozenset[str]
    broken: tuple[str, ...]
    stamps: Mapping[str, Stamp]


def list_changes(folder: Path, names: frozenset[str], stamps: Mapping[str, Stamp]) -> Listing:
    """Compare the folder with the faces in use, `names`, and with the stamps of the last look.

    Only files without a stamp or with another one are opened; a face in use is taken as it is when
    its first stamp is made. Raises: OSError where the folder can not be listed.
    """
    found: dict[str, Stamp] = {}
    came: list[AlignedFace] = []
    broken: list[str] = []
    for path in aligned_paths(folder):
        try:
            stamp = found[path.name] = _stamp_of(path)
        except FileNotFoundError:
            continue
        if stamps.get(path.name, stamp if path.name in names else None) == stamp:
            continue
        try:
            came.append(read_aligned(path))
        except (FacesetError, OSError) as error:
            broken.append(str(error))
    written_anew = {
        name for name in names & found.keys() if stamps.get(name, found[name]) != found[name]
    }
    gone = (names - found.keys()) | written_anew
    _log.debug("%s: %d came, %d went, %d broken", folder, len(came), len(gone), len(broken))
    return Listing(tuple(came), frozenset(gone), tuple(broken), found)


def _stamp_of(path: Path) -> Stamp:
    """Raises: FileNotFoundError."""
    if is_packed(path):
        return packed_stamp(path)
    status = path.stat()
    return status.st_size, status.st_mtime_ns
