"""`emsctl`: the group of commands, what they share on the command line, and how errors end.

Knows every command's name and one line of help, so that `emsctl --help` imports none of them. Does
not know what a command does.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Generator
from typing import Any

import click

from ems.cli.ending import ending
from ems.cli.lazy import LazyGroup
from ems.errors import UsageError

COMMANDS = {
    "run": ("ems.cli.run", "Run a pipeline; -n says what would run."),
    "why": ("ems.cli.why", "Say why a task ran, or why it did not have to."),
    "runs": ("ems.cli.runs", "List runs."),
    "show": ("ems.cli.show", "Show a run, or one version of a task."),
    "diff": ("ems.cli.diff", "Compare two runs."),
    "logs": ("ems.cli.logs", "Print what tasks wrote; -f follows a run."),
    "export": ("ems.cli.export", "Write a version as a folder: code, data, timing, results."),
    "gc": ("ems.cli.gc", "Delete what no kept run needs."),
    "job": ("ems.cli.job", "Submit plain jobs, and look after them."),
    "stack": ("ems.cli.stack", "Find the sky that a project uses, and say what it offers."),
    "check": ("ems.cli.check", "Look over this machine, the store and the sky."),
    "init": ("ems.cli.init", "Start with a small pipeline that runs."),
}
"""Name → module and short help. The command in it is called as it is typed."""


class Emsctl(LazyGroup):
    """The group at the top, which ends every error in one line."""

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        """Parse what stands before the command."""
        _print_anything()
        with ending():
            return super().make_context("emsctl", args, parent, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command to its end, whichever it is."""
        with ending():
            return super().invoke(ctx)


def _version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        from ems import __version__

        click.echo(f"emsctl {__version__}")
        ctx.exit()


def _print_anything() -> None:
    """Let no character that a terminal or a pipe can't show end a command."""
    out: Any = sys.stdout
    if hasattr(out, "reconfigure"):
        out.reconfigure(errors="backslashreplace")


@contextlib.contextmanager
def _in_folder(folder: str) -> Generator[None]:
    before = os.getcwd()
    try:
        os.chdir(folder)
    except OSError as error:
        raise UsageError(f"-C {folder}", (error.strerror or "no such folder").lower()) from None
    try:
        yield
    finally:
        os.chdir(before)


@click.group(
    cls=Emsctl,
    table=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    subcommand_metavar="COMMAND …",
)
@click.option("--store", metavar="URL", help="The store: a folder or s3://bucket/prefix.")
@click.option("-C", "folder", metavar="DIR", help="Work as if started in DIR.")
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_version,
    help="Print the version and exit.",
)  # fmt: skip
@click.pass_context
def main(ctx: click.Context, store: str | None, folder: str | None) -> None:
    """Run experiments as pipelines: nothing is computed twice, everything is explained.

    Begin with `emsctl init`. A run or a version may be named by the start of its id; the last run
    is `last`, the one before `last~1`.

    \b
    Exit codes: 0 done, 1 EMS could not, 2 wrong usage, 100 a task failed,
    101 unfinished, 103 canceled.
    """
    ctx.obj = store
    if folder:
        ctx.with_resource(_in_folder(folder))


def entry() -> None:
    """Run `emsctl` as a program of its own, and end without taking the interpreter apart.

    By now everything is written and closed; freeing a large graph piece by piece would only let a
    person wait (13 ms of 100 for a cached run of 1000 tasks).
    """
    import sys

    try:
        main()
    except SystemExit as ended:
        code = ended.code
        if not isinstance(code, int):
            raise
        with contextlib.suppress(OSError, ValueError):  # nobody reads any more
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)
