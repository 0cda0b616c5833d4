"""The index: what the log says, in SQLite, so that a hundred thousand versions are one question.

A cache and nothing more. Broken, it is built again from the log; locked by another process for
long, or on a full disk, it is built in memory for this process. Several processes may share it.
Knows connections and their faults; what entries mean is in `applying.py`.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

from ems.store import sql
from ems.store.answers import Held, Hit
from ems.store.applying import Applier, median
from ems.store.database import connect, create, is_broken, memory, writing
from ems.store.segment import Place, Segment

T = TypeVar("T")
_TRIES = 3
_new = cast("Callable[[type[Hit], tuple[str, bool]], Hit]", getattr(tuple, "__new__"))  # noqa: B009
"""Makes a named tuple without its Python-level constructor."""


class Index:
    """One connection, used by all threads of the process in turn.

    `replay` brings an index up to the log; it is called after the rows were lost. Without a path
    the index is in memory.
    """

    def __init__(
        self,
        path: Path | None,
        replay: Callable[[Index], None],
        warn: Callable[[str], None],
        lock_s: float,
    ) -> None:
        self.path = path
        self._replay = replay
        self._warn = warn
        self._lock_s = lock_s
        self._lock = threading.RLock()
        self._db = self._open()
        self.applied, self.head = self._do(_applied)

    def close(self) -> None:
        with self._lock:
            self._db.close()

    # what the log said

    def catch_up(self) -> int:
        """Return the last segment applied, by this process or by another one."""
        self.applied, self.head = self._do(_applied)
        return self.applied

    def apply(self, segments: Sequence[Segment]) -> dict[bytes, Hit]:
        """Apply segments in order; those applied before are skipped.

        Returns versions whose record among these came second, with the winner.
        """

        def act(db: sqlite3.Connection) -> dict[bytes, Hit]:
            with writing(db):
                applied, _ = _applied(db)
                fresh = [s for s in segments if s.n > applied]
                applier = Applier(db)
                for segment in fresh:
                    applier.segment(segment)
                applier.finish()
                if fresh:
                    _set_applied(db, fresh[-1])
            return applier.second

        with self._lock:
            second = self._do(act)
            if segments[-1].n > self.applied:
                self.applied, self.head = segments[-1].n, segments[-1].head
            return second

    def restart(self, why: str) -> None:
        """Forget everything and read the log again."""
        with self._lock:
            self._rebuild(why)

    # questions

    def lookup(self, versions: Sequence[bytes]) -> dict[bytes, Hit]:
        """Return the winners among these versions."""
        return self._do(
            lambda db: {v: _new(Hit, (c, f == 1)) for v, c, f in sql.winners(db, versions)}
        )

    def states(self, versions: Sequence[bytes]) -> dict[bytes, tuple[int, str | None, Hit | None]]:
        """Return generation, holder and winner of the versions that are known at all."""
        return self._do(
            lambda db: {
                v: (gen, holder, None if content is None else Hit(content, files == 1))
                for v, gen, holder, content, files in sql.states(db, versions)
            }
        )

    def held(self, versions: Sequence[bytes]) -> dict[bytes, Held]:
        """Return the last job that a backend held for each version."""
        return self._do(lambda db: {row[0]: Held(*row[1:]) for row in sql.handles(db, versions)})

    def places(self, versions: Sequence[bytes]) -> dict[bytes, Place]:
        """Return where the winners' lines lie."""
        return self._do(lambda db: {v: Place(*at) for v, *at in sql.places(db, versions)})

    def tries(self, version: bytes) -> list[Place]:
        """Return where the version's other attempts lie: failed, second or revoked."""
        ask = "select n, start, length from tries where v=? order by n, start"
        return [Place(*row) for row in self._all(ask, (version,))]

    def versions(self, low: bytes, high: bytes) -> list[bytes]:
        """Return recorded or tried versions between two keys, bounds included."""
        ask = (
            "select v from versions where v between ?1 and ?2 and content is not null union"
            " select v from tries where v between ?1 and ?2 order by 1"
        )
        return [row[0] for row in self._all(ask, (low, high))]

    def runs(self, limit: int | None) -> list[tuple[str, str, str | None, int | None]]:
        """Return runner, run, ended (JSON) and kept of runs, newest first."""
        ask = "select runner, run, ended, kept from runs order by n desc, id desc limit ?"
        return self._all(ask, (-1 if limit is None else limit,))

    def run(self, run: str) -> tuple[str, str, str | None, int | None] | None:
        """Return the same of one run."""
        rows = self._all("select runner, run, ended, kept from runs where id=?", (run,))
        return rows[0] if rows else None

    def run_ids(self, prefix: str) -> list[str]:
        """Return ids of runs that start so."""
        ask = "select id from runs where substr(id, 1, ?)=? order by n desc"
        return [row[0] for row in self._all(ask, (len(prefix), prefix))]

    def durations(self, keys: Iterable[str]) -> dict[str, float]:
        """Return median seconds by spec digest or task name, of those known."""
        found: dict[str, float] = {}
        for key in keys:
            for row in self._all("select seconds from durations where key=?", (key,)):
                found[key] = median(row[0])
        return found

    def dump(self, table: str) -> list[tuple[object, ...]]:
        """Return all rows of a table in a fixed order, to compare two indexes."""
        return sorted(self._all(f"select * from {table}", ()), key=repr)

    def runners(self) -> dict[int, str | None]:
        """Return the names behind the numbers that `dump` shows."""
        return dict(self._all("select id, name from runners", ()))

    def arrived(self, digests: Sequence[str]) -> dict[str, int]:
        """Return the place in the order of arrival of contents that are known."""
        return self._do(lambda db: dict(sql.arrived(db, digests)))

    # files' digests

    def seen(self, paths: Sequence[str]) -> dict[str, tuple[int, int, int, str]]:
        """Return size, mtime_ns, inode and digest of files, as they were when hashed."""
        ask = "select path, size, mtime_ns, ino, digest from seen where path=?"
        if len(paths) == 1:
            return {row[0]: row[1:] for row in self._all(ask, (paths[0],))}
        return self._do(lambda db: {row[0]: row[1:] for row in sql.seen(db, paths)})

    def remember(self, rows: Sequence[tuple[str, int, int, int, str]]) -> None:
        """Note digests of files."""

        def act(db: sqlite3.Connection) -> None:
            with writing(db):
                db.executemany("insert or replace into seen values(?,?,?,?,?)", rows)

        self._do(act)

    # faults

    def _all(self, ask: str, values: tuple[object, ...]) -> list[Any]:
        return self._do(lambda db: db.execute(ask, values).fetchall())

    def _do(self, act: Callable[[sqlite3.Connection], T]) -> T:
        with self._lock:
            for _ in range(_TRIES):
                try:
                    return act(self._db)
                except sqlite3.DatabaseError as e:
                    if is_broken(e):
                        self._rebuild(f"is broken ({e})")
                    else:
                        self._fall_back(e)
            return act(self._db)

    def _rebuild(self, why: str) -> None:
        self._db.close()
        self._db = memory() if self.path is None else self._opened(self.path, anew=why)
        self._start_over()

    def _fall_back(self, e: sqlite3.DatabaseError) -> None:
        with contextlib.suppress(sqlite3.Error):
            self._db.close()
        self._db = self._own(e)
        self._start_over()

    def _start_over(self) -> None:
        self.applied, self.head = 0, b""
        self._replay(self)

    def _own(self, e: Exception) -> sqlite3.Connection:
        self._warn(f"index {self.path} can't be used ({e}); this process keeps its own in memory")
        return memory()

    def _open(self) -> sqlite3.Connection:
        if self.path is None:
            return memory()
        try:
            try:
                return self._opened(self.path)
            except sqlite3.DatabaseError as e:
                if not is_broken(e):
                    raise
                return self._opened(self.path, anew=f"is broken ({e})")
        except (sqlite3.Error, OSError) as e:
            return self._own(e)

    def _opened(self, path: Path, anew: str = "") -> sqlite3.Connection:
        if anew:
            self._warn(f"index {path} {anew}; it is built again from the log")
        if anew or not path.exists():
            create(path, replace=bool(anew))
        db = connect(path, self._lock_s)
        try:
            version = db.execute("pragma user_version").fetchone()[0]
        except sqlite3.Error:
            db.close()
            raise
        if version != sql.SCHEMA and not anew:
            db.close()
            return self._opened(path, anew=f"has schema {version}, not {sql.SCHEMA}")
        return db


def _applied(db: sqlite3.Connection) -> tuple[int, bytes]:
    row = db.execute("select value, head from applied").fetchone()
    return (0, b"") if row is None else (row[0], row[1])


def _set_applied(db: sqlite3.Connection, last: Segment) -> None:
    db.execute("insert or replace into applied values(0, ?, ?)", (last.n, last.head))
