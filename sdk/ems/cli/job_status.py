"""`emsctl job status`: what became of jobs."""

from __future__ import annotations

import click

from ems.cli.context import output_option
from ems.cli.job_view import jobs_here, print_infos


@click.command()
@click.argument("ids", nargs=-1, metavar="[JOB]…")
@click.option(
    "-n", "--last", type=click.IntRange(1), default=20, show_default=True, metavar="N",
    help="How many submissions, where none is named.",
)  # fmt: skip
@output_option
@click.pass_context
def status(ctx: click.Context, ids: tuple[str, ...], last: int, output: str) -> None:
    """Say what became of jobs, by id, start of an id or name; of the last ones without any.

    Their places are asked once, and those that don't answer within ten seconds are passed by.

    \b
    JSON: a list of {handle: {id, name, target, store}, state, reason, exit_code,
    signal, detail, attempt, attempts, place, native, who, submitted, started,
    ended, seconds, outputs, log, members}; a gang's members are a list of
    {name, role, nth, rank, state, reason, exit_code, signal, detail, place, native,
    address, port, log}.
    """
    with jobs_here(ctx) as jobs:
        infos = jobs.status(ids or None, recent=last)
    print_infos(infos, output)
    if not infos and output != "json":
        click.echo("no jobs yet. Try: emsctl job submit --help", err=True)
