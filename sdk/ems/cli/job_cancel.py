"""`emsctl job cancel`: end jobs."""

from __future__ import annotations

import click

from ems.cli.context import output_option
from ems.cli.job_view import jobs_here, print_infos
from ems.units import seconds


@click.command()
@click.argument("ids", nargs=-1, required=True, metavar="JOB…")
@click.option(
    "--grace", default="30s", show_default=True, metavar="TIME",
    help="What running ones get between SIGTERM and SIGKILL.",
)  # fmt: skip
@output_option
@click.pass_context
def cancel(ctx: click.Context, ids: tuple[str, ...], grace: str, output: str) -> None:
    """End jobs by id, start of an id or name; those that have ended stay as they are.

    \b
    JSON: as `emsctl job status`.
    """
    grace_s = seconds(grace, "--grace")
    with jobs_here(ctx) as jobs:
        print_infos(jobs.cancel(ids, grace_s=grace_s), output)
