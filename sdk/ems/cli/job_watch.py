"""`emsctl job watch`: print what jobs write until they end."""

from __future__ import annotations

from pathlib import Path

import click

from ems.cli.context import output_option
from ems.cli.job_view import (
    exit_code,
    follow,
    jobs_here,
    say_how_to_come_back,
    say_outputs,
)  # fmt: skip
from ems.errors import UNFINISHED


@click.command()
@click.argument("ids", nargs=-1, required=True, metavar="JOB…")
@click.option(
    "-f", "--from", "since", type=click.Choice(["start", "now"]), default="start",
    show_default=True, help="Where their output begins.",
)  # fmt: skip
@click.option(
    "--get", "folder", type=click.Path(path_type=Path, file_okay=False), metavar="DIR",
    help="Copy the outputs to a folder at the end.",
)  # fmt: skip
@output_option
@click.pass_context
def watch(
    ctx: click.Context, ids: tuple[str, ...], since: str, folder: Path | None, output: str
) -> None:
    """Print what jobs write until they end; what was not handed over yet is.

    Failures are tried again, as the job says, while somebody watches. Ctrl-C leaves the jobs alone.
    Exit codes: 0 all succeeded, 100 one failed, 103 canceled, 101 not all have ended.

    \b
    JSON: one object a line, {event: state, handle, state, reason, …} or
    {event: line, job, text}, of a gang's member with `member`.
    """
    with jobs_here(ctx) as jobs:
        known = [handle.id for handle in jobs.find(ids)]
        infos, left = follow(jobs, known, output, from_start=since == "start")
        if left:
            say_how_to_come_back(infos)
        if folder is not None:
            say_outputs(jobs, infos, folder)
    ctx.exit(UNFINISHED if any(not i.state.ended for i in infos) else exit_code(infos))
