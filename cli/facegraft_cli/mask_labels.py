"""`facegraft mask edit` and `mask labels`: what people marked as face in aligned images."""

from pathlib import Path

import click

from facegraft.faces.faceset import Faceset
from facegraft.sets.labels import (
    LabelFormat,
    clear_labels,
    count_labels,
    export_labels,
    fetch_labelled,
    read_labels,
    store_labels,
)

_FOLDER = click.Path(path_type=Path, file_okay=False)
_PATH = click.Path(path_type=Path)
_SHOWN = 5  # names of files that belong to no face
_KINDS = click.Choice([kind.value for kind in LabelFormat])


@click.command()
@click.argument("folder", metavar="FACESET", type=_FOLDER)
@click.option("--program", default="labelme", show_default=True,
              help="labelme's command, or its path in another environment.")  # fmt: skip
def edit(folder: Path, program: str) -> None:
    """Draw mask labels on the faces of FACESET in labelme, and store them when it is closed.

    Label "face" fills, label "not face" cuts out, whichever is drawn first; a face without a
    polygon stays unlabelled. Twenty to fifty faces, with all kinds of things in front of them, are
    a good beginning.
    """
    from facegraft.sets.annotate import edit_labels, find_annotator

    changed, labelled = edit_labels(Faceset.open(folder), find_annotator(program))
    click.echo(f"{folder}: {changed} faces changed, {labelled} have polygons now")


@click.group()
def labels() -> None:
    """Take mask labels in and out: labelme, COCO, painted PNG, DeepFaceLab.

    \b
      facegraft mask labels stats dst_faces
      facegraft mask labels import dst_faces painted --format png
      facegraft mask labels export dst_faces labels.json --format coco
    """


@labels.command("import")
@click.argument("folder", metavar="FACESET", type=_FOLDER)
@click.argument("source", type=_PATH)
@click.option(
    "--format",
    "kind",
    type=_KINDS,
    required=True,
    help="labelme: a JSON per picture; coco: one JSON; png: painted masks, white is "
    "face; dfl: aligned JPEGs with polygons. Files have the names of the pictures.",
)
def import_labels(folder: Path, source: Path, kind: str) -> None:
    """Store the labels of SOURCE in the faces of FACESET; `faceset undo` takes them back."""
    faceset = Faceset.open(folder)
    found, strangers = read_labels(faceset, source, LabelFormat(kind))
    changed = store_labels(faceset, found, f"mask labels of {source.name}")
    click.echo(f"{folder}: labels for {len(found)} faces, {changed} changed")
    if strangers:
        more = f" and {len(strangers) - _SHOWN} more" if len(strangers) > _SHOWN else ""
        named = ", ".join(strangers[:_SHOWN])
        click.echo(f"{len(strangers)} files belong to no face of the set: {named}{more}")


@labels.command("export")
@click.argument("folder", metavar="FACESET", type=_FOLDER)
@click.argument("target", type=_PATH)
@click.option("--format", "kind", type=_KINDS, required=True,
              help="labelme and png: one file per labelled face in the folder TARGET; coco: the "
              "file TARGET.")  # fmt: skip
@click.option("--overwrite", is_flag=True, help="Replace files that are there.")
def export(folder: Path, target: Path, kind: str, overwrite: bool) -> None:
    """Write the labels of FACESET to TARGET."""
    count = export_labels(Faceset.open(folder), target, LabelFormat(kind), overwrite)
    click.echo(f"{target}: labels of {count} faces")


@labels.command()
@click.argument("folder", metavar="FACESET", type=_FOLDER)
def stats(folder: Path) -> None:
    """Count the labels of FACESET."""
    counts = count_labels(Faceset.open(folder))
    click.echo(
        f"{folder}: {counts.faces} faces; {counts.with_polygons} with polygons ({counts.include} "
        f"face, {counts.exclude} not face), {counts.painted} with a painted mask, "
        f"{counts.computed} with a mask that a network made"
    )
    if counts.with_polygons + counts.painted:
        click.echo(f"labels say face on {counts.covered:.0%} of the square on average")


@labels.command()
@click.argument("folder", metavar="FACESET", type=_FOLDER)
@click.option("--yes", is_flag=True, help="Do not ask.")
def clear(folder: Path, yes: bool) -> None:
    """Remove all labels of FACESET; masks that a network made stay. `faceset undo` restores."""
    faceset = Faceset.open(folder)
    counts = count_labels(faceset)
    count = counts.with_polygons + counts.painted
    if count and not yes:
        click.confirm(f"remove the labels of {count} faces of {folder}?", abort=True)
    click.echo(f"{folder}: labels of {clear_labels(faceset)} faces removed")


@labels.command()
@click.argument("folder", metavar="FACESET", type=_FOLDER)
@click.argument("target", type=_FOLDER)
def fetch(folder: Path, target: Path) -> None:
    """Copy the labelled faces of FACESET into the folder TARGET."""
    click.echo(f"{target}: {fetch_labelled(Faceset.open(folder), target)} faces")
