"""`facegraft faceset check`: which frames of a clip should be looked at."""

from pathlib import Path

import click

from facegraft.faces.faceset import Faceset
from facegraft.media.images import write_image
from facegraft.media.open import open_source
from facegraft.merge.clip.choose import choose, parse_choice
from facegraft.merge.clip.faces import faces_from_set
from facegraft.merge.clip.params import ClipParams
from facegraft.merge.clip.sheets import suspicion_sheet
from facegraft.merge.clip.steady import steadied
from facegraft.merge.clip.suspicious import find_suspicious, write_report
from facegraft_cli.faceset.kinds import PATH, SET
from facegraft_cli.options import GroupedCommand, collect, table_options
from facegraft_cli.report import terminal_progress


@click.command(cls=GroupedCommand)
@click.argument("folder", metavar="FACESET", type=SET)
@click.argument("clip", type=PATH)
@click.option("--sheet", type=PATH, help="Write a picture of what was found here.")
@click.option("--json", "json_path", type=PATH, help="Write the list as JSON here.")
@table_options(ClipParams)
def check(
    folder: Path, clip: Path, sheet: Path | None, json_path: Path | None, **values: object
) -> None:
    """Name the frames of CLIP that should be looked at, by the faces that FACESET has of it.

    Jumps, doubtful or missing faces, sudden sizes and poses, held gaps.

    \b
      facegraft faceset check dst_faces dst.mp4 --sheet look.png
    """
    params = collect(ClipParams, values)
    choice = parse_choice(params.choose)
    with open_source(clip) as source, terminal_progress() as progress:
        info = source.info
        faces = steadied(faces_from_set(Faceset.open(folder), source), params)
        faces = choose(faces, choice, info.width, info.height)
        found = find_suspicious(faces, source, range(info.frame_count), params)
        if json_path is not None:
            write_report(json_path, found, info.path.name)
        if sheet is not None and found:
            write_image(sheet, suspicion_sheet(source, faces, found, progress))
    for suspicion in found:
        click.echo(f"{suspicion.frame}: {suspicion.sentence}")
    places = len({suspicion.first for suspicion in found})
    where = f"{places} place{'s' * (places != 1)}"
    click.echo(f"{where} to look at in {info.frame_count} frames")
