"""`emsctl why`: why a task ran in a run, or why it did not have to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from ems.cli import changes, history, lookup
from ems.cli.context import output_option, reading
from ems.cli.earlier import Reason, reasons
from ems.cli.tables import print_json
from ems.cli.texts import SHORT, plural, took, when
from ems.errors import UsageError

if TYPE_CHECKING:
    from ems.store.answers import RunInfo
    from ems.store.entries import Record
    from ems.store.store import Store

_MOST = 200
"""Calls of a task that are looked into."""
_SHOWN = 5
"""Groups of calls that are told apart before the rest is counted."""


@click.command()
@click.argument("words", nargs=-1, required=True, metavar="[RUN] TASK")
@output_option
@click.pass_context
def why(ctx: click.Context, words: tuple[str, ...], output: str) -> None:
    """Say why a task ran in a run, or why it did not have to.

    TASK is a task's name, or one call of it such as `collect[3]`; RUN is the last one if it is left
    out. What ran is compared with the same call in the most recent earlier run in which it had
    another version: each part that differs is named, code with a diff.

    \b
    JSON: a list of {label, task, version, how, kind, compared_with: {run, label,
    version}, changes: [{part, name, before, after, diff, upstream, causes}],
    recorded: {run, at, who, seconds}}.
    """
    if len(words) > 2:
        raise UsageError(
            "why", f"takes a run and a task, not {len(words)} words", "emsctl why --help"
        )
    with reading(ctx) as store:
        info = lookup.run_of(store, words[0] if len(words) == 2 else "last")
        rows = lookup.rows_of(history.calls(store, info), words[len(words) - 1], info.summary.id)
        found = reasons(store, info, rows[:_MOST])
        if output == "json":
            print_json([_document(store, each) for each in found])
            return
        for line in _lines(store, info, found):
            print(line)
        if len(rows) > _MOST:
            print(f"{plural(len(rows) - _MOST, 'more call')} of {rows[0].task} not looked into")


def _lines(store: Store, info: RunInfo, found: Sequence[Reason]) -> Iterator[str]:
    groups = _grouped(found)
    for group in groups[:_SHOWN]:
        yield from _told(store, info, group)
    rest = sum(len(group) for group in groups[_SHOWN:])
    if rest:
        yield f"and {plural(rest, 'more call')}, each for reasons of its own"


def _grouped(found: Sequence[Reason]) -> list[list[Reason]]:
    """Return the calls whose reasons are of one sort: the same parts, whatever their values."""
    groups: dict[tuple[str, str, tuple[str, ...]], list[Reason]] = {}
    for reason in found:
        parts = dict.fromkeys(changes.sort_of(change) for change in reason.changes)
        groups.setdefault((reason.kind, reason.how, tuple(parts)), []).append(reason)
    return list(groups.values())


def _told(store: Store, info: RunInfo, group: Sequence[Reason]) -> Iterator[str]:
    first, many = group[0], len(group) > 1
    name = f"{first.label} … {group[-1].label} ({len(group)} calls)" if many else first.label
    yield f"{name}: {_sentence(store, info, first, many=many)}"
    said = list(changes.lines(first.changes))
    yield from (f"  {line}" for line in said)
    if many and any(list(changes.lines(each.changes)) != said for each in group[1:]):
        yield f"  (so it is for {first.label}; the others differ in the same parts)"


def _sentence(store: Store, info: RunInfo, reason: Reason, *, many: bool) -> str:
    did = "failed" if reason.how == "failed" else "ran"
    like = reason.like
    if reason.kind == "cached":
        return _cached(store.record(reason.version), info.summary.id, many)
    if reason.kind == "not reached":
        return _NOT_REACHED.get(reason.how, f"{did}; what it was made of is not kept")
    if like is None:
        return f"{did}, for the first time in this pipeline"
    if reason.kind == "again":
        return f"{did} again: {_again(store, info, reason)}"
    if reason.kind == "new":
        return f"{did}, a new call; against {like.label} of run {like.run}:"
    if not reason.changes:
        return f"{did}; nothing that is kept differs from run {like.run}"
    return f"{did}; against run {like.run}:"


_NOT_REACHED = {
    "skipped": "skipped: something that it needs failed",
    "pending": "not reached before the run ended",
    "left out": "left out by --until",
}


def _cached(record: Record | None, run: str, many: bool) -> str:
    if record is None:
        return "cached; its record is gone since"
    done = "the same version was run" if record.run != run else "run once for several calls"
    text = f"cached: {done} by {record.who} in run {record.run}, {when(record.t1)}"
    return text if many else f"{text}, in {took(record.t0, record.t1)} ({record.v[:SHORT]})"


def _again(store: Store, info: RunInfo, reason: Reason) -> str:
    like = reason.like
    assert like is not None
    if like.how == "failed":
        return f"the same version had failed in run {like.run}"
    if any(word.startswith("--rerun") for word in info.run.argv):
        return "the same version was known, and --rerun asked for it"
    winner = store.record(reason.version)
    if winner is not None and winner.run == like.run:
        return f"run {like.run} recorded the same version first"
    return f"the same version was known from run {like.run}, but its result was lost or withdrawn"


def _document(store: Store, reason: Reason) -> dict[str, Any]:
    record = store.record(reason.version) if reason.version else None
    like = reason.like
    return {
        "label": reason.label,
        "task": reason.task,
        "version": reason.version or None,
        "how": reason.how,
        "kind": reason.kind,
        "compared_with": like and {"run": like.run, "label": like.label, "version": like.version},
        "changes": [changes.document(each) for each in reason.changes],
        "recorded": record
        and {
            "run": record.run,
            "at": record.t1,
            "who": record.who,
            "seconds": round(record.t1 - record.t0, 3),
        },
    }
