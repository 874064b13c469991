"""Command-line options made from the engine's tables; no command restates a row.

@click.command()
@table_options(MergeParams)
def merge(clip, **values):
    params = collect(MergeParams, values, config_file)
"""

import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from facegraft.controls import Row, controls_of, parse_values
from facegraft.errors import ParameterError

HELP_COLUMN = 26  # characters; longer flags push their text to the next line
CHOICES_BESIDE = 3  # more choices than this are listed in the text, not beside the flag

T = TypeVar("T")
Command = TypeVar("Command", bound=Callable[..., Any])


def table_options(
    table: type,
    skip: frozenset[str] = frozenset(),
    show_default: bool = True,
    sections: Mapping[str, str] | None = None,
) -> Callable[[Command], Command]:
    """A decorator that adds one option per row, in the table's order, with range, unit and default.

    `skip` names rows that the command offers in a form of its own. `show_default` is not for
    commands that leave alone what is not given. `sections`: the help's section for each group of
    rows to be added, in place of one for each group of the table.
    """
    rows = [row for row in controls_of(table) if row.name not in skip]
    if sections is None:
        return together(*(_option(row, row.control.group, show_default) for row in rows))
    return together(
        *(
            _option(row, sections[row.control.group], show_default)
            for row in rows
            if row.control.group in sections
        )
    )


def together(*decorators: Callable[[Any], Any]) -> Callable[[Command], Command]:
    """Decorators as one; the options of the first are shown first."""

    def decorate(command: Command) -> Command:
        for decorator in reversed(decorators):
            command = decorator(command)
        return command

    return decorate


def option_in(section: str, *declarations: str, **attributes: Any) -> Callable[[Any], Any]:
    """`click.option` under a heading of the help."""
    return click.option(*declarations, cls=RowOption, group=section, **attributes)


class RowOption(click.Option):
    """An option with a place in the help: `group` is its section's heading."""

    def __init__(self, *args: Any, group: str, **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self.group = group


class GroupedCommand(click.Command):
    """A command whose help has sections; options without one come first, `--help` alone last."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        sections: dict[str, list[tuple[str, str]]] = {"Options": []}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None and isinstance(param, click.Option):
                group = param.group if isinstance(param, RowOption) else ""
                sections.setdefault(group or "Options", []).append(record)
        if len(sections["Options"]) == 1:
            sections["Options"] = sections.pop("Options")
        for title, records in sections.items():
            if records:
                with formatter.section(title):
                    formatter.write_dl(records, col_max=HELP_COLUMN)


def _option(row: Row, section: str, show_default: bool) -> Callable[[Any], Any]:
    flag = "--" + row.name.replace("_", "-")
    declaration = f"{flag}/--no-{flag[2:]}" if row.type is bool else flag
    return click.option(
        declaration,
        row.name,
        cls=RowOption,
        group=section,
        type=_click_type(row),
        metavar="CHOICE" if len(row.choices) > CHOICES_BESIDE else None,
        default=row.default.value if row.choices else row.default,
        show_default=show_default and row.type is not bool,
        help=_help(row, show_default),
    )


def _help(row: Row, show_default: bool) -> str:
    text = row.control.help.rstrip(".") + "."
    if row.type is bool and show_default:  # click would repeat the flag
        return f"{text} [default: {'on' if row.default else 'off'}]"
    if len(row.choices) > CHOICES_BESIDE:
        return f"{text} [{', '.join(row.choices)}]"
    span = row.describe_range()
    return f"{text} [{span}]" if span and not row.choices else text


def _click_type(row: Row) -> Any:
    if row.choices:
        return _Choice(row)
    if row.type is bool:
        return bool
    if row.type is str:
        return str
    return _Number(row)


class _Choice(click.Choice[str]):
    """A row's choices; a dash may stand for the underscore, as people type it."""

    def __init__(self, row: Row) -> None:
        super().__init__(row.choices, case_sensitive=False)

    def normalize_choice(self, choice: Any, ctx: click.Context | None) -> str:
        return super().normalize_choice(str(choice).replace("-", "_"), ctx)


class _Number(click.ParamType):
    """A number within a row's range; the message is the engine's own."""

    def __init__(self, row: Row) -> None:
        self.row = row
        self.name = "integer" if row.type is int else "number"

    def convert(self, value: Any, param: Any, ctx: click.Context | None) -> int | float:
        try:
            number = self.row.type(value)
        except ValueError:
            self.fail(f"{value!r} is not a valid {self.name}", param, ctx)
        try:
            return self.row.parse(number)
        except ParameterError as error:
            self.fail(str(error), param, ctx)


def given_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """The options that the user typed, without those that only have their default."""
    context = click.get_current_context()
    return {
        name: value
        for name, value in values.items()
        if context.get_parameter_source(name)
        not in (ParameterSource.DEFAULT, ParameterSource.DEFAULT_MAP, None)
    }


def collect(
    table: type[T],
    values: Mapping[str, Any],
    config: Path | None = None,
    base: Mapping[str, Any] | None = None,
) -> T:
    """The table's values: typed flags over the TOML file over `base` (a preset) over defaults.

    Raises: ParameterError, for a file with unknown names too.
    """
    merged = dict(base or {})
    if config is not None:
        merged.update(read_toml(config))
    merged.update(given_values(values))
    return parse_values(table, merged)


def read_toml(path: Path) -> dict[str, Any]:
    """A flat TOML file of option names. Raises: ParameterError naming the file."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ParameterError(f"cannot read options from {path}: {error}") from error
