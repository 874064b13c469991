"""`facegraft faceset merge` and `split`: several sets into one, one into several."""

from pathlib import Path

import click

from facegraft.errors import ParameterError
from facegraft.faces.faceset import Faceset
from facegraft.sets.combine import (
    join_faces,
    split_by_share,
    split_by_source,
    split_by_track,
    write_parts,
)
from facegraft_cli.faceset.kinds import FOLDER, SET
from facegraft_cli.report import terminal_progress


@click.command()
@click.argument("sets", metavar="FACESET...", nargs=-1, required=True, type=SET)
@click.argument("target", metavar="OUT", type=FOLDER)
def merge(sets: tuple[Path, ...], target: Path) -> None:
    """Copy the faces of one or more FACESETs into the folder OUT, which may hold faces already.

    A face whose name is taken gets the name of its set before it; equal files are copied once.

    \b
      facegraft faceset merge clip1_faces clip2_faces.facepack src_faces
    """
    with terminal_progress() as progress:
        faces = [face for folder in sets for face in Faceset.open(folder)]
        title = f"merge {', '.join(folder.name for folder in sets)}"
        copied = join_faces(faces, target, title, progress)
    click.echo(f"{copied.face_count} faces copied into {target}")
    if copied.renamed_count:
        click.echo(f"{copied.renamed_count} have another name, since theirs was taken")
    if copied.same_count:
        click.echo(f"{copied.same_count} were there already")


@click.command()
@click.argument("folder", metavar="FACESET", type=SET)
@click.argument("target", metavar="OUT", type=FOLDER)
@click.option("--by", type=click.Choice(["track", "source"]),
              help="One set per track (the people of a clip), or per clip.")  # fmt: skip
@click.option("--share", type=float, help="Two sets, OUT/first with this share of the faces, drawn "
              "by chance, and OUT/rest. [0 to 1]")  # fmt: skip
@click.option("--seed", default=0, show_default=True, help="Another number draws other faces.")
def split(folder: Path, target: Path, by: str | None, share: float | None, seed: int) -> None:
    """Copy the faces of FACESET into several sets, folders in OUT.

    \b
      facegraft faceset split dst_faces people --by track
      facegraft faceset split src_faces parts --share 0.9
    """
    if (by is None) == (share is None):
        raise ParameterError("say how to split: --by track, --by source or --share 0.9")
    with terminal_progress() as progress:
        faceset = Faceset.open(folder)
        if share is not None:
            parts = split_by_share(faceset, share, seed)
        else:
            parts = split_by_track(faceset) if by == "track" else split_by_source(faceset)
        write_parts(parts, target, progress)
    for part in parts:
        click.echo(f"{target / part.name}: {len(part.faces)} faces")
