"""Garbage: what no kept run needs, found first, then deleted; safe while runs go on.

Safe, because what is young stays; because a version is revoked in the log before its objects go,
so that who starts later computes it anew; and because the objects of what was just revoked wait
until the runners that may have seen it as a hit have ended. While jobs go on at places that
outlive their runners, what became an object since their run began stays, too; and in S3, where such
jobs read the store itself, all that the log names, since no entry says what a job reads.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from ems.store import litter
from ems.store.entries import Revoke
from ems.store.jobs import JobRecords
from ems.store.layout import TEMP
from ems.store.reach import History, Needs, Reach, RunFacts, read_log
from ems.store.root import Stat

if TYPE_CHECKING:
    from ems.store.store import Store

T = TypeVar("T")
GRACE_S = 3600.0
_DAY_S = 86400.0
_GOING_S = 60 * _DAY_S
"""For so long a job at a place that outlives its runner may go on without anybody's word."""
_SKEW_S = 600.0
"""What clocks of machines may differ by."""
_BATCH = 1000


@dataclass(frozen=True, slots=True)
class Keeping:
    """Which runs to keep, besides those marked `keep` and those that go on: by default all.

    A run marked `drop` is not kept.
    """

    newest: int | None = None
    younger_than_s: float | None = None
    dropped: frozenset[str] = frozenset()
    """Runs taken as dropped, though the log doesn't say so (yet)."""


@dataclass(frozen=True, slots=True)
class Garbage:
    """What gc would do. `bytes` would be free now, `waiting` once runners and jobs have ended."""

    kept: Sequence[str]
    dropped: Sequence[str]
    versions: Sequence[str]
    """Recorded, needed by no kept run, and losing an object: they are revoked."""
    orphans: Mapping[str, int]
    """Objects that nothing needs -> size."""
    condemned: Mapping[str, int]
    """Objects that only `versions` need -> size."""
    leftovers: Sequence[Stat]
    """Temporary files of the dead, their heartbeats, attempts of what is not needed."""
    folders: Mapping[str, int]
    """Links to objects that are gone or would go now, scratch of dead workers -> bytes."""
    runners: Sequence[str]
    """Those who live."""
    jobs: int
    """Versions at places that outlive their runners, and may read the store."""
    held: int
    """Bytes of objects that such jobs may read, whose runners are gone."""
    head: int

    @property
    def waiting(self) -> int:
        """Bytes of objects that may be in use by runners that live now, or by jobs at places."""
        return self.held + (sum(self.condemned.values()) if self.runners else 0)

    @property
    def bytes(self) -> int:
        """Bytes that a sweep would free now."""
        freed = sum(self.orphans.values()) + sum(stat.size for stat in self.leftovers)
        freed += sum(self.folders.values())
        return freed + (0 if self.runners else sum(self.condemned.values()))


def find_garbage(
    store: Store, keeping: Keeping | None = None, *, grace_s: float = GRACE_S
) -> Garbage:
    """Return what could go; deletes nothing."""
    history, reach = read_log(store), Reach(store)
    heads = store.watch.heads()
    now = store.now()
    kept = _kept(store, history.runs, keeping or Keeping())
    needed = {v for run in kept for v in reach.versions(history.runs[run])}
    for runner in heads:
        needed |= history.claimed.get(runner, set())
    going = {v: since for v, since in _going(history).items() if now - since < _GOING_S}
    needed |= going.keys()
    begun = min(going.values(), default=math.inf) - _SKEW_S
    held = reach.objects(_held(history, kept, needed, min(heads.values(), default=history.head)))
    held |= reach.objects([JobRecords(store.root).needs()])  # jobs are kept as long as the store
    there = list(store.root.list("objects/"))
    # what such a job makes may be there long before anybody records it
    old = [s for s in there if now - s.mtime > grace_s and s.mtime < begun]
    objects = {name: s.size for s in old if _is_object(name := s.key.rpartition("/")[2])}
    loose = {d: size for d, size in objects.items() if d not in held}
    unneeded = {v: needs for v, (_, needs) in history.winners.items() if v not in needed}
    jobs = going.keys() if _is_read_by_jobs(store) else set[str]()
    left = any(history.going[v] not in heads for v in jobs)
    read = reach.objects(_readable(history, unneeded, _digests(there))) if left else set[str]()
    waiting_bytes = sum(loose.pop(digest) for digest in read & loose.keys())
    losing = {v for v, n in unneeded.items() if not reach.objects([n]).isdisjoint(loose)}
    condemned = reach.objects([unneeded[v] for v in losing])
    waiting = condemned if heads else set[str]()
    staying = _digests(there).difference(loose.keys() - waiting)
    return Garbage(
        kept=kept,
        dropped=[run for run in history.runs if run not in kept],
        versions=sorted(losing),
        orphans={d: size for d, size in loose.items() if d not in condemned},
        condemned={d: size for d, size in loose.items() if d in condemned},
        leftovers=list(_leftovers(store, old, needed, kept, heads, now, grace_s)),
        folders=litter.folders(store.root, sorted(staying), now, grace_s, bool(heads)),
        runners=sorted(heads),
        jobs=len(jobs),
        held=waiting_bytes,
        head=history.head,
    )


def sweep(store: Store, garbage: Garbage, *, grace_s: float = GRACE_S) -> int:
    """Delete it, as far as that is still right; return the bytes freed."""
    if garbage.versions:
        store.committer.commit("", [Revoke(list(garbage.versions), "gc", garbage.head)])
    store.refresh()
    revoked_at = store.index.applied
    since = _since(store, garbage.head)
    going = dict(garbage.orphans)
    # a runner may have ended while we looked, and have left a job that reads what it saw as a hit
    jobs = garbage.jobs or (since.going and _is_read_by_jobs(store))
    if not jobs and all(head >= revoked_at for head in store.watch.heads().values()):
        going.update(garbage.condemned)
    for digest in _needs_of(store, since):
        going.pop(digest, None)
    freed = 0
    for batch in _batches([f"objects/{d[:2]}/{d}" for d in going]):
        keys = [key for key in batch if _still_old(store, key, grace_s)]
        store.root.delete(keys)
        freed += sum(going[key.rpartition("/")[2]] for key in keys)
    for stats in _batches(garbage.leftovers):
        store.root.delete([stat.key for stat in stats])
        freed += sum(stat.size for stat in stats)
    return freed + _prune(store, garbage.folders)


def _prune(store: Store, folders: Mapping[str, int]) -> int:
    """Remove folders, but links whose object came back; return the bytes freed."""
    links = litter.dangling(store.root, sorted(_digests(store.root.list("objects/"))))
    going = {
        key: size for key, size in folders.items() if key in links or not litter.is_for_object(key)
    }
    store.root.prune(list(going))
    return sum(going.values())


def _kept(store: Store, runs: Mapping[str, RunFacts], keeping: Keeping) -> list[str]:
    now, kept = store.now(), list[str]()
    newest = sorted(runs, key=lambda run: runs[run].started, reverse=True)
    for place, run in enumerate(newest):
        facts = runs[run]
        if run in keeping.dropped:
            keep = False
        elif facts.kept is None:
            young = keeping.younger_than_s is None or now - facts.started < keeping.younger_than_s
            among = keeping.newest is None or place < keeping.newest
            keep = young and among
        else:
            keep = facts.kept
        if keep or (not facts.ended and store.watch.alive(facts.runner)):
            kept.append(run)
    return kept


def _going(history: History) -> Mapping[str, float]:
    """Return when the run began that handed each version to a place, where no end is known yet."""
    began: dict[str, float] = {}
    for facts in history.runs.values():
        began[facts.runner] = facts.started
    return {v: began.get(runner, 0.0) for v, runner in history.going.items()}


def _held(history: History, kept: Iterable[str], needed: set[str], seen: int) -> Iterator[Needs]:
    """Yield what must stay: of needed versions, of kept runs, of what a living runner has seen."""
    for v in needed & history.winners.keys():
        yield history.winners[v][1]
    for run in kept:
        yield history.runs[run].needs
    for n, needs in history.revoked:
        if n > seen:
            yield needs


def _is_read_by_jobs(store: Store) -> bool:
    """Whether jobs at places may read the store itself; of one in a folder they are sent copies."""
    return store.url.startswith("s3://")


def _readable(history: History, unneeded: Mapping[str, Needs], there: set[str]) -> Iterator[Needs]:
    """Yield what a job whose runner is gone may read: all results that it may have seen as hits.

    Which ones it reads no entry says. What is revoked counts as long as it is there: the job may
    have begun before.
    """
    yield from unneeded.values()
    for _, needs in history.revoked:
        if not needs.named.isdisjoint(there):
            yield needs


def _leftovers(
    store: Store,
    old: Iterable[Stat],
    needed: set[str],
    kept: Sequence[str],
    heads: Mapping[str, int],
    now: float,
    grace_s: float,
) -> Iterator[Stat]:
    for stat in old:
        if not _is_object(stat.key.rpartition("/")[2]):
            yield stat
    for prefix in ("log/", "runners/", "jobs/"):
        for stat in store.root.list(prefix):
            name = stat.key.rpartition("/")[2]
            if name.startswith(TEMP):
                if now - stat.mtime > grace_s:
                    yield stat
                continue
            dead = prefix == "runners/" and name.removesuffix(".json") not in heads
            if dead and now - stat.mtime > _DAY_S:
                yield stat
    for prefix, wanted in (("attempts/", needed), ("runs/", set(kept))):
        for stat in store.root.list(prefix):
            owner = stat.key.removeprefix(prefix).partition("/")[0]
            half = stat.key.rpartition("/")[2].startswith(TEMP)
            if (half or owner not in wanted) and now - stat.mtime > grace_s:
                yield stat
    yield from litter.halves(store.root, now, grace_s)


def _since(store: Store, head: int) -> History:
    """Return what was written while we looked."""
    history = History()
    history.head = head
    for segments in store.log.all(head):
        history.read(segments)
    return history


def _needs_of(store: Store, since: History) -> set[str]:
    """Return what was recorded while we looked, and what jobs need by now."""
    runs = (facts.needs for facts in since.runs.values())
    jobs = JobRecords(store.root).needs()
    return Reach(store).objects([*(needs for _, needs in since.winners.values()), *runs, jobs])


def _still_old(store: Store, key: str, grace_s: float) -> bool:
    if not store.root.probes:
        return True  # listed a moment ago, and asking for each takes longer than that
    stat = store.root.stat(key)
    return stat is not None and store.now() - stat.mtime > grace_s


def _digests(objects: Iterable[Stat]) -> set[str]:
    names = (stat.key.rpartition("/")[2] for stat in objects)
    return {name for name in names if _is_object(name)}


def _is_object(name: str) -> bool:
    return not name.startswith((TEMP, "tmp-"))


def _batches(items: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), _BATCH):
        yield items[start : start + _BATCH]
