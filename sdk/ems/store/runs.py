"""A run as the index keeps it, put into words for those who list runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from ems.store.answers import RunInfo, RunSummary
from ems.store.entries import Ended, Run, decode

Row = tuple[str, str, str | None, int | None]
"""Runner, the run's line, the line of its end, kept."""


def info_of(row: Row, alive: Callable[[str], bool]) -> RunInfo:
    """Return what the log says of a run, and whether it still goes on."""
    runner, run_text, ended_text, kept = row
    run = cast("Run", decode(run_text))
    ended = cast("Ended | None", decode(ended_text) if ended_text else None)
    if ended is not None:
        state = ended.state
    else:
        state = "running" if alive(runner) else "died"
    summary = RunSummary(
        id=run.id,
        pipeline=run.pipeline,
        file=run.file,
        who=run.who,
        host=run.host,
        started=run.started,
        state=state,
        runner=runner,
        ended=ended.t if ended else None,
        counts=ended.counts if ended else {},
        kept=None if kept is None else bool(kept),
    )
    return RunInfo(summary, run, ended)
