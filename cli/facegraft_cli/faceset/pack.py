"""`facegraft faceset pack` and `unpack`: a folder in one file."""

from pathlib import Path

import click

from facegraft.sets.pack import Packed, pack_faceset, unpack_faceset
from facegraft_cli.faceset.kinds import FOLDER, SET
from facegraft_cli.report import terminal_progress

_FILE = click.Path(path_type=Path, dir_okay=False)
_LEFT_OUT_SHOWN = 5


@click.command()
@click.argument("folder", metavar="FACESET", type=FOLDER)
@click.argument("pack_file", metavar="[FILE]", type=_FILE, required=False)
@click.option("--overwrite", is_flag=True, help="Replace FILE if it is there.")
@click.option("--skip-bad", is_flag=True, help="Leave out files that are no faces or damaged.")
def pack(folder: Path, pack_file: Path | None, overwrite: bool, skip_bad: bool) -> None:
    """Write the faces of the folder FACESET into one file, FACESET.facepack or FILE.

    One file is quick to copy and to list, and train, merge, sort and report read it as it is. It
    is an ordinary ZIP file. The folder stays; delete it yourself once you no longer change it.

    \b
      facegraft faceset pack src_faces
      facegraft train src_faces.facepack dst_faces run
    """
    target = pack_file or folder.with_name(f"{folder.name}.facepack")
    with terminal_progress() as progress:
        packed = pack_faceset(folder, target, progress, overwrite, skip_bad)
    click.echo(f"{packed.face_count} faces packed into {target}, {_size(packed)}")
    _tell_skipped(packed)


@click.command()
@click.argument("pack_file", metavar="FILE", type=SET)
@click.argument("folder", metavar="FACESET", type=FOLDER)
@click.option("--overwrite", is_flag=True, help="Replace faces of FACESET that have these names.")
def unpack(pack_file: Path, folder: Path, overwrite: bool) -> None:
    """Write the faces of the packed set FILE into the folder FACESET: all of them, or none.

    Each face is checked. Faces that are there with the same content are left alone.

    \b
      facegraft faceset unpack src_faces.facepack src_faces
    """
    with terminal_progress() as progress:
        packed = unpack_faceset(pack_file, folder, progress, overwrite)
    there = f", {packed.present_count} were there already" if packed.present_count else ""
    click.echo(f"{packed.face_count} faces unpacked into {folder}{there}")
    _tell_skipped(packed)


def _size(packed: Packed) -> str:
    return f"{packed.byte_count / 1e6:.1f} MB"


def _tell_skipped(packed: Packed) -> None:
    if packed.skipped:
        click.echo(f"{len(packed.skipped)} files were left out:")
        for sentence in packed.skipped[:_LEFT_OUT_SHOWN]:
            click.echo(f"  {sentence}")
