"""`facegraft faceset`: what can be done with a faceset as a whole, one file per subject."""

import click

from facegraft_cli.lazy import LazyGroup

# command -> (module of this package, attribute, one line for the overview)
COMMANDS = {
    "tracks": ("tracks", "tracks", "Who is in it, by tracks."),
    "check": ("check", "check", "Frames of a clip that should be looked at."),
    "sort": ("sort", "sort", "In order, culled, chosen, by what you like."),
    "report": ("report", "report", "What it is worth, and what it lacks."),
    "copy": ("copy", "copy", "The faces that an expression names."),
    "fix": ("fix", "fix", "Correct faces by landmarks, points or boxes from a file."),
    "redo": ("fix", "redo", "Search frames again whose debug picture was deleted."),
    "sheet": ("sheet", "sheet", "All faces on pages, with their names."),
    "overlay": ("sheet", "overlay", "Copies with the landmarks drawn in."),
    "resize": ("resize", "resize", "Another size or another face type."),
    "enhance": ("enhance", "enhance", "Through a super resolution network of yours."),
    "names": ("names", "names", "The original names back, or numbers in an order."),
    "metadata": ("metadata", "metadata", "Keep what an image editor drops."),
    "merge": ("combine", "merge", "Several sets into one."),
    "split": ("combine", "split", "One set into several."),
    "pack": ("pack", "pack", "Its folder into one file."),
    "unpack": ("pack", "unpack", "One file into a folder."),
    "undo": ("undo", "undo", "Take back the last change."),
    "import-dfl": ("dfl", "import_dfl", "Take over DeepFaceLab's aligned faces."),
    "export-dfl": ("dfl", "export_dfl", "Write aligned faces for DeepFaceLab."),
}


@click.group(cls=LazyGroup, package="facegraft_cli.faceset", table=COMMANDS)
def faceset() -> None:
    """Facesets: look at them, change them, take changes back.

    Every change is noted in the set before it is made; `facegraft faceset undo` takes it back.
    """
