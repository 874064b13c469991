"""What the arguments of this group's commands are."""

from pathlib import Path

import click

PATH = click.Path(path_type=Path)
FOLDER = click.Path(path_type=Path, file_okay=False)
SET = click.Path(path_type=Path)  # a faceset: its folder, or its one packed file
