"""Help section "Colour space": what a clip's numbers mean; of every command that reads frames."""

from facegraft.media.working_space import AUTO, SPACE_NAMES
from facegraft_cli.options import option_in, together

SECTION = "Colour space"

space_options = together(
    option_in(
        SECTION,
        "--working-space",
        default=AUTO,
        show_default=True,
        help=f"What the clip's numbers mean: {', '.join(SPACE_NAMES)}, or ocio:CONFIG#SPACE of an "
        "OpenColorIO config. auto takes the file's own tags, scene-linear Rec.709 for floats "
        "without any, and display for the rest. What is written has the same space where the "
        "format is the same.",
    ),
    option_in(
        SECTION,
        "--layer",
        default="",
        help="Layer of EXR files.  [default: the main one]",
    ),
)
