"""`facegraft faceset metadata`: around an image editor."""

from pathlib import Path

import click

from facegraft.errors import ParameterError
from facegraft.faces.faceset import Faceset
from facegraft.sets.lock import lock_set
from facegraft.sets.meta_files import metadata_path, restore_metadata, save_metadata
from facegraft_cli.faceset.kinds import FOLDER
from facegraft_cli.report import terminal_progress

_FILE = click.Path(path_type=Path, dir_okay=False)
_SHOWN = 10


@click.group()
def metadata() -> None:
    """Save what the faces say of themselves, and give it back after an image editor dropped it.

    \b
      facegraft faceset metadata save src_faces
      ... edit the pictures in any program; they may change their size, but must stay square ...
      facegraft faceset metadata restore src_faces
    """


@metadata.command()
@click.argument("folder", metavar="FACESET", type=FOLDER)
@click.option("--file", "path", type=_FILE, help="Where to; else inside FACESET.")
@click.option("--overwrite", is_flag=True, help="Replace what was saved before.")
def save(folder: Path, path: Path | None, overwrite: bool) -> None:
    """Save landmarks, masks and all else that the faces of FACESET carry."""
    path = path or metadata_path(folder)
    if path.exists() and not overwrite:
        raise ParameterError(f"{path} is there already; restore from it, or give --overwrite")
    faceset = Faceset.open(folder)
    with lock_set(folder):
        count = save_metadata(faceset, path)
    click.echo(f"the metadata of {count} faces is in {path}")


@metadata.command()
@click.argument("folder", metavar="FACESET", type=FOLDER)
@click.option("--file", "path", type=_FILE, help="Where it was saved; else inside FACESET.")
def restore(folder: Path, path: Path | None) -> None:
    """Give the edited pictures of FACESET back what was saved; others are left alone."""
    with terminal_progress() as progress:
        done = restore_metadata(folder, path or metadata_path(folder), progress)
    click.echo(
        f"{done.restored_count} faces have their metadata back, {done.scaled_count} of them at "
        f"another size; {done.same_count} were not edited"
    )
    for problem in done.problems[:_SHOWN]:
        click.echo(f"  {problem}")
    if len(done.problems) > _SHOWN:
        click.echo(f"  and {len(done.problems) - _SHOWN} more")
