"""A runner's hand in the log: claims at once, records by group commit, a heartbeat meanwhile.

One thread takes everything queued and makes it one segment; while that is synced, the next group
gathers. Knows order, leases and faults of writing. Does not know tasks.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from ems.errors import EmsError, StoreError
from ems.store.answers import ClaimResult, Hit, as_hex
from ems.store.commit import Committer
from ems.store.entries import (
    EVERYTHING,
    Claim,
    Drop,
    Ended,
    Entry,
    Failed,
    Handle,
    Keep,
    Record,
    Release,
    Revoke,
    Run,
    encode,
)
from ems.store.index import Index
from ems.store.leases import Heartbeat, Watch
from ems.store.objects import Objects
from ems.store.takeover import Plan, plan_claims

GROUP = 64
"""Entries after which a group isn't kept waiting for more."""
_RETRY_S = 1.0


@dataclass(frozen=True, slots=True)
class Parts:
    """What a writer works with; the store puts it together."""

    committer: Committer
    index: Index
    objects: Objects
    watch: Watch
    heartbeat: Heartbeat
    gather_s: float


def new_runner_id() -> str:
    """Return a name that no other runner has."""
    return f"r-{os.urandom(6).hex()}"


class Writer:
    """Use as a context manager; leaving it flushes, and gives up what is still claimed.

    Methods that queue raise StoreError when the writer's thread has met one, and queue all the
    same: it tries again every second, and at the next `flush`.
    """

    def __init__(self, parts: Parts, runner_id: str, run_id: str) -> None:
        self.runner_id = runner_id
        self.run_id = run_id
        self._parts = parts
        self._cond = threading.Condition()
        self._queue: list[tuple[Entry, bytes]] = []
        self._queued = 0
        self._written = 0
        self._ordered = False
        self._unsaid: set[str] = set()
        self._published = 0
        self._publishing = threading.Lock()
        self._urgent = False
        self._closing = False
        self._fault: EmsError | None = None
        self._busy: dict[bytes, str] = {}
        self._forced: frozenset[bytes] = frozenset()
        """What is busy and was asked for by force."""
        self._second: dict[bytes, Hit] = {}
        self._thread = threading.Thread(target=self._loop, name="ems-writer", daemon=True)

    def start(self) -> None:
        """Write the heartbeat and begin; `Store.session` has done it."""
        self._parts.heartbeat.start()
        self._thread.start()

    # claims

    def claim(self, versions: Sequence[bytes], force: Collection[bytes] = ()) -> ClaimResult:
        """Claim versions in one commit, all that are free, be it from a dead runner.

        Those of `force` are claimed even if they are recorded, to be replaced; what is recorded
        is served meanwhile. Where a live runner holds one, be it by force, it is busy.

        What was revoked, released or recorded of them before is written first. It does not wait
        for the disk: a claim is worth nothing after a power cut.
        """
        self._may_go_on()
        committer, plan, forced = self._parts.committer, Plan(), frozenset(force)

        def decide() -> Sequence[Entry]:
            nonlocal plan
            plan = self._plan(versions, forced)
            return [
                Claim(self.runner_id, self.run_id, gen, [v.hex() for v in free])
                for gen, free in plan.free.items()
            ]

        if self._ordered or not self._unsaid.isdisjoint([v.hex() for v in versions]):
            self._write_queued()
        with committer.lock:
            committer.refresh()
            while not committer.attempt(self.runner_id, decide):
                continue
        gens = {v: gen for gen, free in plan.free.items() for v in free} | dict(plan.mine)
        settled = gens.keys() | plan.done.keys()
        self._busy = {v: r for v, r in self._busy.items() if v not in settled} | dict(plan.busy)
        self._forced = (self._forced.difference(versions) | forced) & self._busy.keys()
        return ClaimResult(frozenset(gens), plan.busy, plan.done, gens)

    def poll(self) -> list[bytes]:
        """Return versions that were busy and are recorded or free now: claim them again.

        What is wanted by force is returned when its holder has recorded it, or is gone.
        """
        self._may_go_on()
        if not self._busy:
            return []
        self._parts.committer.refresh()
        plan = self._plan(list(self._busy), self._forced)
        return [v for v in self._busy if v not in plan.busy]

    def overtaken(self) -> Mapping[bytes, Hit]:
        """Return, once, own records that came second, with the winner to go on from."""
        with self._cond:
            second, self._second = self._second, {}
        return second

    # what is queued

    def record(self, entry: Record, *, replace: bool = False) -> None:
        """Queue a version's result. TypeError: it holds what JSON has no form for.

        `replace`: it takes the place of all that was recorded before it, whoever did so, in one
        commit: there is no moment without a result.
        """
        self._unsaid.add(entry.v)
        if replace:
            self._put(Revoke([entry.v], "replaced", EVERYTHING), entry)
        else:
            self._put(entry)

    def failed(self, entry: Failed) -> None:
        """Queue an attempt that failed."""
        self._put(entry)

    def handle(self, entry: Handle) -> None:
        """Queue that a backend holds a job for a version."""
        self._put(entry)

    def revoke(self, versions: Iterable[str | bytes], why: str) -> None:
        """Queue that what is recorded of these versions up to now counts no more."""
        self._put(Revoke([as_hex(v) for v in versions], why, self._parts.index.applied))
        self._ordered = True

    def release(self, versions: Iterable[str | bytes] | None = None) -> None:
        """Queue that we give up our claim on these versions, or on all."""
        named = "all" if versions is None else [as_hex(v) for v in versions]
        self._put(Release(self.runner_id, self.run_id, named))
        self._ordered = True

    def run(self, entry: Run) -> None:
        """Queue that a run began."""
        self._put(entry)

    def ended(self, entry: Ended) -> None:
        """Queue that it ended."""
        self._put(entry)

    def keep(self, run_id: str) -> None:
        """Queue that gc must keep a run."""
        self._put(Keep(run_id))

    def drop(self, run_id: str) -> None:
        """Queue that gc need not keep a run."""
        self._put(Drop(run_id))

    def flush(self) -> None:
        """Return when all that was queued is durable; raises what the writer's thread met."""
        with self._cond:
            target = self._queued
            self._fault = None
            self._urgent = True
            self._cond.notify_all()
            while self._written < target and self._fault is None:
                self._cond.wait()
        self._raise_fault()
        self._parts.objects.sync()

    def close(self) -> None:
        """Flush and end; the heartbeat goes, so what is still claimed is free."""
        if self._closing:
            return
        try:
            self.flush()
        finally:
            with self._cond:
                self._closing = True
                self._cond.notify_all()
            self._thread.join()
            self._parts.heartbeat.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self.close()
        except StoreError:
            if error is None:
                raise  # else the first error is the one to tell

    # how

    def _plan(self, versions: Sequence[bytes], force: Collection[bytes]) -> Plan:
        states = self._parts.index.states(versions)
        return plan_claims(versions, states, self.runner_id, self._parts.watch.alive, force)

    def _put(self, *entries: Entry) -> None:
        """Queue entries that go into one segment."""
        lines = [(entry, encode(entry)) for entry in entries]
        with self._cond:
            before = len(self._queue)
            self._queue += lines
            self._queued += len(lines)
            if before == 0 or before < GROUP <= len(self._queue):
                self._cond.notify_all()
        if self._fault is not None:
            self._raise_fault()

    def _loop(self) -> None:
        while self._gathered():
            try:
                self._write_queued()
                self._harden()
            except EmsError as e:
                self._note(e)
            except Exception as e:  # a bug of ours must not look like success
                self._note(StoreError("writer", f"{type(e).__name__}: {e}", "emsctl check"))

    def _gathered(self) -> bool:
        """Wait for a group; False: there will be none."""
        with self._cond:
            while not self._due() or self._fault is not None:
                if self._closing:
                    return False
                if not self._due():
                    self._urgent = False
                if not self._cond.wait(_RETRY_S if self._fault else None):
                    break
            if not (self._urgent or self._closing or len(self._queue) >= GROUP):
                self._cond.wait(self._parts.gather_s)
        return True

    def _due(self) -> bool:
        return bool(self._queue) or self._published > self._written

    def _write_queued(self) -> None:
        """Publish what is queued, in its order, whichever thread comes first."""
        with self._publishing:
            with self._cond:
                batch, self._queue = self._queue, []
                self._ordered = False
            if not batch:
                return
            entries = [entry for entry, _ in batch]
            try:
                self._parts.objects.sync(_needed(entries))
                lines = [line for _, line in batch]
                second = self._parts.committer.commit(self.runner_id, entries, lines)
            except BaseException:
                with self._cond:
                    self._queue[:0] = batch
                raise
            with self._cond:
                self._published += len(batch)
                self._unsaid.difference_update(e.v for e in entries if type(e) is Record)
                self._second.update(second)
                self._fault = None
                self._cond.notify_all()

    def _harden(self) -> None:
        """Make what is published survive a power cut; only then does `flush` return."""
        with self._cond:
            target = self._published
        self._parts.committer.harden()
        with self._cond:
            self._written = target
            self._fault = None
            self._cond.notify_all()

    def _note(self, fault: EmsError) -> None:
        with self._cond:
            self._fault = fault
            self._cond.notify_all()

    def _may_go_on(self) -> None:
        """Raise what the writer's thread met, or that others soon take us for dead."""
        self._raise_fault()
        self._parts.heartbeat.check()

    def _raise_fault(self) -> None:
        fault = self._fault
        if fault is not None:
            raise type(fault)(fault.subject, fault.problem, fault.next_step)


def _needed(entries: Sequence[Entry]) -> set[str]:
    """Return the objects that must be durable before these entries are."""
    found: set[str] = set()
    for entry in entries:
        if type(entry) is Record and entry.files:
            found.update(str(row[0]) for row in entry.files)
    return found
