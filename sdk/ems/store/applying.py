"""What the log's entries mean: they are turned into rows of the index, in log order.

The rules of contract 5 and 6 that every reader follows stand here: the first record of a version
that is not revoked wins and settles the claim; a claim counts when its generation is higher than
the last; a release frees; a revocation reaches only what its author knew. Knows nothing of
files and of connections.
"""

from __future__ import annotations

import sqlite3
from array import array
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ems.store import sql
from ems.store.answers import Hit
from ems.store.entries import (
    Arrived,
    Claim,
    Drop,
    Ended,
    Failed,
    Handle,
    Keep,
    Record,
    Release,
    Revoke,
    Run,
    encode,
)
from ems.store.segment import Place, Segment

_SAMPLES = 64
"""Durations kept for each task and spec: enough for a median."""


class Applier:
    """Applies segments within one transaction; `finish` writes what was gathered."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._claims: list[tuple[bytes, int, int]] = []
        self._records: list[tuple[bytes, str, int, int, int, int]] = []
        self._recorded: set[bytes] = set()
        self._tries: list[tuple[bytes, int, int, int]] = []
        self._seconds: dict[str, list[float]] = {}
        self._runner = ""
        self._runner_ids: dict[str, int] = {}
        self.second: dict[bytes, Hit] = {}
        """Records that came second -> the winner."""

    def segment(self, segment: Segment) -> None:
        """Take in all entries of the next segment."""
        self._runner = segment.runner
        by_kind = self._BY_KIND
        for entry, place in segment.entries:
            act = by_kind.get(type(entry))
            if act is not None:
                act(self, entry, place)

    def finish(self) -> None:
        """Write what is left; the caller commits."""
        self._write()
        for key, new in self._seconds.items():
            row = self._db.execute("select seconds from durations where key=?", (key,)).fetchone()
            kept = array("d", row[0] if row else b"")
            kept.extend(new)
            self._db.execute(
                "insert or replace into durations values(?,?)", (key, kept[-_SAMPLES:].tobytes())
            )

    # one method a kind

    def _record(self, entry: Record, place: Place) -> None:
        if entry.exit != 0:
            return
        v, n, start, length = bytes.fromhex(entry.v), place.n, place.start, place.length
        self._recorded.add(v)
        self._records.append((v, entry.content, 1 if entry.files else 0, n, start, length))
        seconds = entry.t1 - entry.t0
        for key in (entry.spec, entry.task):
            kept = self._seconds.get(key)
            if kept is None:
                self._seconds[key] = [seconds]
            else:
                kept.append(seconds)

    def _claim(self, entry: Claim, place: Place) -> None:
        runner, gen = self._runner_id(entry.runner), entry.gen
        versions = list(map(bytes.fromhex, entry.versions))
        if self._recorded and not self._recorded.isdisjoint(versions):
            self._write()  # a record settles the claims before it, not those after it
        self._claims += [(v, gen, runner) for v in versions]

    def _handle(self, entry: Handle, place: Place) -> None:
        self._db.execute(
            "insert into handles values(?,?,?,?,?) on conflict(v) do update set gen=excluded.gen,"
            " backend=excluded.backend, native=excluded.native, region=excluded.region"
            " where excluded.gen >= handles.gen",
            (bytes.fromhex(entry.version), entry.gen, entry.backend, entry.native, entry.region),
        )

    def _failed(self, entry: Failed, place: Place) -> None:
        self._tries.append((bytes.fromhex(entry.v), place.n, place.start, place.length))

    def _revoke(self, entry: Revoke, place: Place) -> None:
        self._write()
        gone = [
            (v, *at)
            for v, *at in sql.places(self._db, list(map(bytes.fromhex, entry.versions)))
            if at[0] <= entry.upto
        ]
        self._db.executemany("insert into tries values(?,?,?,?)", gone)
        self._db.executemany(
            "update versions set content=null, runner=null where v=?", [(row[0],) for row in gone]
        )

    def _release(self, entry: Release, place: Place) -> None:
        self._write()
        if isinstance(entry.versions, str):
            # all at once: the name goes, the rows stay and point to nobody
            self._db.execute("update runners set name=null where name=?", (entry.runner,))
            self._runner_ids.pop(entry.runner, None)
            return
        runner = self._runner_id(entry.runner)
        self._db.executemany(
            "update versions set runner=null where v=? and runner=?",
            [(bytes.fromhex(v), runner) for v in entry.versions],
        )

    def _run(self, entry: Run, place: Place) -> None:
        self._db.execute(
            "insert into runs(id, n, runner, run) values(?,?,?,?) on conflict(id) do update"
            " set n=excluded.n, runner=excluded.runner, run=excluded.run, ended=null",
            (entry.id, place.n, self._runner, encode(entry).decode()),
        )

    def _ended(self, entry: Ended, place: Place) -> None:
        self._db.execute("update runs set ended=? where id=?", (encode(entry).decode(), entry.run))

    def _keep(self, entry: Keep, place: Place) -> None:
        self._db.execute("update runs set kept=1 where id=?", (entry.run,))

    def _drop(self, entry: Drop, place: Place) -> None:
        self._db.execute("update runs set kept=0 where id=?", (entry.run,))

    def _arrived(self, entry: Arrived, place: Place) -> None:
        self._db.executemany(
            "insert or ignore into arrivals(digest) values(?)", [(d,) for d in entry.digests]
        )

    _BY_KIND: Mapping[type, Callable[[Any, Any, Place], None]] = {
        Record: _record,
        Claim: _claim,
        Handle: _handle,
        Failed: _failed,
        Revoke: _revoke,
        Release: _release,
        Run: _run,
        Ended: _ended,
        Keep: _keep,
        Drop: _drop,
        Arrived: _arrived,
    }

    # how

    def _runner_id(self, name: str) -> int:
        found = self._runner_ids.get(name)
        if found is None:
            self._db.execute("insert or ignore into runners(name) values(?)", (name,))
            row = self._db.execute("select id from runners where name=?", (name,)).fetchone()
            found = self._runner_ids[name] = int(row[0])
        return found

    def _write(self) -> None:
        if self._claims:
            sql.put_claims(self._db, self._claims)
            self._claims = []
        if self._records:
            before = self._db.total_changes
            sql.put_winners(self._db, self._records)
            if self._db.total_changes - before < len(self._records):
                self._note_second(self._records)
            self._records = []
            self._recorded = set()
        if self._tries:
            self._db.executemany("insert into tries values(?,?,?,?)", self._tries)
            self._tries = []

    def _note_second(self, rows: Sequence[tuple[bytes, str, int, int, int, int]]) -> None:
        versions = [row[0] for row in rows]
        first = {v: tuple(at) for v, *at in sql.places(self._db, versions)}
        hits = {v: Hit(c, bool(f)) for v, c, f in sql.winners(self._db, versions)}
        for row in rows:
            if first[row[0]] != row[3:]:
                self._tries.append((row[0], *row[3:]))
                self.second[row[0]] = hits[row[0]]


def median(samples: bytes) -> float:
    """Return the median of packed durations."""
    values = sorted(array("d", samples))
    middle = len(values) // 2
    return values[middle] if len(values) % 2 else (values[middle - 1] + values[middle]) / 2
