"""The store: the front door to objects, log, index and leases of one root.

Opening reads what is new in the log into the index; every question is then answered from there
and, for whole entries, from the segments. Knows no tasks.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple, Self, TypeVar, cast

from ems.errors import StoreError
from ems.settings import cache_folder
from ems.store.answers import Attempt, Held, Hit, RunInfo, RunSummary, as_bytes
from ems.store.commit import Committer, replay
from ems.store.entries import Arrived, Failed, Record, decode
from ems.store.far import Far
from ems.store.folder import FolderRoot
from ems.store.format import identify, place_of
from ems.store.index import Index
from ems.store.leases import Clock, Heartbeat, Watch
from ems.store.log import Damaged, Log
from ems.store.objects import Objects
from ems.store.root import Root, open_root
from ems.store.runs import info_of
from ems.store.seen import Seen
from ems.store.segment import Place
from ems.store.writer import Parts, Writer, new_runner_id

if TYPE_CHECKING:
    from ems.store.s3 import S3Root

T = TypeVar("T")


class Timing(NamedTuple):
    """How long things may take. Others must agree on `beat_s` < `stale_s`."""

    beat_s: float = 5.0
    stale_s: float = 20.0
    lock_s: float = 5.0
    """How long another process may lock the index before we keep our own in memory."""
    gather_s: float = 0.02
    """How long a group that isn't full waits for more."""


class Store:
    """One root, opened. Threads may share it."""

    def __init__(
        self, root: Root, id: str, cache: Path, timing: Timing, warn: Callable[[str], None]
    ) -> None:
        self.url = root.url
        self.id = id
        self.root = root
        self.writable = root.writable
        self.cache = cache
        self._timing = timing
        far = root if not isinstance(root, FolderRoot) else None
        here = root.at if isinstance(root, FolderRoot) else cache
        place = f"{id}.{place_of(root)}"
        self.log = Log(root, warn, cache / "segments" / place if far is not None else None)
        path = cache / "index" / f"{place}.{os.uname().nodename}.sqlite"
        self.index = Index(path, lambda index: replay(self.log, index), warn, timing.lock_s)
        self.seen = Seen(self.index)
        uploads = None if far is None else Far(cast("S3Root", far))
        self.objects = Objects(here / "objects", root.url, self.seen, uploads)
        self.scratch = str(here / "scratch")
        self.attempts_folder = str(here / "attempts" if far is None else here / "attempts" / place)
        self._clock = Clock()
        self.watch = Watch(root, self._clock, timing.stale_s)
        self.committer = Committer(self.log, self.index, root.writable, root.url)

    @classmethod
    def open(
        cls,
        url: str | os.PathLike[str],
        *,
        create: bool = True,
        cache: Path | None = None,
        timing: Timing | None = None,
        warn: Callable[[str], None] | None = None,
    ) -> Store:
        """Open the store at a folder or `s3://bucket/prefix`, and read what is new.

        `create`: make one where there is none. `warn` gets a line for every fault that was got
        over; by default it goes to stderr. StoreError: there is none, it can't be read, or a
        newer release made it.
        """
        root = open_root(os.fspath(url), create=create)
        try:
            id = identify(root, create=create)
            store = cls(root, id, cache or cache_folder(), timing or Timing(), warn or _to_stderr)
        except BaseException:
            root.close()
            raise
        at = store.index.applied
        if at and root.probes and store.log.head(at) != store.index.head:
            store.index.restart("is not of this log")
        store.refresh()
        return store

    def close(self) -> None:
        """Close what is open; sessions are closed before."""
        self.index.close()
        self.root.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # versions

    def refresh(self) -> None:
        """Take what others wrote into the index."""
        self.committer.refresh()

    def lookup(self, versions: Sequence[bytes]) -> dict[bytes, Hit]:
        """Return those of the versions that are recorded. As of the last refresh."""
        return self.index.lookup(versions)

    def held(self, versions: Sequence[bytes]) -> dict[bytes, Held]:
        """Return the last job that a backend held for each of the versions. As of the refresh."""
        return self.index.held(versions)

    def record(self, version: str | bytes) -> Record | None:
        """Return the whole record of a version."""
        return self.records([version]).get(as_bytes(version))

    def records(self, versions: Iterable[str | bytes]) -> dict[bytes, Record]:
        """Return the whole records of those that have one."""
        keys = [as_bytes(v) for v in versions]
        places, lines = self._lines(lambda: self.index.places(keys), lambda found: found.values())
        return {v: self._entry(Record, lines[at]) for v, at in places.items()}

    def attempts(self, version: str | bytes) -> list[Attempt]:
        """Return all that was tried for a version, in log order, the winner included."""
        key = as_bytes(version)

        def ask() -> list[Place]:
            return sorted({*self.index.tries(key), *self.index.places([key]).values()})

        places, lines = self._lines(ask, lambda found: found)
        found = (decode(lines[place]) for place in places)
        return [entry for entry in found if isinstance(entry, (Record, Failed))]

    def find(self, prefix: str) -> list[str]:
        """Return the versions, in hex, that start with `prefix`; those tried in vain included."""
        if len(prefix) > 64 or not all(c in "0123456789abcdef" for c in prefix):
            return []
        low, high = (bytes.fromhex(prefix.ljust(64, fill)) for fill in "0f")
        return [v.hex() for v in self.index.versions(low, high)]

    def durations(self, keys: Iterable[str]) -> dict[str, float]:
        """Return median seconds by spec digest or task name, of those that were run before."""
        return self.index.durations(keys)

    # runs

    def runs(self, limit: int | None = None) -> list[RunSummary]:
        """Return runs, newest first."""
        return [info_of(row, self.watch.alive).summary for row in self.index.runs(limit)]

    def run(self, id: str) -> RunInfo | None:
        """Return one run by its whole id."""
        row = self.index.run(id)
        return None if row is None else info_of(row, self.watch.alive)

    def find_run(self, prefix: str) -> list[str]:
        """Return ids of runs that start with `prefix`, newest first."""
        return self.index.run_ids(prefix)

    # inputs that arrive

    def arrivals(self, digests: Sequence[str], *, note: bool) -> list[str]:
        """Return contents in the order in which the store first saw them, new ones last.

        `note`: remember the new ones in their order here, for everybody.
        """
        self.refresh()
        known = self.index.arrived(digests)
        new = [d for d in dict.fromkeys(digests) if d not in known]
        if new and note:
            self.committer.commit("", [Arrived(new)])
            self.committer.harden()
            known = self.index.arrived(digests)  # somebody else may have come first
            new = []
        return sorted(known, key=known.__getitem__) + new

    # sessions

    def session(self, run_id: str) -> Writer:
        """Begin to write, as one runner with a heartbeat."""
        if not self.writable:
            self.committer.may_write()
        self.committer.close_gaps()
        runner = new_runner_id()
        times = self._timing.beat_s, self._timing.stale_s
        beat = Heartbeat(self.root, self._clock, runner, run_id, self.index.applied, *times)
        parts = Parts(
            self.committer, self.index, self.objects, self.watch, beat, self._timing.gather_s
        )
        writer = Writer(parts, runner, run_id)
        writer.start()
        return writer

    def folder(self, key: str) -> Path | None:
        """Return a local folder of the store for what streams, made if need be.

        None where the store is far away.
        """
        return self.root.make_folder(key) if isinstance(self.root, FolderRoot) else None

    def now(self) -> float:
        """Return the time by the store's own clock, as far as it is known."""
        return self._clock.now()

    # how

    def _lines(
        self, ask: Callable[[], T], of: Callable[[T], Iterable[Place]]
    ) -> tuple[T, dict[Place, bytes]]:
        """Return what the index says and the lines there; what the log lost, the index forgets."""
        found = ask()
        try:
            return found, self.log.lines(of(found))
        except Damaged as e:
            self.index.restart(f"knows more than the log has ({e.problem})")
            found = ask()
            return found, self.log.lines(of(found))

    def _entry(self, cls: type[Record], line: bytes) -> Record:
        try:
            entry = decode(line)
        except ValueError:
            entry = None
        if not isinstance(entry, cls):
            raise StoreError(self.url, "the index points to no record", "emsctl check")
        return entry


def _to_stderr(line: str) -> None:
    sys.stderr.write(f"warning: {line}\n")


__all__ = ["Place", "Store", "Timing", "Writer"]
