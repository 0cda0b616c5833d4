"""Why calls of a run ran: each is paired with its like in an earlier run and compared.

The like is the call of the same label in the most recent earlier run of the same pipeline in which
it has another version; where there is none, the call of the same task that differs least. Knows
lists of calls and comparisons. Does not know how the answer is shown.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ems.cli.history import calls
from ems.cli.library import Library
from ems.errors import StoreError
from ems.pipeline.why import Change, Comparison, Made
from ems.store.entries import Record

if TYPE_CHECKING:
    from ems.pipeline.nodes import NodeRow
    from ems.store.answers import RunInfo, RunSummary
    from ems.store.store import Store

_MOST_RUNS = 50
_MOST_ALIKE = 20


@dataclass(frozen=True, slots=True)
class Like:
    """An earlier call that one is compared with."""

    run: str
    label: str
    version: str
    how: str


@dataclass(frozen=True, slots=True)
class Reason:
    """Why one call went as it did.

    `kind` is cached, changed, new (no such call before; compared with the nearest of its task),
    first (of its task), again (the same version had run before) or not reached.
    """

    label: str
    task: str
    version: str
    how: str
    kind: str
    like: Like | None = None
    changes: tuple[Change, ...] = ()


class Earlier:
    """The calls of the runs before one, read as far back as is asked for."""

    def __init__(self, store: Store, pipeline: str, file: str, before: str = "") -> None:
        self._store, self._run = store, before
        self._runs = iter(_runs_before(store.runs(), pipeline, file, before))
        self._read: list[tuple[str, dict[str, NodeRow]]] = []
        self.library = Library(store)
        self._comparison = Comparison(self.library)

    def reason(self, row: NodeRow, made: Made | None) -> Reason:
        """Return why a call went as it did; `made` is what its version was made of."""
        if row.how in ("skipped", "pending", "left out") or made is None:
            return Reason(row.label, row.task, row.version, row.how, "not reached")
        if row.how == "cached":
            return Reason(row.label, row.task, row.version, row.how, "cached")
        return self._ran(row, made)

    def _ran(self, row: NodeRow, made: Made) -> Reason:
        known = self._known(row.version)
        if known is not None:
            like = Like(known, row.label, row.version, "ran")
            return Reason(row.label, row.task, row.version, row.how, "again", like)
        for run, rows in self._each():
            found = rows.get(row.label)
            if found is None or not found.version:
                continue
            like = Like(run, found.label, found.version, found.how)
            if found.version == row.version:
                if found.how not in ("failed", "ran", "cached"):
                    continue
                return Reason(row.label, row.task, row.version, row.how, "again", like)
            old = self.library.made(found.version)
            if old is not None:
                changes = self._comparison.changes(old, made)
                return Reason(row.label, row.task, row.version, row.how, "changed", like, changes)
        return self._nearest(row, made)

    def _known(self, version: str) -> str | None:
        """Return the earlier run that had recorded a version, which then did not count."""
        for attempt in self._store.attempts(version):
            if attempt.run == self._run:
                break
            if isinstance(attempt, Record):
                return attempt.run
        return None

    def _nearest(self, row: NodeRow, made: Made) -> Reason:
        """Compare with the call of the same task that differs in the fewest parts."""
        for run, rows in self._each():
            alike = [each for each in rows.values() if each.task == row.task and each.version]
            best: tuple[Like, tuple[Change, ...]] | None = None
            for each in alike[-_MOST_ALIKE:]:
                old = self.library.made(each.version)
                if old is None:
                    continue
                like = Like(run, each.label, each.version, each.how)
                if each.version == row.version:
                    return Reason(row.label, row.task, row.version, row.how, "again", like)
                changes = self._comparison.changes(old, made)
                if best is None or len(changes) <= len(best[1]):
                    best = like, changes
            if best is not None:
                return Reason(row.label, row.task, row.version, row.how, "new", *best)
        return Reason(row.label, row.task, row.version, row.how, "first")

    def _each(self) -> Iterator[tuple[str, dict[str, NodeRow]]]:
        yield from self._read
        for run in self._runs:
            info = self._store.run(run.id)
            rows = _calls(self._store, info) if info is not None else []
            found = (run.id, {each.label: each for each in rows})
            self._read.append(found)
            yield found


def _calls(store: Store, info: RunInfo) -> list[NodeRow]:
    """Return a run's calls; none where only the log knows them, or their list is gone."""
    if info.ended is None:
        return []
    try:
        return calls(store, info)
    except StoreError:
        return []


def _runs_before(
    runs: Sequence[RunSummary], pipeline: str, file: str, before: str
) -> Iterator[RunSummary]:
    """Yield earlier runs of the same pipeline, newest first: first those of the same file."""
    ids = [run.id for run in runs]
    older = list(runs[ids.index(before) + 1 :] if before in ids else runs)
    named = [run for run in older if run.pipeline == pipeline]
    found = [run for run in named if run.file == file] or named
    yield from found[:_MOST_RUNS]


def reasons(store: Store, info: RunInfo, rows: Sequence[NodeRow]) -> list[Reason]:
    """Return why calls of a run went as they did."""
    earlier = Earlier(store, info.run.pipeline, info.run.file, info.run.id)
    earlier.library.fetch([row.version for row in rows if row.version])
    return [
        earlier.reason(row, earlier.library.made(row.version) if row.version else None)
        for row in rows
    ]
