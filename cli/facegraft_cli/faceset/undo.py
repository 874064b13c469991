"""`facegraft faceset undo`: the way back."""

from pathlib import Path

import click

from facegraft.sets.undo import forget, operations
from facegraft.sets.undo import undo as undo_last
from facegraft_cli.faceset.kinds import FOLDER


@click.command()
@click.argument("folder", metavar="FACESET", type=FOLDER)
@click.option("--list", "shown", is_flag=True, help="Only list what can be taken back.")
@click.option("--forget", "forgotten", is_flag=True, help="Free the disk space that undo needs.")
def undo(folder: Path, shown: bool, forgotten: bool) -> None:
    """Take back the last change of FACESET; again for the one before.

    Names, pictures, masks and culled faces come back as they were, also after a change that was
    interrupted. For this the former files are kept in FACESET/_facegraft/journal, up to 4 GiB and
    50 changes, the oldest go first; --forget drops them all. The trash, FACESET/_trash, is left
    alone by that.

    \b
      facegraft faceset undo src_faces
    """
    if shown:
        found = operations(folder)
        for stored in reversed(found):
            state = "" if stored.is_done else "  (interrupted)"
            click.echo(f"{stored.since}  {stored.title}, {stored.change_count()} files{state}")
        if not found:
            click.echo(f"no change of {folder} is noted")
        return
    if forgotten:
        count, size = forget(folder)
        click.echo(f"{count} changes can no longer be taken back; {size / 1e6:.1f} MB are free")
        return
    undone = undo_last(folder)
    since = f" of {undone.since}" if undone.since else ""
    click.echo(f"taken back: {undone.title}{since}")
    for note in undone.notes:
        click.echo(f"  {note}")
