"""`facegraft mask train` and `mask export`: labelled faces to a run, a run to one ONNX file."""

from pathlib import Path
from typing import Any

import click

from facegraft.controls import parse_values
from facegraft.model_spec import FaceType
from facegraft.training.mask_params import (
    MASK_DESCRIPTIONS,
    MASK_PRESETS,
    MaskPreset,
    MaskTrainParams,
)
from facegraft_cli.options import GroupedCommand, given_values, read_toml, table_options
from facegraft_cli.report import terminal_progress

PRESET_HELP = "; ".join(f"{preset}: {text}" for preset, text in MASK_DESCRIPTIONS.items())
_FOLDER = click.Path(path_type=Path, file_okay=False)


@click.command(cls=GroupedCommand)
@click.argument("facesets", metavar="FACESET...", type=_FOLDER, nargs=-1, required=True)
@click.argument("run", type=_FOLDER)
@click.option(
    "--preset",
    type=click.Choice([preset.value for preset in MaskPreset]),
    help=f"Defaults for a new run. {PRESET_HELP}. Without a preset it is light, whose values are "
    "shown below.",
)
@click.option(
    "--config",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="TOML file with any of the options below; flags win over it. A run keeps its own as "
    "RUN/params.toml.",
)
@click.option(
    "--pretrained",
    type=click.Path(path_type=Path, exists=True),
    help="Another mask run, or one save of it, whose weights a new run begins with; for example "
    "one that learned outlines with --labels hull.",
)
@table_options(MaskTrainParams)
def train(
    facesets: tuple[Path, ...],
    run: Path,
    preset: str | None,
    config: Path | None,
    pretrained: Path | None,
    **values: Any,
) -> None:
    """Train a mask network on the labelled faces of one FACESET or more.

    Faces without a label are left out. RUN is the run's folder; where it already holds a run,
    training goes on from its last save with its own options, and flags change them, except those
    that shape the network. While it runs, look at RUN/preview.png: picture, label, prediction.
    Ctrl-C saves and ends; in a terminal p draws the preview, space draws it with other faces, s
    saves, b backs up, Enter saves and ends.

    \b
      facegraft mask train dst_faces masks --target-iterations 1000
      facegraft mask train many_faces outlines --labels hull
      facegraft mask train dst_faces masks --pretrained outlines
    """
    # torch takes seconds to import, and --help must not wait for it
    from facegraft.faces.faceset import Faceset
    from facegraft.training.checkpoint import run_params
    from facegraft.training.mask_loop import train_masks
    from facegraft.training.run_params import changed

    over = {
        **(MASK_PRESETS[MaskPreset(preset)] if preset else {}),
        **(read_toml(config) if config else {}),
        **given_values(values),
    }
    with terminal_progress(keys=True) as progress:
        existing = run_params(run, progress.note, MaskTrainParams)
        params = changed(existing, over) if existing else parse_values(MaskTrainParams, over)
        opened = [Faceset.open(folder) for folder in facesets]
        result = train_masks(opened, run, params, progress, pretrained)
    rate = result.session_iterations / max(1e-9, result.session_seconds)
    loss, error = result.losses
    click.echo(
        f"{run}: iteration {result.iteration:,}, loss {loss:.3f}, overlap with the labels "
        f"{1 - error:.1%} of the last batch, {rate:.2f} iterations/s; saved"
    )


@click.command()
@click.argument("run", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.argument("output", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--name", default="", help="What the network is called.")
@click.option("--licence", default="", help="Under which terms it may be used.")
def export(run: Path, output: Path, name: str, licence: str) -> None:
    """Write the mask network of RUN as one file OUTPUT, which ends in .onnx.

    `facegraft merge --segmenter`, the node and programs that read XSeg files take it. The file is
    run on faces of the training and compared with the network; one that differs is refused.
    """
    from facegraft.training.mask_export import export_mask_run  # imports torch

    def note(text: str) -> None:
        click.echo(text, err=True)

    exported = export_mask_run(run, output, note, name, licence)
    click.echo(
        f"{output}: {exported.iterations:,} iterations; differs from the network by at most "
        f"{exported.difference:.1e} on {exported.crop_count} faces"
    )


@click.command("import-dfl")
@click.argument("source", metavar="XSEG", type=click.Path(path_type=Path, exists=True))
@click.argument("run", type=_FOLDER)
@click.option(
    "--face-type",
    type=click.Choice([kind.value for kind in FaceType]),
    default=FaceType.WHOLE_FACE.value,
    show_default=True,
    help="What it was trained for.",
)
def import_dfl(source: Path, run: Path, face_type: str) -> None:
    """Take over XSEG, a trained XSeg network of DeepFaceLab, as the new run RUN.

    XSEG is the file of weights (XSeg_256.npy) or the folder that holds it. It is read as plain
    data: nothing in it is run.

    \b
      facegraft mask import-dfl workspace/model/XSeg_256.npy masks
      facegraft mask apply dst_faces masks
    """
    from facegraft.training.mask_import import import_xseg  # imports torch

    path = import_xseg(source, run, FaceType(face_type))
    click.echo(f"{run}: the network of {path}, {face_type}; apply, export or train it further")
