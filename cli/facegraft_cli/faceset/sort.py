"""`facegraft faceset sort`: a set in order, and what becomes of it."""

from pathlib import Path

import click

from facegraft.faces.faceset import Faceset
from facegraft.sets.filter import Filter, matching_names
from facegraft.sets.sort import DFL_NAMES, FINAL_COUNT, SORTS, Order, sort_faces
from facegraft.sets.sort_files import (
    LinkAs,
    change_set,
    culled_faces,
    default_order_path,
    link_order,
    write_order,
)
from facegraft_cli.faceset.kinds import PATH, SET
from facegraft_cli.report import terminal_progress

_SHOWN = 3  # faces at each end of the summary
_KEYS = "\n".join(f"  {key:<15} {row.help}" for key, row in SORTS.items())
_HELP = f"""Put the faces of FACESET in order.

Without further options nothing is changed: the order goes into a CSV file, and its ends are
printed. Pictures are looked at once; the set keeps what was measured.

\b
{_KEYS}

\b
  facegraft faceset sort src_faces --by blur
  facegraft faceset sort src_faces --by final --count 3000 --cull rest
  facegraft faceset sort src_faces --by blur --cull all --where "sharpness<0.3"
"""


@click.command(help=_HELP)
@click.argument("folder", metavar="FACESET", type=SET)
@click.option(
    "--by",
    "key",
    metavar="KEY",
    required=True,
    type=click.Choice([*SORTS, *DFL_NAMES], case_sensitive=False),
    help="One of the keys above; DeepFaceLab's names are taken too.",
)
@click.option("--reverse", is_flag=True, help="The other way round.")
@click.option(
    "--count",
    type=click.IntRange(1),
    help=f"How many faces to choose: for final ({FINAL_COUNT} unless told), else the first ones.",
)
@click.option(
    "--cull",
    metavar="HOW_MANY",
    help="Move faces to FACESET/_trash: the last N, the last P%, `rest` (all that are not chosen) "
    "or `all` (with --where).",
)
@click.option("--where", metavar="EXPR", help="Cull only faces for which this is true, see `copy`.")
@click.option("--rename", is_flag=True, help="Number the files in order, 00000 and so on.")
@click.option("--link", type=PATH, help="Make this folder, with the chosen faces in order.")
@click.option(
    "--link-as",
    type=click.Choice(LinkAs, case_sensitive=False),
    default=LinkAs.SYMLINK,
    show_default="symlink",
    help="What that folder holds.",
)
@click.option("--order-file", type=PATH, help="Write the order here, not into the set.")
@click.option("--embedding", type=PATH, help="Face recognition ONNX file, for identity.")
def sort(
    folder: Path,
    key: str,
    reverse: bool,
    count: int | None,
    cull: str | None,
    where: str | None,
    rename: bool,
    link: Path | None,
    link_as: LinkAs,
    order_file: Path | None,
    embedding: Path | None,
) -> None:
    if where is not None and cull is None:
        raise click.UsageError("--where says which faces --cull may take; give --cull all, or N")
    if link is not None and link_as is LinkAs.SYMLINK and (rename or cull is not None):
        raise click.UsageError(
            "symbolic links would point to files that --rename and --cull move; add --link-as "
            "hardlink or copy, or make the folder in a second call"
        )
    condition = None if where is None else Filter.parse(where)
    faceset = Faceset.open(folder)
    with terminal_progress() as progress:
        order = sort_faces(faceset, key, count, reverse, embedding, progress)
        matches = None
        if condition is not None:
            matches = matching_names(faceset, condition, progress)[0]
        culled = [] if cull is None else culled_faces(order, cull, matches)
        path = order_file or default_order_path(folder, order.key)
        write_order(path, order)
        linked = 0 if link is None else link_order(link, order, link_as, progress)
    _summary(order)
    click.echo(f"order: {path}")
    if link is not None:
        click.echo(f"{linked} faces in {link}")
    if culled or rename:
        change_set(folder, order, culled, rename)
    if cull is not None:
        click.echo(f"{len(culled)} of {len(faceset)} faces moved to the trash, {folder / '_trash'}")
    if rename:
        click.echo(f"{len(faceset) - len(culled)} files renamed")
    if culled or rename:
        click.echo(f"`facegraft faceset undo {folder}` takes it back")


def _summary(order: Order) -> None:
    total = len(order.faces)
    chosen = "" if order.kept == total else f", {order.kept} chosen"
    click.echo(f"{total} faces by {order.key}{chosen}")
    for sentence in order.damaged:
        click.echo(f"  put last: {sentence}")
    last = total - len(order.damaged)
    ends = range(last) if last <= 2 * _SHOWN else (*range(_SHOWN), *range(last - _SHOWN, last))
    before = -1
    for place in ends:
        if place != before + 1:
            click.echo("       ...")
        before = place
        value = order.values[place]
        shown = "" if value is None else f"{value:.4g}" if isinstance(value, float) else value
        click.echo(f"{place:7d}  {order.faces[place].path.name}  {shown}".rstrip())
