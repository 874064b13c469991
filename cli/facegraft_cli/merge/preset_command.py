"""`facegraft merge-preset`: named looks, shipped and one's own."""

import json
from pathlib import Path
from typing import Any

import click

from facegraft.controls import controls_of
from facegraft.errors import ParameterError
from facegraft.merge.animation import load_animation
from facegraft.merge.params import MergeParams
from facegraft.merge.presets import (
    delete_preset,
    load_preset,
    preset_names,
    save_preset,
    user_folder,
)
from facegraft_cli.options import GroupedCommand, given_values, option_in, table_options

NAME_COLUMN = 14  # characters
SECTION = "Preset"


@click.group("merge-preset")
def merge_preset() -> None:
    """Named looks for `facegraft merge --preset NAME` and for the node.

    \b
    Example:
      facegraft merge-preset show natural
      facegraft merge-preset save "my look" --preset natural --erode 25 --about "night scenes"
      facegraft merge dst.mp4 result.mp4 --model ada.dfm --preset "my look"
    """


@merge_preset.command("list")
def list_presets() -> None:
    """Show every preset with a line about it."""
    for name in preset_names():
        preset = load_preset(name)
        own = "" if preset.is_shipped else "  (yours)"
        click.echo(f"{name:{NAME_COLUMN}} {preset.about}{own}")
    click.echo(f"your own are kept in {user_folder()}")


@merge_preset.command()
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="As the file has it.")
def show(name: str, as_json: bool) -> None:
    """Show what the preset NAME sets; everything else keeps its default."""
    preset = load_preset(name)
    if as_json:
        click.echo(json.dumps({"name": name, "about": preset.about, "params": preset.values}))
        return
    click.echo(preset.about or f"{name} has no text")
    for row in controls_of(MergeParams):
        if row.name in preset.values:
            unit = f" {row.control.unit}" if row.control.unit else ""
            click.echo(f"  {row.name:22} {_shown(preset.values[row.name])}{unit}")


@merge_preset.command(cls=GroupedCommand)
@click.argument("name")
@option_in(SECTION, "--about", default="", help="A sentence for the list.")
@option_in(SECTION, "--preset", help="Begin with this preset's values.")
@option_in(
    SECTION,
    "--params",
    type=click.Path(path_type=Path),
    help="Take over the constants of this parameter file, such as the node exports.",
)
@option_in(SECTION, "--replace", is_flag=True, help="Replace a preset of yours of that name.")
@table_options(MergeParams, show_default=False)
def save(
    name: str, about: str, preset: str | None, params: Path | None, replace: bool, **values: Any
) -> None:
    """Keep the rows given by flags, and by --preset and --params below them, as NAME."""
    kept: dict[str, Any] = dict(load_preset(preset).values) if preset else {}
    if params:
        kept |= _constants(params)
    kept |= given_values(values)
    if not kept:
        raise ParameterError("nothing is set; give controls such as --erode 20, or --params FILE")
    path = save_preset(name, kept, about, replace)
    rows = "1 row" if len(kept) == 1 else f"{len(kept)} rows"
    click.echo(f"{name} is saved with {rows} in {path}")


@merge_preset.command()
@click.argument("name")
def delete(name: str) -> None:
    """Remove NAME, one of your own."""
    delete_preset(name)
    click.echo(f"{name} is removed")


def _constants(path: Path) -> dict[str, Any]:
    """The rows that a parameter file sets. Raises: ParameterError where one is keyed."""
    load_animation(path)  # refuses what is wrong with it, by name
    params = json.loads(path.read_text(encoding="utf-8"))["params"]
    keyed = [row for row, value in params.items() if isinstance(value, dict)]
    if keyed:
        raise ParameterError(
            f"{path}: {', '.join(keyed)} changes over time, which a preset cannot keep"
        )
    return params


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:g}" if isinstance(value, int | float) else value
