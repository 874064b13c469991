"""`facegraft faceset`: what can be done with a faceset as a whole."""

from pathlib import Path

import click

from facegraft.dfl.facesets import Transfer, export_faceset, import_faceset
from facegraft.faces.faceset import Faceset
from facegraft.media.images import write_image
from facegraft.media.open import open_source
from facegraft.merge.clip.choose import choose, parse_choice
from facegraft.merge.clip.faces import faces_from_set
from facegraft.merge.clip.params import ClipParams
from facegraft.merge.clip.sheets import suspicion_sheet
from facegraft.merge.clip.steady import steadied
from facegraft.merge.clip.suspicious import find_suspicious, write_report
from facegraft.merge.clip.track_list import list_tracks, track_sheet
from facegraft_cli.options import GroupedCommand, collect, table_options
from facegraft_cli.report import terminal_progress

_PATH = click.Path(path_type=Path)
_FOLDER = click.Path(path_type=Path, file_okay=False)
LEFT_OUT_SHOWN = 5  # files that the closing report names; all were noted when they were met


@click.group()
def faceset() -> None:
    """Facesets: who is in them, what to look at, from and for other programs."""


@faceset.command("import-dfl")
@click.argument("source", type=_PATH)
@click.argument("folder", metavar="FACESET", type=_FOLDER)
@click.option(
    "--clip",
    type=_PATH,
    help="The movie or images that the faces were cut from: tells size and time of the frames, "
    "which DeepFaceLab does not note.",
)
@click.option("--overwrite", is_flag=True, help="Replace files of FACESET that have these names.")
def import_dfl(source: Path, folder: Path, clip: Path | None, overwrite: bool) -> None:
    """Take over SOURCE, DeepFaceLab's folder of aligned faces or its faceset.pak.

    \b
    The pictures stay as they are, byte by byte. Landmarks, masks and polygons come along.
      facegraft faceset import-dfl workspace/data_src/aligned src_faces
      facegraft faceset import-dfl faceset.pak dst_faces --clip data_dst.mp4
    """
    with terminal_progress() as progress:
        if clip is None:
            report = import_faceset(source, folder, progress, overwrite=overwrite)
        else:
            with open_source(clip) as frames:
                report = import_faceset(source, folder, progress, frames.info, overwrite)
    click.echo(describe(report, folder, "imported into"))
    if report.changed_count:
        click.echo(f"{report.changed_count} have another name, since theirs was unsafe or taken")


@faceset.command("export-dfl")
@click.argument("folder", metavar="FACESET", type=_FOLDER)
@click.argument("target", metavar="FOLDER", type=_FOLDER)
@click.option("--pak", is_flag=True, help="Write one faceset.pak instead of single images.")
@click.option("--overwrite", is_flag=True, help="Replace files of FOLDER that have these names.")
def export_dfl(folder: Path, target: Path, pak: bool, overwrite: bool) -> None:
    """Write FACESET as aligned JPEGs that DeepFaceLab reads, into FOLDER.

    \b
      facegraft faceset export-dfl src_faces workspace/data_src/aligned
    """
    with terminal_progress() as progress:
        report = export_faceset(Faceset.open(folder), target, pak, progress, overwrite)
    click.echo(describe(report, target, "exported into"))
    if report.changed_count:
        click.echo(f"{report.changed_count} were PNG and became JPEG, as DeepFaceLab needs it")


@faceset.command()
@click.argument("folder", metavar="FACESET", type=_FOLDER)
@click.option("--sheet", type=_PATH, help="Write a picture with one face of each track here.")
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


@faceset.command(cls=GroupedCommand)
@click.argument("folder", metavar="FACESET", type=_FOLDER)
@click.argument("clip", type=_PATH)
@click.option("--sheet", type=_PATH, help="Write a picture of what was found here.")
@click.option("--json", "json_path", type=_PATH, help="Write the list as JSON here.")
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


def describe(report: Transfer, folder: Path, verb: str) -> str:
    """The closing report, in sentences."""
    lines = [
        f"{report.face_count} faces {verb} {folder}, {report.mask_count} with a mask, "
        f"{report.polygon_count} polygons"
    ]
    if report.skipped:
        lines.append(f"{len(report.skipped)} files were left out:")
        lines += [f"  {text}" for text in report.skipped[:LEFT_OUT_SHOWN]]
    return "\n".join(lines)
