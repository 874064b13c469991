"""Groups whose commands are imported when they are named, so that `--help` starts at once."""

import importlib
from collections.abc import Mapping
from typing import Any

import click

# command -> (module, attribute, one line for the overview)
CommandTable = Mapping[str, tuple[str, str, str]]


class LazyGroup(click.Group):
    """A group made from a table; its modules are those of `package`."""

    def __init__(self, *args: Any, package: str, table: CommandTable, **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self.package = package
        self.table = table

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.table:
            return None
        module, attribute, _ = self.table[cmd_name]
        return getattr(importlib.import_module(f"{self.package}.{module}"), attribute)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, _, line) in self.table.items()])
