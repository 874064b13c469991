"""`facegraft faceset report`: what a set is worth, as a page, as JSON and in words."""

import json
from pathlib import Path

import click
import numpy as np

from facegraft.faces.faceset import Faceset
from facegraft.files import write_atomic
from facegraft.media.images import write_image
from facegraft.sets.advice import advise
from facegraft.sets.report import make_report, report_values
from facegraft.sets.sheet_report import report_sheet
from facegraft_cli.faceset.kinds import PATH, SET
from facegraft_cli.report import terminal_progress


@click.command()
@click.argument("folder", metavar="SRC", type=SET)
@click.option("--dst", type=SET, help="The set to be replaced: which of its poses does SRC lack?")
@click.option("--sheet", type=PATH, help="Write the page here, PNG or JPEG.")
@click.option("--json", "json_path", type=PATH, help="Write all figures as JSON here.")
@click.option(
    "--embedding", type=PATH, help="Face recognition ONNX file, to find strangers; else by colour."
)
def report(
    folder: Path, dst: Path | None, sheet: Path | None, json_path: Path | None,
    embedding: Path | None,
) -> None:  # fmt: skip
    """Say what the set SRC is worth: poses, sharpness, sizes, repetition, strangers.

    Poses are counted by yaw and pitch; duplicates are pictures that differ by less than a codec
    makes of them. The advice names what to add and what to cull.

    \b
      facegraft faceset report src_faces --dst dst_faces --sheet report.png
    """
    with terminal_progress() as progress:
        second = None if dst is None else Faceset.open(dst)
        found = make_report(Faceset.open(folder), second, embedding, progress)
        advice = advise(found)
        if sheet is not None:
            write_image(sheet, report_sheet(found, advice))
        if json_path is not None:
            text = json.dumps(report_values(found, advice))
            write_atomic(json_path, text.encode() + b"\n")
    for side in [found.src] + ([found.dst] if found.dst else []):
        sharpness = float(np.median(side.measured.values("sharpness")))
        click.echo(
            f"{side.folder}: {len(side.faces)} faces, {len(side.duplicates)} near duplicates, "
            f"{len(side.outliers)} outliers, median sharpness {sharpness:.2f}"
        )
    if found.coverage is not None:
        click.echo(f"{100 * found.coverage.covered:.0f} % of dst has a src face of its pose")
    for sentence in advice:
        click.echo(f"- {sentence}")
