"""`facegraft weights`: the detectors' networks, with a licence line each."""

from pathlib import Path

import click

from facegraft import weights as registry
from facegraft.errors import BadWeights
from facegraft_cli.report import terminal_progress


@click.group()
def weights() -> None:
    """List, fetch, import and verify the networks that find faces.

    Nothing is downloaded while you work: `fetch` is run once, by the installer or by hand.
    """


@weights.command("list")
def list_command() -> None:
    """Show every network, whether it is installed, its size, place and licence."""
    for status in registry.list_weights():
        click.echo(_describe(status))


@weights.command()
@click.argument("name", required=False)
@click.option(
    "--wheel",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The MediaPipe 0.10.21 wheel as a file, where pip has no network.",
)
@click.option("--force", is_flag=True, help="Fetch and convert again what is installed.")
def fetch(name: str | None, wheel: Path | None, force: bool) -> None:
    """Install the default detector's networks (pip fetches 36 MB, 10 MB are kept), or the one
    file called NAME from its authors' address.

    \b
      facegraft weights fetch
      facegraft weights fetch --wheel mediapipe-0.10.21-cp311-cp311-manylinux_2_28_x86_64.whl
      facegraft weights fetch fan_2d
    """
    with terminal_progress() as progress:
        if name is not None and not registry.find(name).is_converted:
            paths = [registry.fetch_published(name, progress)]
        else:
            paths = registry.fetch(wheel, force=force, progress=progress)
    for path in paths:
        click.echo(path)


@weights.command("import")
@click.argument("file", type=click.Path(path_type=Path))
def import_command(file: Path) -> None:
    """Install FILE, a weight file of the face-alignment library, after checking its digest."""
    click.echo(registry.import_file(file))


@weights.command()
def verify() -> None:
    """Compare every installed network with its sha256; exit code 1 if one is damaged."""
    statuses = registry.verify()
    for status in statuses:
        click.echo(_describe(status))
    damaged = [s for s in statuses if s.state is registry.State.DAMAGED]
    if damaged:
        names = ", ".join(str(status.path) for status in damaged)
        raise BadWeights(f"damaged: {names}. Run: facegraft weights fetch --force, or import again")


def _describe(status: registry.WeightStatus) -> str:
    file = status.file
    return (
        f"{file.name:<15} {status.state:<10} {file.size / 1e6:6.1f} MB  {file.use}\n"
        f"{'':<15} {status.path}\n"
        f"{'':<15} licence: {file.licence}"
    )
