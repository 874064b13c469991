"""`facegraft faceset tracks`: who is in a faceset."""

from pathlib import Path

import click

from facegraft.faces.faceset import Faceset
from facegraft.media.images import write_image
from facegraft.merge.clip.track_list import list_tracks, track_sheet
from facegraft_cli.faceset.kinds import PATH, SET


@click.command()
@click.argument("folder", metavar="FACESET", type=SET)
@click.option("--sheet", type=PATH, help="Write a picture with one face of each track here.")
def tracks(folder: Path, sheet: Path | None) -> None:
    """List the people of FACESET by their tracks, whose numbers `merge --choose track:N` takes.

    \b
      facegraft faceset tracks dst_faces --sheet tracks.png
    """
    rows = list_tracks(Faceset.open(folder))
    for row in rows:
        click.echo(str(row))
    if sheet is not None:
        write_image(sheet, track_sheet(rows))
        click.echo(f"one face of each: {sheet}")
