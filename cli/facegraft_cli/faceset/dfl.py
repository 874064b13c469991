"""`facegraft faceset import-dfl` and `export-dfl`: from and for DeepFaceLab."""

from pathlib import Path

import click

from facegraft.dfl.facesets import Transfer, export_faceset, import_faceset
from facegraft.faces.faceset import Faceset
from facegraft.media.open import open_source
from facegraft_cli.faceset.kinds import FOLDER, PATH, SET
from facegraft_cli.report import terminal_progress

LEFT_OUT_SHOWN = 5  # files that the closing report names; all were noted when they were met


@click.command("import-dfl")
@click.argument("source", type=PATH)
@click.argument("folder", metavar="FACESET", type=FOLDER)
@click.option(
    "--clip",
    type=PATH,
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


@click.command("export-dfl")
@click.argument("folder", metavar="FACESET", type=SET)
@click.argument("target", metavar="FOLDER", type=FOLDER)
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
