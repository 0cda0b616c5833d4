"""`emsctl stack`: the commands about an environment, each imported when it is called."""

from __future__ import annotations

from importlib import import_module

import click

from ems.errors import UsageError, did_you_mean

COMMANDS = {
    "show": ("ems.cli.stack_show", "Say what an environment offers."),
    "use": ("ems.cli.stack_use", "Write into .ems.yaml which environment this project uses."),
    "vpn": ("ems.cli.stack_vpn", "Write the configuration of a lab's VPN gateway."),
}
"""Name → module and short help. The command in it is called as it is typed."""


class _Stack(click.Group):
    """Imports a command when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands' names, in the order of the help."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command, imported now."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(import_module(COMMANDS[cmd_name][0]), cmd_name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that the first word names; an unknown one says what was meant."""
        word = args[0]
        if word not in COMMANDS and not word.startswith("-") and not ctx.resilient_parsing:
            near = did_you_mean(word, list(COMMANDS))
            raise UsageError(f"stack {word}", f"no such command{near}", "emsctl stack --help")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table of commands without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=_Stack, subcommand_metavar="COMMAND …")
def stack() -> None:
    """Find the sky that a project uses, and say what it offers.

    An environment that somebody made with Pulumi is named in one of three ways: by its Pulumi
    stack (`dev`), inside a checkout; by its parameters in AWS (`ssm:us-west-2/dev`), anywhere with
    AWS credentials; or by a file (`sky.json`), which `emsctl stack show -o json` writes.
    """
