"""`facegraft faceset sheet` and `overlay`: pictures to look at."""

from pathlib import Path

import click

from facegraft.faces.faceset import Faceset
from facegraft.sets.contact_sheet import COLUMNS, ROWS, TILE, write_sheets
from facegraft.sets.overlays import write_overlays
from facegraft_cli.faceset.kinds import FOLDER, PATH, SET
from facegraft_cli.report import terminal_progress


@click.command()
@click.argument("folder", metavar="FACESET", type=SET)
@click.argument("picture", metavar="PICTURE", type=PATH)
@click.option("--columns", default=COLUMNS, show_default=True, help="Faces side by side.")
@click.option("--rows", default=ROWS, show_default=True, help="Rows on a page.")
@click.option("--tile", default=TILE, show_default=True, help="Side of a face in px.")
def sheet(folder: Path, picture: Path, columns: int, rows: int, tile: int) -> None:
    """Draw all faces of FACESET with their names into PICTURE, in pages where they are many.

    \b
      facegraft faceset sheet src_faces src_sheet.png
    """
    with terminal_progress() as progress:
        faces = Faceset.open(folder)
        files = write_sheets(faces, picture, columns, rows, tile, progress)
    last = f" to {files[-1].name}" if len(files) > 1 else ""
    click.echo(f"{len(faces)} faces on {files[0]}{last}")


@click.command()
@click.argument("folder", metavar="FACESET", type=SET)
@click.argument("target", metavar="OUT", type=FOLDER)
def overlay(folder: Path, target: Path) -> None:
    """Copy the faces of FACESET into the new folder OUT with their landmarks drawn in.

    Green points are the landmarks, blue is the outline of the mask, yellow and red are polygons
    that mark face and no face. The copies are pictures only and no faceset.

    \b
      facegraft faceset overlay src_faces src_overlay
    """
    with terminal_progress() as progress:
        count = write_overlays(Faceset.open(folder), target, progress)
    click.echo(f"{count} faces drawn into {target}")
