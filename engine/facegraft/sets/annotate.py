"""Editing mask labels in labelme, the field's annotator, on a faceset as it lies there.

labelme opens the folder of pictures and keeps its JSON files in `_facegraft/labelme` of the set;
they are made from the labels before it starts, and what differs after it ends is stored in the
images. The set is not locked while a person draws: only labels that changed are written, one
operation at the end.
"""

import json
import shutil
import subprocess
from pathlib import Path

from facegraft.errors import MissingExtra, ParameterError
from facegraft.faces.faceset import Faceset
from facegraft.files import write_atomic
from facegraft.sets.labelme import FACE, NOT_FACE, read_labelme, to_labelme
from facegraft.sets.labels import Label, store_labels
from facegraft.sets.lock import INSIDE

PROGRAM = "labelme"


def find_annotator(program: str = PROGRAM) -> str:
    """Its path. Raises: MissingExtra."""
    found = shutil.which(program)
    if found is None:
        raise MissingExtra(
            f"{program} is not installed or not on the PATH; install it with `pip install "
            "labelme`, in an environment of its own if you like, and give --program"
        )
    return found


def edit_labels(faceset: Faceset, program: str) -> tuple[int, int]:
    """Let a person draw; gives how many faces' polygons changed, and how many have some now.

    Raises: ParameterError where the program fails, LabelError for what it left behind,
    SetInUse, WriteError, BadAlignedImage.
    """
    folder = faceset.folder.resolve()
    work = folder / INSIDE / "labelme"
    for face in faceset:
        path = work / f"{face.path.stem}.json"
        if face.polygons:
            picture = f"../../{face.path.name}"
            write_atomic(path, json.dumps(to_labelme(face, picture), indent=1).encode())
        else:
            path.unlink(missing_ok=True)  # of an earlier session, and cleared since
    run_annotator(program, folder, work)
    labels = {
        face.path: Label(read_labelme(path, face) if path.exists() else ())
        for face, path in ((f, work / f"{f.path.stem}.json") for f in faceset)
    }
    changed = store_labels(faceset, labels, "mask labels drawn in labelme")
    return changed, sum(bool(label.polygons) for label in labels.values())


def run_annotator(program: str, folder: Path, work: Path) -> None:
    """Raises: ParameterError where it cannot be started or ends with an error."""
    work.mkdir(parents=True, exist_ok=True)
    command = [program, str(folder), "--output", str(work), "--labels", f"{FACE},{NOT_FACE}"]
    try:
        ended = subprocess.run(command, check=False)
    except OSError as error:
        raise ParameterError(f"{program} cannot be started: {error.strerror}") from error
    if ended.returncode != 0:
        raise ParameterError(
            f"{program} ended with code {ended.returncode}; what it saved lies in {work} and is "
            "taken up when you run `facegraft mask edit` again"
        )
