"""`facegraft mask apply` and `mask remove`: computed masks into a faceset, and out of it."""

from pathlib import Path

import click

from facegraft.errors import NotAModel, ParameterError
from facegraft.model_spec import FaceType
from facegraft_cli.report import terminal_progress

_FOLDER = click.Path(path_type=Path, file_okay=False)
_SHOWN = 5  # damaged pictures that the closing report names; all were noted when they were met


@click.command()
@click.argument("folder", metavar="FACESET", type=_FOLDER)
@click.argument("network", metavar="RUN|FILE.onnx", type=click.Path(path_type=Path, exists=True))
@click.option(
    "--classes",
    default="",
    metavar="N,N,...",
    help="Of a class map such as BiSeNet's: the classes that are face. [19 classes: skin, brows, "
    "eyes, glasses, nose, mouth, lips]",
)
@click.option(
    "--face-type",
    type=click.Choice([kind.value for kind in FaceType]),
    help="How much of the head an ONNX file wants to see, where it does not say so itself.",
)
@click.option("--replace-drawn", is_flag=True, help="Replace masks that people drew, too.")
def apply(
    folder: Path, network: Path, classes: str, face_type: str | None, replace_drawn: bool
) -> None:
    """Compute the mask of every face of FACESET and store it in the face's image.

    The network is a run of `facegraft mask train` or any ONNX segmenter: XSeg and its like, or a
    face parser. Masked training and the merge's XSeg modes use what is stored. `facegraft faceset
    undo` takes it back.

    \b
      facegraft mask apply dst_faces masks
      facegraft mask apply dst_faces bisenet.onnx --classes 1,2,3,4,5,10,11,12,13
    """
    from facegraft.faces.faceset import Faceset
    from facegraft.sets.masks import apply_masks

    with terminal_progress() as progress:
        faceset = Faceset.open(folder)
        if network.is_dir():
            if classes or face_type:
                raise ParameterError(
                    "a run knows its face type and has no classes; leave --classes and "
                    "--face-type to ONNX files"
                )
            from facegraft.training.mask_export import RunMasker  # imports torch

            masker = RunMasker(network, progress.note)
            name = masker.name
        else:
            from facegraft.segment import Segmenter

            if network.suffix.lower() != ".onnx":
                raise NotAModel(f"{network} is no run's folder and no .onnx file; name one of them")
            chosen = FaceType(face_type) if face_type else None
            masker = Segmenter.open(network, chosen, _numbers(classes))
            name = network.name
        done = apply_masks(faceset, masker, name, progress, replace_drawn)
    click.echo(
        f"{folder}: {done.masked} faces masked by {name}, {done.covered:.0%} of the square is face"
    )
    if done.kept:
        click.echo(f"{done.kept} masks that people drew stay; --replace-drawn replaces them")
    for text in done.damaged[:_SHOWN]:
        click.echo(f"left out: {text}")


def _numbers(text: str) -> list[int] | None:
    try:
        return [int(part) for part in text.split(",")] if text else None
    except ValueError:
        raise ParameterError(f"classes are {text!r}; write numbers, as 1,2,10") from None


@click.command()
@click.argument("folder", metavar="FACESET", type=_FOLDER)
@click.option("--drawn-too", is_flag=True, help="Remove masks that people drew, too.")
def remove(folder: Path, drawn_too: bool) -> None:
    """Take the computed masks out of the faces of FACESET; polygons stay.

    `facegraft faceset undo` takes it back.
    """
    from facegraft.faces.faceset import Faceset
    from facegraft.sets.masks import remove_masks

    with terminal_progress() as progress:
        count = remove_masks(Faceset.open(folder), progress, drawn_too)
    click.echo(f"{folder}: masks of {count} faces removed")
