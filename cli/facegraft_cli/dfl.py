"""`facegraft import-dfl`: a model that DeepFaceLab trained, as a run of ours."""

from pathlib import Path

import click

_FOLDER = click.Path(path_type=Path, file_okay=False)


@click.command("import-dfl")
@click.argument("folder", metavar="MODEL_FOLDER", type=_FOLDER)
@click.argument("name", metavar="NAME")
@click.argument("run", metavar="RUN", type=_FOLDER)
def import_dfl(folder: Path, name: str, run: Path) -> None:
    """Take over the model NAME of DeepFaceLab's MODEL_FOLDER as the new run RUN.

    SAEHD, Quick96 and AMP models come with their options, iterations, losses and the optimizers'
    memory; what has no counterpart is named. The files are read as plain data: nothing in them is
    run. NAME is what DeepFaceLab calls the model, or new_SAEHD where two classes share a name.

    \b
      facegraft import-dfl workspace/model new run
      facegraft train src_faces dst_faces run
      facegraft export run new.dfm
    """
    # torch takes seconds to import, and --help must not wait for it
    from facegraft.training.dfl_import import import_model

    imported = import_model(folder, name, run, lambda text: click.echo(text, err=True))
    params = imported.params
    click.echo(
        f"{run}: {params.architecture} of {params.resolution} px, {params.face_type}, iteration "
        f"{imported.iteration:,}; it holds {', '.join(imported.groups)}"
    )
