"""Looks a store over: its format, its log, its objects, the index against the log.

Reads only, and says what is wrong, where, and what to do. Knows nothing that the other modules
of the store don't.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from ems.store.commit import replay
from ems.store.index import Index
from ems.store.jobs import JobRecords
from ems.store.log import name
from ems.store.reach import History, read_log

if TYPE_CHECKING:
    from ems.store.store import Store

SAMPLE = 100


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong: where, what, and the next step."""

    where: str
    what: str
    next_step: str


def check(store: Store, *, all_objects: bool = False, seed: int = 0) -> list[Finding]:
    """Return all that is wrong; empty for a sound store.

    Objects are read and hashed: a sample of them, or all.
    """
    history = read_log(store)
    objects = _objects(store, history, all_objects, seed)
    return [*_log(history), *objects, *_jobs(store), *_index(store)]


def _log(history: History) -> Iterator[Finding]:
    again = "nothing: what it recorded is computed again when it is needed"
    for n, damage in history.damaged.items():
        yield Finding(name(n), damage, again)
    for n in history.missing:
        yield Finding(name(n), "is missing", again)


def _objects(store: Store, history: History, everything: bool, seed: int) -> Iterator[Finding]:
    sizes = {s.key.rpartition("/")[2]: s.size for s in store.root.list("objects/")}
    objects = sorted(d for d in sizes if _looks_like_digest(d))
    if not everything and len(objects) > SAMPLE:
        objects = random.Random(seed).sample(objects, SAMPLE)
    for digest in objects:
        if not store.objects.verify(digest):
            yield Finding(
                f"objects/{digest[:2]}/{digest}",
                "its content has another digest",
                "delete it: what it was made by is computed again when it is needed",
            )
    yield from _missing(store, history, sizes.keys())


def _missing(store: Store, history: History, there: Iterable[str]) -> Iterator[Finding]:
    """Name the versions whose own files are gone."""
    wanted = {bytes.fromhex(v) for v in history.winners}
    known = set(there)
    for version, record in store.records(wanted).items():
        lost = [str(row[0]) for row in record.files if str(row[0]) not in known]
        if lost:
            yield Finding(
                f"version {version.hex()[:12]} ({record.task})",
                f"object {lost[0]} is missing",
                "emsctl run: it is computed again",
            )
    for run, facts in history.runs.items():
        if facts.kept is not False and facts.nodes is not None and facts.nodes not in known:
            yield Finding(
                f"run {run}", f"its list of tasks, {facts.nodes}, is missing", "run it again"
            )


def _jobs(store: Store) -> Iterator[Finding]:
    """Name records of jobs that can't be read, and objects of theirs that are gone."""
    records = JobRecords(store.root)
    for key, what in records.faults():
        yield Finding(key, what, "delete it: the jobs go on, and nothing is known of them here")
    named = dict(records.objects())
    for digest in sorted(named.keys() - store.objects.exists(named.keys())):
        what = f"object {digest} is missing"
        yield Finding(f"job {named[digest]}", what, "emsctl job submit: once more")


def _index(store: Store) -> Iterator[Finding]:
    store.refresh()
    fresh = Index(None, lambda index: replay(store.log, index), lambda _: None, 0.0)
    replay(store.log, fresh)
    ours, theirs = set(_rows(store.index)), set(_rows(fresh))
    fresh.close()
    if ours != theirs:
        count = len(ours ^ theirs)
        yield Finding(
            f"index {store.index.path}",
            f"{count} rows differ from the log",
            "delete it: it is a cache and is built again",
        )


def _rows(index: Index) -> Iterator[tuple[object, ...]]:
    names = index.runners()
    for v, gen, runner, *rest in index.dump("versions"):
        yield ("versions", v, gen, names.get(cast("int", runner)), *rest)
    for table in ("tries", "runs", "durations", "arrivals"):
        for row in index.dump(table):
            yield (table, *row)


def _looks_like_digest(name: str) -> bool:
    digits = name.partition("-")[0]
    return len(digits) == 64 and all(c in "0123456789abcdef" for c in digits)
