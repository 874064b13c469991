"""`facegraft`: the command group, global options, and how errors become messages and exit codes.

Exit codes: see `exit_codes.py`.
"""

import logging
import sys
from typing import Any

import click

import facegraft
from facegraft.errors import Cancelled, FacegraftError
from facegraft_cli.exit_codes import STOPPED, exit_code_of
from facegraft_cli.lazy import LazyGroup

# command -> (module, attribute, one line for the overview)
COMMANDS = {
    "video": ("video", "video", "Movies to frames and frames to movies."),
    "extract": ("faces", "extract", "Find the faces of a clip and cut them into a faceset."),
    "faceset": ("faceset", "faceset", "Look at facesets, change them, take changes back."),
    "mask": ("mask", "mask", "Labels, training and use of mask networks (XSeg)."),
    "train": ("model", "train", "Train a model on two facesets."),
    "model": ("model_tools", "model", "Look at a model, change a run's options, time-lapse."),
    "import-dfl": ("dfl", "import_dfl", "Take over a model that DeepFaceLab trained."),
    "export": ("model", "export", "Write a trained model as one .dfm file."),
    "merge": ("merge.command", "merge", "Put the model's face into a clip, with a matte."),
    "merge-preset": (
        "merge.preset_command",
        "merge_preset",
        "List, show and save looks of merges.",
    ),
    "weights": ("weights", "weights", "List, fetch, import and verify the detectors' networks."),
    "ofx": ("ofx", "ofx", "Install and check the node for Natron, Nuke, Resolve, Kdenlive."),
    "worker": ("worker", "worker", "Serve merges to a host; hosts start it themselves."),
}


@click.group(
    cls=LazyGroup,
    package="facegraft_cli",
    table=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(facegraft.__version__, prog_name="facegraft")
@click.option("-v", "--verbose", is_flag=True, help="Log decisions: device, fallbacks, files.")
@click.pass_context
def cli(ctx: click.Context, verbose: bool) -> None:
    """Face replacement for compositors: extract, train, export, merge.

    \b
    The whole way:
      facegraft extract src.mp4 src_faces
      facegraft extract dst.mp4 dst_faces
      facegraft train src_faces dst_faces run
      facegraft export run model.dfm
      facegraft merge dst.mp4 result.mp4 --model model.dfm --faces dst_faces
    """
    level = logging.INFO if verbose else logging.WARNING
    logging.basicConfig(level=level, format="%(levelname).1s %(name)s: %(message)s")
    ctx.obj = {"verbose": verbose}


def main(args: list[str] | None = None) -> Any:
    """Entry point; leaves the process with one of the codes of `exit_codes.py`."""
    try:
        code = cli.main(args=args, prog_name="facegraft", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        click.echo("stopped", err=True)
        sys.exit(STOPPED)
    except FacegraftError as error:
        word = "stopped" if isinstance(error, Cancelled) else "error"
        click.echo(f"{word}: {error}", err=True)
        sys.exit(exit_code_of(error))
    if isinstance(code, int) and code:  # what a command left with by ctx.exit
        sys.exit(code)
