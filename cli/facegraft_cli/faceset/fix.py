"""`facegraft faceset fix` and `redo`: faces that the detector missed or misplaced."""

from collections.abc import Sequence
from pathlib import Path

import click

from facegraft.faces.detect import FaceDetector
from facegraft.faces.face import Face
from facegraft.faces.faceset import Faceset
from facegraft.faces.overlay import draw_faces
from facegraft.media.images import write_image
from facegraft.media.open import open_source
from facegraft.media.source import Frame
from facegraft.sets.correct import (
    CorrectReport,
    deleted_overlays,
    fit_hint,
    frame_indices,
    store_faces,
)
from facegraft.sets.hints import read_hints
from facegraft_cli.report import terminal_progress

_FOLDER = click.Path(path_type=Path, file_okay=False)
_PATH = click.Path(path_type=Path, exists=True)
_NOTES_SHOWN = 12


@click.command()
@click.argument("folder", metavar="FACESET", type=_FOLDER)
@click.argument("clip", type=_PATH)
@click.option("--landmarks", "hints_path", type=_PATH, required=True,
              help="What you say about the faces: JSON of ours, COCO keypoints, labelme's file or "
              "its folder of files. A box or five points are enough.")  # fmt: skip
def fix(folder: Path, clip: Path, hints_path: Path) -> None:
    """Correct faces of FACESET, which came from CLIP, by landmarks, points or boxes from a file.

    Only the frames named in the file are cut again; a face that lies on an old one takes its place
    and keeps its labels. `facegraft faceset undo` takes it back.

    \b
    The file, where 00042 is a frame's name or number and places are frame pixels:
      {"frames": {"00042": [{"box": [310, 120, 480, 330]}],
                  "00043": [{"points": [[350, 190], [430, 188], [392, 240],
                                        [362, 280], [425, 279]]}]}}
    Five points are the eyes from left to right, nose, corners of the mouth; 68 are taken as they
    are. `facegraft faceset check` lists the frames that want it.
    """
    hints = read_hints(hints_path)
    detector = FaceDetector()
    with open_source(clip) as source, terminal_progress() as progress:
        by_index = {index: hints[name] for name, index in frame_indices(hints, source).items()}

        def find(frame: Frame) -> tuple[Sequence[Face], Sequence[str]]:
            found = [fit_hint(frame.image_u8, hint, detector) for hint in by_index[frame.index]]
            missing = ["no face is seen in the box; give five points" for f in found if f is None]
            return [face for face in found if face is not None], missing

        report = store_faces(
            source, Faceset.open(folder), list(by_index), find, f"{detector.name}, by hand",
            f"landmarks of {hints_path.name}", progress,
        )  # fmt: skip
    _tell(folder, report)


@click.command()
@click.argument("folder", metavar="FACESET", type=_FOLDER)
@click.argument("clip", type=_PATH)
@click.option("--debug", "debug_folder", type=_FOLDER, required=True,
              help="What `extract --debug` wrote, some of its pictures deleted.")  # fmt: skip
def redo(folder: Path, clip: Path, debug_folder: Path) -> None:
    """Search the frames of CLIP again whose debug picture you deleted, and more thoroughly.

    Small faces are looked for in tiles. New pictures are drawn for the frames where faces are
    found; what stays without a picture wants `facegraft faceset fix`.
    """
    detector = FaceDetector(small_faces=True)
    faceset = Faceset.open(folder)
    with open_source(clip) as source, terminal_progress() as progress:

        def find(frame: Frame) -> tuple[Sequence[Face], Sequence[str]]:
            faces = found[frame.index] = detector.detect(frame.image_u8)
            return faces, [] if faces else ["no face is found; use `facegraft faceset fix`"]

        found: dict[int, list[Face]] = {}
        indices = deleted_overlays(debug_folder, source)
        report = store_faces(
            source, faceset, indices, find, detector.name, "frames searched again", progress
        )
        for index, faces in found.items():
            if faces:
                overlay = draw_faces(source[index].image_u8, faces, faceset[0].face_type)
                write_image(debug_folder / f"{source.name_of(index)}.jpg", overlay)
    _tell(folder, report)


def _tell(folder: Path, report: CorrectReport) -> None:
    click.echo(
        f"{folder}: {report.frames} frames, {report.replaced} faces replaced, {report.added} added"
    )
    for note in report.notes[:_NOTES_SHOWN]:
        click.echo(f"  {note}")
    if len(report.notes) > _NOTES_SHOWN:
        click.echo(f"  and {len(report.notes) - _NOTES_SHOWN} more")
