"""Help section "Outputs": what is written beside the result, and in which form."""

from pathlib import Path
from typing import Any

import click

from facegraft.media.codecs import VideoCodec
from facegraft.media.exr_writer import COMPRESSIONS
from facegraft.media.sequence import FRAME_SUFFIXES
from facegraft.merge.out.outputs import OUTPUTS
from facegraft_cli.options import option_in, together

SECTION = "Outputs"

output_options = together(
    *(
        option_in(
            SECTION,
            f"--{kind.name.replace('_', '-')}",
            type=click.Path(path_type=Path),
            help=f"{kind.help}.",
        )
        for kind in OUTPUTS
    ),
    option_in(
        SECTION,
        "--codec",
        type=click.Choice([codec.value for codec in VideoCodec]),
        default=VideoCodec.H264.value,
        show_default=True,
        help="For movies; lossless keeps every untouched pixel as it is.",
    ),
    option_in(
        SECTION,
        "--exr-compression",
        type=click.Choice(list(COMPRESSIONS)),
        help="For EXR files.  [default: the clip's own; zip for new ones and in place of lossy]",
    ),
    option_in(SECTION, "--no-audio", is_flag=True, help="Leave the clip's sound out."),
)


def is_movie(out: Path) -> bool:
    """Whether OUT names a movie, and no images."""
    suffix = out.suffix.lower()
    return bool(suffix) and suffix not in FRAME_SUFFIXES and not out.is_dir()


def chosen_outputs(values: dict[str, Any]) -> dict[str, Path]:
    """The paths that were given, by the names of OUTPUTS."""
    return {kind.name: values[kind.name] for kind in OUTPUTS if values[kind.name] is not None}
