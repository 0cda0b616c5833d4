"""`emsctl logs`: what tasks wrote to standard output and error, and the metrics they reported."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from ems.cli import history, lookup
from ems.cli.context import output_option, reading, warn
from ems.cli.library import Library
from ems.cli.tables import print_json
from ems.cli.texts import metric, plural
from ems.errors import UsageError
from ems.store.entries import Failed

if TYPE_CHECKING:
    from ems.store.answers import RunInfo
    from ems.store.entries import Record
    from ems.store.store import Store


@dataclass(frozen=True, slots=True)
class Piece:
    """What one attempt at one version wrote."""

    label: str
    version: str
    state: str
    run: str
    log: str
    metrics: Sequence[dict[str, Any]]


@click.command()
@click.argument("words", nargs=-1, metavar="[RUN|VERSION] [TASK]")
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes, until the run ends.")
@output_option
@click.pass_context
def logs(ctx: click.Context, words: tuple[str, ...], follow: bool, output: str) -> None:
    """Print what tasks wrote, and the metrics that they reported.

    RUN is the last one if only a TASK is named. Attempts that failed come before the one that did
    not; of cached versions it is what they wrote when they ran.

    \b
    JSON: a list of {label, version, state, run, log, metrics}.
    """
    if len(words) > 2:
        raise UsageError(
            "logs", f"takes a run and a task, not {len(words)} words", "emsctl logs --help"
        )
    with reading(ctx) as store:
        info, version, task = _meant(store, words)
        if follow:
            if info is None or output == "json":
                raise UsageError("logs -f", "follows a run and prints lines", "emsctl logs -f last")
            _follow(store, info, task)
            return
        pieces = _pieces_of(store, info, version, task)
        if output == "json":
            print_json([_document(each) for each in pieces])
            return
        _print(pieces, one=info is None)


def _meant(store: Store, words: Sequence[str]) -> tuple[RunInfo | None, str, str]:
    """Return the run and task, or the version, that the words name."""
    if len(words) == 2:
        return lookup.run_of(store, words[0]), "", words[1]
    if not words:
        return lookup.run_of(store, "last"), "", ""
    try:
        found = lookup.run_or_version(store, words[0])
    except UsageError as error:
        runs = store.runs(1)
        last = store.run(runs[0].id) if runs else None
        rows = history.calls(store, last) if last else []
        if last is None or all(words[0] not in (row.label, row.task) for row in rows):
            raise error from None
        return last, "", words[0]
    return (None, found, "") if isinstance(found, str) else (found, "", "")


def _pieces_of(store: Store, info: RunInfo | None, version: str, task: str) -> Iterator[Piece]:
    if info is None:
        yield from _pieces(store, "", version)
        return
    rows = history.calls(store, info)
    if task:
        rows = lookup.rows_of(rows, task, info.summary.id)
    seen: set[str] = set()
    for row in rows:
        if row.version and row.version not in seen:
            seen.add(row.version)
            yield from _pieces(store, row.label, row.version)


def _pieces(store: Store, label: str, version: str) -> Iterator[Piece]:
    library = Library(store)
    for entry in store.attempts(version):
        yield _piece(library, label, entry)


def _piece(library: Library, label: str, entry: Record | Failed) -> Piece:
    failed = isinstance(entry, Failed)
    return Piece(
        label=label or entry.task,
        version=entry.v,
        state=f"failed: {entry.reason}" if failed else "done",
        run=entry.run,
        log=library.text(entry.log),
        metrics=library.rows(entry.metrics),
    )


def _document(piece: Piece) -> dict[str, Any]:
    return {
        "label": piece.label,
        "version": piece.version,
        "state": piece.state,
        "run": piece.run,
        "log": piece.log,
        "metrics": list(piece.metrics),
    }


# -- printing -----------------------------------------------------------------------------------


def _print(pieces: Iterator[Piece], *, one: bool) -> None:
    silent = 0
    for piece in pieces:
        lines = piece.log.splitlines()
        rows = [metric(row) for row in piece.metrics]
        silent += not (lines or rows or piece.state != "done")
        lead = "" if one else f"{piece.label} | "
        for line in [*lines, *rows]:
            print(f"{lead}{line}")
        if piece.state != "done":
            print(f"{lead}[{piece.state}, in run {piece.run}]")
    if silent:
        warn(f"nothing was written in {plural(silent, 'attempt')}")


# -- following ----------------------------------------------------------------------------------

_EVERY_S = 0.5


def _follow(store: Store, info: RunInfo, task: str) -> None:
    """Print a run's logs as they are recorded and its metrics as they come, until it ends."""
    from ems.cli.follow import Follower

    follower = Follower(store, info.summary.id, task)
    while not follower.state:
        for line in follower.step():
            print(line)
        sys.stdout.flush()
        if not follower.state:
            time.sleep(_EVERY_S)
    warn(f"run {info.summary.id} {_ENDS[follower.state]}")


_ENDS = {
    "done": "is done",
    "failed": "failed",
    "unfinished": "ended unfinished",
    "canceled": "was canceled",
    "died": "died: its runner is gone without a word",
}
