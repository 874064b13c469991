"""`facegraft faceset resize`: another size, another face type."""

from pathlib import Path

import click

from facegraft.errors import ParameterError
from facegraft.faces.faceset import Faceset
from facegraft.model_spec import FaceType
from facegraft.sets.reframe import reframe_faceset
from facegraft_cli.faceset.kinds import FOLDER, SET
from facegraft_cli.report import terminal_progress


@click.command()
@click.argument("folder", metavar="FACESET", type=SET)
@click.argument("target", metavar="[OUT]", type=FOLDER, required=False)
@click.option("--size", type=int, help="Side of the new pictures in px.")
@click.option(
    "--face-type",
    type=click.Choice([kind.value for kind in FaceType]),
    help="How much of the head the new pictures show.",
)
@click.option("--in-place", is_flag=True, help="Change FACESET itself; undo brings it back.")
def resize(
    folder: Path, target: Path | None, size: int | None, face_type: str | None, in_place: bool
) -> None:
    """Write the faces of FACESET at another size, or as another face type, into the folder OUT.

    Landmarks, masks and polygons come along. A larger face type shows more than the stored
    pictures do and so gets black margins: extract the clip again with that type instead. JPEG
    pictures are encoded once more, which costs a little sharpness.

    \b
      facegraft faceset resize src_faces src_256 --size 256
      facegraft faceset resize src_faces src_full --face-type full
      facegraft faceset resize src_faces --size 256 --in-place
    """
    if size is None and face_type is None:
        raise ParameterError("say what the faces shall be: --size PX, --face-type TYPE, or both")
    if (target is None) == (not in_place):
        raise ParameterError("name a folder OUT for the new faces, or give --in-place")
    kind = None if face_type is None else FaceType(face_type)
    with terminal_progress() as progress:
        faceset = Faceset.open(folder)
        done = reframe_faceset(faceset, target or folder, size, kind, progress)
    click.echo(f"{done.face_count} faces in {target or folder}")
    if done.same_count:
        click.echo(f"{done.same_count} had that size and type already")
    if done.beyond_count:
        click.echo(
            f"{done.beyond_count} have a black margin, since their pictures show less than that; "
            "extract the clip again for whole ones"
        )
