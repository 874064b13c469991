"""`facegraft faceset copy`: the faces that an expression names, in another set."""

from pathlib import Path

import click

from facegraft.faces.faceset import Faceset
from facegraft.sets.copy_faces import copy_faces
from facegraft.sets.filter import Filter, matching_names
from facegraft.sets.measures import MEASURES
from facegraft_cli.faceset.kinds import FOLDER, SET
from facegraft_cli.report import terminal_progress

_MEASURES = "\n".join(f"  {name:<12} {row.help}" for name, row in MEASURES.items())
_HELP = f"""Copy the faces of FACESET for which EXPR is true into the set TARGET.

EXPR compares measures with numbers, and texts with texts in quotes: < <= > >= == !=, `in` for a
part of a text, and, or, not, + - * /, abs, min, max, brackets.

\b
{_MEASURES}

\b
  facegraft faceset copy src_faces right_side --where "yaw>30 and sharpness>0.4"
  facegraft faceset copy src_faces take2 --where "'take2' in source and -10<pitch<10"
"""


@click.command(help=_HELP)
@click.argument("folder", metavar="FACESET", type=SET)
@click.argument("target", metavar="TARGET", type=FOLDER)
@click.option("--where", metavar="EXPR", required=True, help="Which faces; see above.")
@click.option("--overwrite", is_flag=True, help="Replace faces of TARGET that have these names.")
def copy(folder: Path, target: Path, where: str, overwrite: bool) -> None:
    condition = Filter.parse(where)
    faceset = Faceset.open(folder)
    with terminal_progress() as progress:
        names, damaged = matching_names(faceset, condition, progress)
        faces = [face for face in faceset if face.path.name in names]
        copied = copy_faces(faces, target, f"copied where {where}", progress, overwrite)
    for sentence in damaged:
        click.echo(f"left out: {sentence}")
    there = f", {len(faces) - copied} were there already" if copied < len(faces) else ""
    click.echo(f"{copied} of {len(faceset)} faces copied to {target}{there}")
