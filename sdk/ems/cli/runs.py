"""`emsctl runs`: the list of runs, newest first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from ems.cli.context import output_option, reading
from ems.cli.tables import print_json, print_table
from ems.cli.texts import took, when

if TYPE_CHECKING:
    from ems.store.answers import RunSummary

_COLUMNS = ("run", "pipeline", "state", "started", "took", "ran", "cached", "failed", "who")


@click.command()
@click.option(
    "-n", "--number", "limit", type=click.IntRange(1), default=20, help="How many  [default: 20]"
)
@click.option("-a", "--all", "everything", is_flag=True, help="All of them.")
@output_option
@click.pass_context
def runs(ctx: click.Context, limit: int, everything: bool, output: str) -> None:
    """List runs, newest first.

    A run is `running` while its runner lives, and `died` where that is gone without a word; what a
    dead run had finished is kept.

    \b
    JSON: a list of {run, pipeline, file, state, started, ended, seconds, counts,
    who, host, kept}; times in Unix seconds.
    """
    with reading(ctx) as store:
        found = store.runs(None if everything else limit)
    if output == "json":
        print_json([document(each) for each in found])
        return
    print_table(_COLUMNS, [_row(each) for each in found], right=("ran", "cached", "failed"))


def document(run: RunSummary) -> dict[str, Any]:
    """Return a run as JSON holds it."""
    return {
        "run": run.id,
        "pipeline": run.pipeline,
        "file": run.file,
        "state": run.state,
        "started": run.started,
        "ended": run.ended,
        "seconds": None if run.ended is None else round(run.ended - run.started, 3),
        "counts": dict(run.counts),
        "who": run.who,
        "host": run.host,
        "kept": run.kept,
    }


def _row(run: RunSummary) -> list[str]:
    counts: Mapping[str, int] = run.counts
    numbers = [str(counts.get(how, 0)) if run.ended else "" for how in ("ran", "cached", "failed")]
    lasted = took(run.started, run.ended)
    return [run.id, run.pipeline, run.state, when(run.started), lasted, *numbers, run.who]
