"""Help section "Colour space": what the clip's numbers mean."""

from facegraft.media.working_space import AUTO, SPACE_NAMES
from facegraft_cli.options import option_in, together

SECTION = "Colour space"

space_options = together(
    option_in(
        SECTION,
        "--working-space",
        default=AUTO,
        show_default=True,
        help=f"What the numbers of CLIP mean, and those of OUT: {', '.join(SPACE_NAMES)}, or "
        "ocio:CONFIG#SPACE of an OpenColorIO config. auto takes the file's own tags, scene-linear "
        "Rec.709 for floats without any, and display for the rest.",
    ),
    option_in(
        SECTION,
        "--layer",
        default="",
        help="Layer of EXR files that is merged.  [default: the main one]",
    ),
)
