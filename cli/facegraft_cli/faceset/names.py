"""`facegraft faceset names`: what the files are called."""

from pathlib import Path

import click

from facegraft.faces.faceset import Faceset
from facegraft.sets.journal import operation
from facegraft.sets.names import changes, numbered_names, original_names, read_order
from facegraft_cli.faceset.kinds import FOLDER

_FILE = click.Path(path_type=Path, dir_okay=False)
_SHOWN = 5


@click.command()
@click.argument("folder", metavar="FACESET", type=FOLDER)
@click.option("--number", is_flag=True, help="Number the faces in the order of their names.")
@click.option("--order", type=_FILE, help="Number them in the order of this file instead: one "
              "name per line, or the CSV of `sort`. Others follow.")  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Only show what would change.")
def names(folder: Path, number: bool, order: Path | None, dry_run: bool) -> None:
    """Give the faces of FACESET the names back that they had when they were extracted.

    These are FRAME_N: the frame's name and a number for each face of it. With faces of several
    clips they are CLIP_FRAME_N.

    \b
      facegraft faceset names src_faces
      facegraft faceset names src_faces --number
    """
    faceset = Faceset.open(folder)
    present = [face.path.name for face in faceset]
    if number or order is not None:
        wanted = numbered_names(present if order is None else read_order(order), present)
    else:
        wanted = original_names(faceset)
    changed = changes(wanted)
    if changed and not dry_run:
        with operation(folder, "number" if number or order else "original names") as op:
            op.rename(changed)
    verb = "would be renamed" if dry_run else "renamed"
    click.echo(f"{len(changed)} of {len(present)} faces {verb}")
    for old, new in list(changed.items())[:_SHOWN]:
        click.echo(f"  {old} -> {new}")
