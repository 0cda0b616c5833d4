"""A group of commands that imports each when it is called: `emsctl`, `stack`, `job`.

Knows a table of names. Does not know what a command does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

import click

from ems.errors import UsageError, did_you_mean

Table = Mapping[str, tuple[str, str]]
"""Name → module and short help. The command in it is called as it is typed."""


class LazyGroup(click.Group):
    """Knows its commands' names and one line of help each; `typed` is what stands before them."""

    def __init__(self, *args: Any, table: Table, typed: str = "", **more: Any) -> None:
        super().__init__(*args, **more)
        self._table, self._typed = table, typed

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands' names, in the order of the help."""
        return list(self._table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command, imported now."""
        if cmd_name not in self._table:
            return None
        command: click.Command = getattr(import_module(self._table[cmd_name][0]), cmd_name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that the first word names; an unknown one says what was meant."""
        word = args[0]
        if word not in self._table and not word.startswith("-") and not ctx.resilient_parsing:
            near = did_you_mean(word, list(self._table))
            words = f"{self._typed} {word}".strip()
            help_command = " ".join(filter(None, ("emsctl", self._typed, "--help")))
            raise UsageError(words, f"no such command{near}", help_command)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table of commands without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in self._table.items()])


def lazy_group(typed: str, table: Table) -> Callable[[Callable[..., Any]], LazyGroup]:
    """Make a function the group of these commands, which stand behind `typed`."""

    def made(function: Callable[..., Any]) -> LazyGroup:
        decorate = click.group(cls=LazyGroup, table=table, typed=typed, subcommand_metavar=_WORDS)
        return decorate(function)

    return made


_WORDS = "COMMAND …"
