"""`facegraft extract`: a clip's faces into a faceset."""

from pathlib import Path
from typing import Any

import click

from facegraft.extract import Backend, ExtractParams, ExtractReport, extract_faces
from facegraft.faces.clip import Detector
from facegraft.media.open import open_source
from facegraft_cli.options import collect, table_options
from facegraft_cli.report import terminal_progress
from facegraft_cli.space import space_options

NAMES_SHOWN = 12  # frames without a face that the report lists before it points to the file


@click.command()
@click.argument("clip", type=click.Path(path_type=Path))
@click.argument("faceset", type=click.Path(path_type=Path))
@table_options(ExtractParams)
@space_options
@click.option(
    "--config",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="TOML file of the options above; flags win over it.",
)
@click.option(
    "--debug",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for frames with boxes, points and squares drawn in.",
)
@click.option("--overwrite", is_flag=True, help="Search again where FACESET holds other faces.")
def extract(
    clip: Path,
    faceset: Path,
    config: Path | None,
    debug: Path | None,
    overwrite: bool,
    working_space: str,
    layer: str,
    **values: Any,
) -> None:
    """Find the faces of CLIP (a movie, a folder of images, or name.####.exr) and write each as an
    aligned image into the folder FACESET.

    \b
    Run it again after an interruption and it continues. Delete images of FACESET by hand as you
    like: every image carries its own data.
      facegraft extract src.mp4 src_faces --fps 10
      facegraft extract dst.mp4 dst_faces --debug dst_debug
    """
    params = collect(ExtractParams, values, config)
    with (
        open_source(clip, space=working_space, layer=layer) as source,
        terminal_progress() as progress,
    ):
        detector = make_detector(params.backend, params.small_faces)
        report = extract_faces(source, faceset, params, detector, progress, debug, overwrite)
    click.echo(describe(report, faceset))


def make_detector(backend: Backend, small_faces: bool) -> Detector:
    """Raises: MissingWeights, MissingExtra, both with the next step."""
    if backend is Backend.FACE_ALIGNMENT:
        from facegraft.faces.fan import FanDetector

        return FanDetector()
    from facegraft.faces.detect import FaceDetector

    return FaceDetector(small_faces=small_faces, threads=1)  # frames run in parallel already


def describe(report: ExtractReport, faceset: Path) -> str:
    """The closing report, in sentences."""
    rate = report.frame_count / max(report.seconds, 1e-9)
    lines = [
        f"{report.face_count} faces from {report.frame_count} frames in {faceset} "
        f"({report.seconds:.1f} s, {rate:.1f} frames/s)"
    ]
    if report.resumed_frames:
        lines.append(f"{report.resumed_frames} frames had been searched before")
    if report.skipped_small:
        lines.append(f"{report.skipped_small} faces were smaller than --min-size")
    names = report.frames_without_face
    if names:
        more = f", and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
        lines.append(f"{len(names)} frames without a face: {', '.join(names[:NAMES_SHOWN])}{more}")
        lines.append(f"(all names: {faceset / '_extract' / 'report.json'})")
    return "\n".join(lines)
