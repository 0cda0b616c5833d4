"""What happened in a run: its calls, from the object that it ended with, or else from the log.

Knows the forms of a run's nodes and of log entries. Does not know how anything is shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ems.errors import StoreError
from ems.pipeline.nodes import NodeRow, unpack
from ems.store.entries import Claim, Ended, Entry, Failed, Record, Run

if TYPE_CHECKING:
    from ems.store.answers import RunInfo
    from ems.store.store import Store

_CHUNK = 256


@dataclass(frozen=True, slots=True)
class Group:
    """The calls of one task in a run, counted by how they went."""

    task: str
    counts: Mapping[str, int]
    versions: tuple[str, ...]


def calls(store: Store, info: RunInfo) -> list[NodeRow]:
    """Return a run's calls, in the order in which they were written down.

    Before a run has ended, and where its runner died, these are the versions that it claimed, in
    the order of the log, and a label is the task's name.
    """
    if info.ended is None or info.ended.nodes is None:
        tail = Tail(store, info.summary.id)
        return rows_of_entries(tail.read())
    try:
        return unpack(store.objects.read(info.ended.nodes))
    except (StoreError, ValueError, OSError) as error:
        name = f"run {info.summary.id}"
        if info.summary.kept is False:
            raise StoreError(name, "its calls are gone: gc let go of it", "emsctl runs") from None
        problem = f"its list of calls can't be read: {error}"
        raise StoreError(name, problem, "emsctl check --all") from None


def grouped(rows: Iterable[NodeRow]) -> list[Group]:
    """Return a run's calls by task, in the order in which the tasks were first called."""
    counts: dict[str, dict[str, int]] = {}
    versions: dict[str, list[str]] = {}
    for row in rows:
        found = counts.setdefault(row.task, {})
        found[row.how] = found.get(row.how, 0) + 1
        if row.version:
            versions.setdefault(row.task, []).append(row.version)
    return [
        Group(task, found, tuple(dict.fromkeys(versions.get(task, ()))))
        for task, found in counts.items()
    ]


def rows_of_entries(entries: Iterable[Entry]) -> list[NodeRow]:
    """Return the calls that a run's entries speak of."""
    rows: dict[str, NodeRow] = {}
    for entry in entries:
        if isinstance(entry, Claim):
            for version in entry.versions:
                rows.setdefault(version, NodeRow("?", "", version[:12], version, "", "pending"))
        elif isinstance(entry, Record):
            rows[entry.v] = NodeRow(entry.task, entry.spec, entry.task, entry.v, "", "ran")
        elif isinstance(entry, Failed):
            rows[entry.v] = NodeRow(entry.task, entry.spec, entry.task, entry.v, "", "failed")
    return list(rows.values())


class Tail:
    """Reads what the log says of one run, from its beginning on, a bit more at each `read`."""

    def __init__(self, store: Store, run_id: str) -> None:
        self._store = store
        self._run = run_id
        self._at = self._beginning()

    def read(self) -> list[Entry]:
        """Return the run's entries since the last time."""
        found: list[Entry] = []
        while segments := self._store.log.after(self._at):
            for segment in segments:
                found += [entry for entry, _ in segment.entries if self._is_ours(entry)]
            self._at = segments[-1].n
        return found

    def _beginning(self) -> int:
        """Return the number of the segment before the run's first, looking from the end back."""
        self._store.refresh()
        start = self._store.index.applied
        while start > 0:
            start = max(0, start - _CHUNK)
            for segment in self._store.log.after(start):
                for entry, _ in segment.entries:
                    if isinstance(entry, Run) and entry.id == self._run:
                        return segment.n - 1
        return 0

    def _is_ours(self, entry: Entry) -> bool:
        if isinstance(entry, (Record, Failed, Claim, Ended)):
            return entry.run == self._run
        return False
