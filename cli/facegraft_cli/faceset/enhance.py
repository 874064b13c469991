"""`facegraft faceset enhance`: pictures through a network of the user's."""

from pathlib import Path

import click

from facegraft.errors import ParameterError
from facegraft.faces.faceset import Faceset
from facegraft_cli.faceset.kinds import FOLDER, SET
from facegraft_cli.report import terminal_progress

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command()
@click.argument("folder", metavar="FACESET", type=SET)
@click.argument("target", metavar="[OUT]", type=FOLDER, required=False)
@click.option("--network", type=_FILE, required=True, help="The ONNX file, of super resolution or "
              "face restoration; FaceGraft brings none.")  # fmt: skip
@click.option("--size", type=int, help="Side of the new pictures in px; else what it gives.")
@click.option("--in-place", is_flag=True, help="Change FACESET itself; undo brings it back.")
def enhance(
    folder: Path, target: Path | None, network: Path, size: int | None, in_place: bool
) -> None:
    """Write the faces of FACESET, enhanced by a network that you supply, into the folder OUT.

    Such networks invent detail, the same skin for everybody: look at the result before you train
    on it. Landmarks and masks stay as they are.

    \b
      facegraft faceset enhance src_faces src_enhanced --network restore.onnx
    """
    from facegraft.enhance import Enhancer  # loads onnxruntime, and --help must not wait
    from facegraft.sets.enhance_set import enhance_faceset

    if (target is None) == (not in_place):
        raise ParameterError("name a folder OUT for the new faces, or give --in-place")
    enhancer = Enhancer.open(network)
    with terminal_progress() as progress:
        faceset = Faceset.open(folder)
        done = enhance_faceset(faceset, enhancer, target or folder, size, progress)
    click.echo(f"{done.face_count} faces of {done.size} px in {target or folder}")
