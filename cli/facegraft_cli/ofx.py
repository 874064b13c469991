"""`facegraft ofx`: install the OpenFX node for this machine's hosts, and check that it works."""

import errno
import shlex
import sys
from pathlib import Path

import click
import numpy as np

from facegraft.errors import SourceNotFound, WorkerDied, WriteError
from facegraft_cli import ofx_folders
from facegraft_cli.ofx_folders import HOSTS, LIBRARY, NAME, SYSTEM_FOLDER, VARIABLE
from facegraft_cli.ofx_host import FILTER, GENERAL, OK, OfxHost, Picture
from facegraft_cli.ofx_keys import keys

CHECK_MODEL = Path(__file__).with_name("ofx_check.dfm")  # leaves a face as it is
_BUNDLE = click.argument(
    "bundle", required=False, type=click.Path(exists=True, file_okay=False, path_type=Path)
)


@click.group()
def ofx() -> None:
    """The FaceGraft node for OpenFX hosts: Natron, Nuke, Resolve, Kdenlive and others.

    \b
      facegraft ofx install
      facegraft ofx check
    """


ofx.add_command(keys)


@ofx.command()
@_BUNDLE
@click.option("--system", is_flag=True, help=f"For all users, into {SYSTEM_FOLDER}.")
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Another folder than ~/OFX/Plugins.",
)
def install(bundle: Path | None, system: bool, folder: Path | None) -> None:
    """Copy the node to where hosts find it, with a note that names this Python as the engine, and
    its effect file to where Kdenlive reads it.

    BUNDLE is by default the one of the wheel facegraft-ofx, or else what
    `python install/build_ofx_bundle.py` built in the checkout that this command runs from. An older
    copy is replaced; hosts that run keep theirs until they start again.
    """
    if system and folder is not None:
        raise click.UsageError("--system and --folder exclude each other")
    bundle = bundle or ofx_folders.built()
    parent = SYSTEM_FOLDER if system else (folder or ofx_folders.default_folder()).absolute()
    try:
        ofx_folders.put(bundle, parent / NAME)
    except WriteError as error:
        if not system or error.errno not in (errno.EACCES, errno.EPERM):
            raise
        again = shlex.join([str(Path(sys.argv[0]).absolute()), *sys.argv[1:]])
        raise WriteError(f"{SYSTEM_FOLDER} is root's to write; run: sudo {again}") from error
    click.echo(f"installed {parent / NAME}")
    effect = ofx_folders.put_effect(bundle, ofx_folders.kdenlive_folder(system))
    if effect is not None:
        click.echo(f"installed {effect}, Kdenlive's interface of the node")
        flatpak = ofx_folders.flatpak_folder()
        if flatpak is not None:
            click.echo(f"a Kdenlive of Flatpak reads {flatpak} instead; it was not tried: its")
            click.echo("sandbox may keep the engine's Python from it")
    if parent not in (SYSTEM_FOLDER, *ofx_folders.listed()):
        click.echo(f"hosts see it once {VARIABLE} names its folder; put this into ~/.profile:")
        click.echo(f"  export {VARIABLE}={parent}")
    tell_hosts()


@ofx.command()
@_BUNDLE
@click.option(
    "--model",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A .dfm file to render with, in place of one that changes nothing.",
)
def check(bundle: Path | None, model: Path | None) -> None:
    """Load the node as a host does, start the engine through it and render a frame.

    BUNDLE is the one to check; by default the installed one. The frame shows no face. Tells which
    hosts would find the node, names what is wrong and leaves with an error then.
    """
    bundle = bundle or ofx_folders.installed()
    library = bundle / LIBRARY
    if not library.is_file():
        raise SourceNotFound(f"{bundle} holds no {LIBRARY}; {ofx_folders.HOW_TO_GET}")
    tell_hosts()
    try:
        host = OfxHost(library)
        effect = host.describe(FILTER)
    except (OSError, RuntimeError) as error:
        raise WorkerDied(f"{library} cannot be loaded: {error}; build it on this system") from error
    controls = [p for p in effect.params.values() if p.kind[12:] not in ("Group", "Page")]
    click.echo(f"{library}: loaded, {len(controls)} parameters")
    render_one(host, model or CHECK_MODEL)
    click.echo("engine started, a frame was rendered")


def tell_hosts() -> None:
    """Print for each host whether one that starts now, from here, finds the node."""
    width = max(len(host.hosts) for host in HOSTS)
    click.echo("hosts that start with this environment find it:")
    for host in HOSTS:
        found = ofx_folders.seen_by(host)
        places = ", ".join(map(str, host.folders))
        if found is not None:
            said = f"yes, in {found}"
        elif host.reads_variable:
            said = f"no, not in {places} nor in the folders of {VARIABLE}"
        else:
            said = f"no, not in {places}: facegraft ofx install --system"
        click.echo(f"  {host.hosts:{width}}  {said}")


def render_one(host: OfxHost, model: Path) -> None:
    """Render a grey frame through the engine.

    Raises: WorkerDied with the node's own message where the frame was not rendered.
    """
    picture = Picture.of(np.full((256, 256, 4), 0.5, np.float32))
    with host.create(GENERAL, {"model": str(model.absolute())}) as instance:
        status = instance.render(0.0, picture, Picture.of(picture.pixels))
        said = " ".join(instance.effect.messages)
    if status != OK or said:
        wrong = said or f"status {status} without a message"
        raise WorkerDied(f"the node could not render: {wrong}")
