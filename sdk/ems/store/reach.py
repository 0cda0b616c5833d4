"""What the log still needs: versions by run, and objects by version, found by reading all of it.

Which digests an entry names is found in its text: whatever looks like a digest counts, so that a
newer format's references are spared, too. Knows the log and objects' references, not ages.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ems.errors import StoreError
from ems.store.entries import (
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
from ems.store.segment import Segment

if TYPE_CHECKING:
    from ems.store.store import Store

_DIGEST = re.compile(rb'"([0-9a-f]{64}(?:-\d+)?)"')
_OPENED = re.compile(rb'"(?:\$dir|\$object|spec)":\s*\[?\s*"([0-9a-f]{64}(?:-\d+)?)"')
"""References to objects that name further objects."""


@dataclass(slots=True)
class Needs:
    """Digests that an entry names, and those among them that are to be opened."""

    named: set[str] = field(default_factory=set[str])
    opened: set[str] = field(default_factory=set[str])

    @classmethod
    def of(cls, text: bytes) -> Needs:
        named = {m.decode() for m in _DIGEST.findall(text)}
        return cls(named, {m.decode() for m in _OPENED.findall(text)})


@dataclass(slots=True)
class RunFacts:
    """What the log says of a run, as far as gc asks."""

    started: float = 0.0
    ended: bool = False
    kept: bool | None = None
    runner: str = ""
    nodes: str | None = None
    versions: set[str] = field(default_factory=set[str])
    needs: Needs = field(default_factory=Needs)


class History:
    """The whole log, read once, as far as gc and check need it."""

    def __init__(self) -> None:
        self.head = 0
        self.damaged: dict[int, str] = {}
        self.missing: list[int] = []
        self.winners: dict[str, tuple[int, Needs]] = {}
        self.revoked: list[tuple[int, Needs]] = []
        self.runs: dict[str, RunFacts] = {}
        self.claimed: dict[str, set[str]] = {}
        self.going: dict[str, str] = {}
        """Version at a place that outlives its runner, without an end so far -> that runner."""

    def read(self, segments: Iterable[Segment]) -> None:
        """Take in segments, in order."""
        for segment in segments:
            self.missing += range(self.head + 1, segment.n)
            self.head = segment.n
            if segment.damage:
                self.damaged[segment.n] = segment.damage
            for entry, _ in segment.entries:
                self._entry(segment, entry)
                self._follow(segment.runner, entry)

    def _follow(self, runner: str, entry: Entry) -> None:
        match entry:
            case Handle():
                self.going[entry.version] = runner
            case Record() | Failed():
                self.going.pop(entry.v, None)
            case Release():
                given = [v for v, whose in self.going.items() if whose == entry.runner]
                for v in given if entry.versions == "all" else entry.versions:
                    self.going.pop(v, None)
            case _:
                pass

    def _run(self, run: str) -> RunFacts:
        return self.runs.setdefault(run, RunFacts())

    def _entry(self, segment: Segment, entry: Entry) -> None:
        match entry:
            case Record():
                self._run(entry.run).versions.add(entry.v)
                if entry.exit == 0:
                    self.winners.setdefault(entry.v, (segment.n, Needs.of(encode(entry))))
            case Failed():
                facts, needs = self._run(entry.run), Needs.of(encode(entry))
                facts.versions.add(entry.v)
                facts.needs.named |= needs.named
                facts.needs.opened |= needs.opened
            case Claim():
                self._run(entry.run).versions.update(entry.versions)
                self.claimed.setdefault(entry.runner, set()).update(entry.versions)
            case Revoke():
                for v in entry.versions:
                    if v in self.winners and self.winners[v][0] <= entry.upto:
                        self.revoked.append((segment.n, self.winners.pop(v)[1]))
            case Run():
                facts = self._run(entry.id)
                facts.started, facts.runner = entry.started, segment.runner
            case Ended():
                facts, needs = self._run(entry.run), Needs.of(encode(entry))
                facts.ended, facts.nodes = True, entry.nodes
                facts.needs.named |= needs.named
                facts.needs.opened |= needs.opened
            case Keep():
                self._run(entry.run).kept = True
            case Drop():
                self._run(entry.run).kept = False
            case _:
                pass


class Reach:
    """Follows references from entries through objects."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._memo: dict[str, Needs] = {}

    def objects(self, roots: Iterable[Needs]) -> set[str]:
        """Return all objects that these need, directly or not."""
        found: set[str] = set()
        queue: list[str] = []
        for needs in roots:
            found |= needs.named
            queue += needs.opened
        done: set[str] = set()
        while queue:
            digest = queue.pop()
            if digest in done:
                continue
            done.add(digest)
            inner = self._inside(digest)
            found |= inner.named
            queue += inner.opened - done
        return found

    def versions(self, facts: RunFacts) -> set[str]:
        """Return all versions that a run names, those it only found included."""
        if facts.nodes is None:
            return facts.versions
        try:
            listed = json.loads(zlib.decompress(self._store.objects.read(facts.nodes)))
        except (StoreError, ValueError, zlib.error):
            return facts.versions  # a lost object is told by `emsctl check`
        return facts.versions | {row[2] for row in listed["nodes"] if row[2]}

    def _inside(self, digest: str) -> Needs:
        found = self._memo.get(digest)
        if found is None:
            try:
                text = self._store.objects.read(digest)
            except StoreError:
                text = b""
            found = Needs.of(text)
            # a folder's listing and a spec name objects that name no others
            found.opened = {d for d in found.opened if d != digest}
            self._memo[digest] = found
        return found


def read_log(store: Store) -> History:
    """Return the history of a store."""
    history = History()
    for segments in store.log.all():
        history.read(segments)
    return history
