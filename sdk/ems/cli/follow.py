"""Following a run that goes on: its log entries as they are written, its metrics as they come.

Knows the log and the files that metrics stream into. A version's task is known when it is recorded;
until then it goes by the start of its digest.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ems.cli import history
from ems.cli.library import Library
from ems.cli.texts import SHORT, metric
from ems.store.entries import Claim, Ended, Failed, Record

if TYPE_CHECKING:
    from ems.store.store import Store


class Follower:
    """`step` returns what is new, line by line; `state` is set when the run has come to its end."""

    def __init__(self, store: Store, run_id: str, task: str) -> None:
        info = store.run(run_id)
        self._store, self._run = store, run_id
        self._library = Library(store)
        self._task = task.rpartition("/")[2].partition("[")[0]
        self._since = info.summary.started if info else 0.0
        self._tail = history.Tail(store, run_id)
        self._running: dict[str, Stream] = {}
        self.state = ""

    def step(self) -> Iterator[str]:
        """Yield the lines that came since the last step."""
        alive = self._is_alive()
        for entry in self._tail.read():
            if isinstance(entry, Claim):
                for version in entry.versions:
                    self._running[version] = self._stream(version)
            elif isinstance(entry, (Record, Failed)):
                yield from self._finished(entry)
            elif isinstance(entry, Ended):
                self.state = entry.state
        if not self._task:
            for version, stream in self._running.items():
                yield from (f"{version[:SHORT]} | {metric(row)}" for row in stream.read())
        if not alive and not self.state:
            self.state = "died"

    def _is_alive(self) -> bool:
        info = self._store.run(self._run)
        return info is not None and info.summary.state != "died"

    def _stream(self, version: str) -> Stream:
        path = Path(self._store.attempts_folder) / version / "metrics.jsonl"
        return Stream(path, self._since)

    def _finished(self, entry: Record | Failed) -> Iterator[str]:
        stream = self._running.pop(entry.v, None)
        if self._task and entry.task != self._task:
            return
        lines = self._library.text(entry.log).splitlines()
        rows = self._library.rows(entry.metrics)
        lines += [metric(row) for row in rows[stream.count if stream else 0 :]]
        if isinstance(entry, Failed):
            lines.append(f"[failed: {entry.reason}, version {entry.v[:SHORT]}]")
        yield from (f"{entry.task} | {line}" for line in lines)


class Stream:
    """A file that rows of metrics are appended to, read from where it was left."""

    def __init__(self, path: Path, since: float) -> None:
        self._path, self._since = path, since
        self._at = 0
        self.count = 0
        """Rows of this run read so far."""

    def read(self) -> list[dict[str, Any]]:
        """Return the rows that came; one that is half written waits for the next time."""
        try:
            with self._path.open("rb") as stream:
                stream.seek(self._at)
                data = stream.read()
        except OSError:
            return []
        end = data.rfind(b"\n") + 1
        self._at += end
        rows = [json.loads(line) for line in data[:end].splitlines()]
        found = [row for row in rows if row.get("t", 0.0) >= self._since]
        self.count += len(found)
        return found
