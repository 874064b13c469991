"""`facegraft ofx`: install the OpenFX node for this machine's hosts, and check that it works."""

import json
import os
import shutil
import sys
from pathlib import Path

import click
import numpy as np

from facegraft.errors import FacegraftError, SourceNotFound, WorkerDied
from facegraft.files import write_atomic, write_error
from facegraft_cli.ofx_host import FILTER, GENERAL, OK, OfxHost, Picture
from facegraft_cli.ofx_keys import keys

NAME = "FaceGraft.ofx.bundle"
LIBRARY = Path("Contents") / "Linux-x86-64" / "FaceGraft.ofx"
NOTE = Path("Contents") / "Resources" / "engine.json"
SYSTEM_FOLDER = Path("/usr/OFX/Plugins")
WHERE = f"""Hosts look for bundles in {SYSTEM_FOLDER} and in the folders of the environment variable
OFX_PLUGIN_PATH, which is read when they start."""


@click.group()
def ofx() -> None:
    """The FaceGraft node for OpenFX hosts: Natron, Nuke, Resolve, Kdenlive and others.

    \b
      python install/build_ofx_bundle.py
      facegraft ofx install dist/FaceGraft.ofx.bundle
      facegraft ofx check
    """


ofx.add_command(keys)


@ofx.command()
@click.argument("bundle", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--system", is_flag=True, help=f"For all users, into {SYSTEM_FOLDER}.")
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Another folder than ~/OFX/Plugins.",
)
def install(bundle: Path, system: bool, folder: Path | None) -> None:
    """Copy BUNDLE to where hosts find it, with a note that names this Python as the engine.

    BUNDLE is what `python install/build_ofx_bundle.py` built. An older copy is replaced; hosts that
    run keep theirs until they start again.
    """
    if system and folder is not None:
        raise click.UsageError("--system and --folder exclude each other")
    target = (SYSTEM_FOLDER if system else folder or default_folder()) / NAME
    put(bundle, target)
    click.echo(f"installed {target}")
    click.echo(WHERE)
    if not system:
        click.echo(f"Start them with OFX_PLUGIN_PATH={target.parent.absolute()}")


@ofx.command()
@click.argument(
    "bundle", required=False, type=click.Path(exists=True, file_okay=False, path_type=Path)
)
@click.option(
    "--model",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A .dfm file to render with.",
)
def check(bundle: Path | None, model: Path | None) -> None:
    """Load the node as a host does, start the engine through it and render a frame.

    BUNDLE is the one to check; by default the installed one. With --model the frame, which shows no
    face, goes through detection as well. Names what is wrong and leaves with an error then.
    """
    bundle = bundle or installed()
    library = bundle / LIBRARY
    if not library.is_file():
        raise SourceNotFound(f"{bundle} holds no {LIBRARY}; build and install the bundle again")
    try:
        host = OfxHost(library)
        effect = host.describe(FILTER)
    except (OSError, RuntimeError) as error:
        raise WorkerDied(f"{library} cannot be loaded: {error}; build it on this system") from error
    controls = [p for p in effect.params.values() if p.kind[12:] not in ("Group", "Page")]
    click.echo(f"{library}: loaded, {len(controls)} parameters")
    click.echo(render_one(host, model))


def render_one(host: OfxHost, model: Path | None) -> str:
    """Render a grey frame through the engine; a line for the user.

    Raises: WorkerDied with the node's own message where the frame was not rendered.
    """
    # without a model the engine's own refusal of one is the sign that it was started and answers
    missing = "/facegraft-ofx-check/no-model.dfm"
    path = str(model.absolute()) if model else missing
    picture = Picture.of(np.full((256, 256, 4), 0.5, np.float32))
    with host.create(GENERAL, {"model": path}) as instance:
        status = instance.render(0.0, picture, Picture.of(picture.pixels))
        said = " ".join(instance.effect.messages)
    if model is not None and status == OK:
        return "engine started, a frame was rendered"
    if model is None and missing in said:
        return "engine started and answering; --model renders a frame with one"
    raise WorkerDied(f"the node could not render: {said or f'status {status} without a message'}")


def default_folder() -> Path:
    """OpenFX has no folder for one user; this one is made known through OFX_PLUGIN_PATH."""
    return Path.home() / "OFX" / "Plugins"


def installed() -> Path:
    """The bundle that hosts on this machine find first.

    Raises: SourceNotFound where there is none.
    """
    listed = [Path(p) for p in os.environ.get("OFX_PLUGIN_PATH", "").split(os.pathsep) if p]
    places = [SYSTEM_FOLDER, *listed, default_folder()]
    for place in places:
        if (place / NAME).is_dir():
            return place / NAME
    where = ", ".join(map(str, dict.fromkeys(places)))
    raise SourceNotFound(
        f"no {NAME} in {where}; run python install/build_ofx_bundle.py, then facegraft ofx install"
    )


def put(bundle: Path, target: Path) -> None:
    """Copy the bundle with its note; the old one is replaced at the end, by two renames.

    Raises: SourceNotFound where `bundle` is none, WriteError.
    """
    if not (bundle / LIBRARY).is_file():
        raise SourceNotFound(
            f"{bundle} holds no {LIBRARY}; give what python install/build_ofx_bundle.py built"
        )
    fresh, old = (target.with_suffix(f".{word}-{os.getpid()}") for word in ("new", "old"))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(bundle, fresh)
        write_atomic(fresh / NOTE, json.dumps({"python": sys.executable}).encode() + b"\n")
        if target.exists():
            target.rename(old)
        fresh.rename(target)
    except OSError as error:
        if isinstance(error, FacegraftError):
            raise
        raise write_error(target, error) from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
