"""`facegraft train` and `export`: two facesets to a run folder, a run to one .dfm file."""

import os
from pathlib import Path
from typing import Any

import click

from facegraft.model_spec import ModelRecord
from facegraft.training.params import TrainParams
from facegraft.training.presets import DESCRIPTIONS, Preset
from facegraft.training.run_params import resolve
from facegraft_cli.faceset.kinds import SET
from facegraft_cli.options import GroupedCommand, given_values, read_toml, table_options
from facegraft_cli.report import terminal_progress

PRESET_HELP = "; ".join(f"{preset}: {text}" for preset, text in DESCRIPTIONS.items())
_FOLDER = click.Path(path_type=Path, file_okay=False)


@click.command(cls=GroupedCommand)
@click.argument("src", type=SET)
@click.argument("dst", type=SET)
@click.argument("model", type=_FOLDER)
@click.option(
    "--preset",
    type=click.Choice([preset.value for preset in Preset]),
    help=f"Defaults for a new run. {PRESET_HELP}. Without a preset it is saehd, whose values are "
    "shown below.",
)
@click.option(
    "--config",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="TOML file with any of the options below; flags win over it. A run keeps its own as "
    "MODEL/params.toml.",
)
@click.option(
    "--pretrained",
    type=click.Path(path_type=Path, exists=True),
    help="Another run, or one save or backup of it, of the same architecture: a new run begins "
    "with its weights. Where resolution or dims differ, what fits is taken and the rest is named.",
)
@table_options(TrainParams)
def train(
    src: Path,
    dst: Path,
    model: Path,
    preset: str | None,
    config: Path | None,
    pretrained: Path | None,
    **values: Any,
) -> None:
    """Train on the facesets SRC (whose face it will be) and DST (whose face it replaces).

    Each is a folder or a packed set. MODEL is the run's folder. Where it already holds a run,
    training goes on from its last save with its own options; flags change them, except those that
    shape the networks (architecture to inter-dims). While it runs, look at MODEL/preview.png and
    MODEL/loss.png. Ctrl-C saves and ends; in a terminal p draws the preview, space draws it with
    other faces, s saves, b backs up, Enter saves and ends.

    \b
    facegraft train src_faces dst_faces run --preset quick96
    """
    # torch takes seconds to import, and --help must not wait for it
    from facegraft.faces.faceset import Faceset
    from facegraft.training.checkpoint import run_params
    from facegraft.training.loop import train as run_training

    given = {**(read_toml(config) if config else {}), **given_values(values)}
    chosen = Preset(preset) if preset else None
    speaks = os.environ.get("RANK", "0") == "0"  # torchrun's number of this process
    with terminal_progress(keys=speaks, quiet=not speaks) as progress:
        params = resolve(given, chosen, existing=run_params(model, progress.note))
        result = run_training(
            Faceset.open(src), Faceset.open(dst), model, params, progress, pretrained
        )
    if not speaks:
        return
    rate = result.session_iterations / max(1e-9, result.session_seconds)
    click.echo(
        f"{model}: iteration {result.iteration:,}, loss src {result.src_loss:.3f} dst "
        f"{result.dst_loss:.3f}, {rate:.2f} iterations/s; saved"
    )


@click.command()
@click.argument("model", type=click.Path(path_type=Path, exists=True))
@click.argument("output", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--name", default="", help="What the model is called.")
@click.option("--author", default="", help="Who made it.")
@click.option("--licence", default="", help="Under which terms it may be used.")
@click.option("--consent", default="", help="Who agreed to be shown, to what, until when.")
@click.option("--contact", default="", help="Whom to ask.")
def export(model: Path, output: Path, **fields: Any) -> None:
    """Write the run MODEL as one self-contained file OUTPUT, which ends in .dfm.

    The fields travel inside the file. The file is run on real faces of the training and compared
    with the network; one that differs is refused.
    """
    # torch takes seconds to import, and --help must not wait for it
    from facegraft.training.export import export_run

    exported = export_run(
        model, output, ModelRecord(**fields), lambda text: click.echo(text, err=True)
    )
    click.echo(
        f"{output}: {exported.iterations:,} iterations; differs from the network by at most "
        f"{exported.difference:.1e} on {exported.crop_count} faces"
    )
