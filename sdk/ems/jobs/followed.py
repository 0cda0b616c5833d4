"""One submitted job as this process follows it: which try counts, and how much of it was told.

Knows records and handles. Asks nobody.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass, field

from ems.compute.job import Handle
from ems.compute.machine import CAPABILITIES as HERE
from ems.jobs.lines import Stream
from ems.jobs.types import JobHandle
from ems.store.jobs import End, Entry, Ledger
from ems.store.leases import running, start_of

JOIN = "+"
"""Stands between the targets of a gang's roles."""


@dataclass
class Followed:
    """One job as this process follows it; `streams` are those of a gang's members, by rank."""

    ref: JobHandle
    ledger: Ledger
    index: int
    attempt: int = 0
    handle: Handle | None = None
    foreign: bool = False
    """Another process runs it, and only that process can be asked."""
    told: bool = False
    """Whether it is written down that its place has this attempt."""
    end: End | None = None
    stream: Stream = field(default_factory=Stream)
    streams: dict[int, Stream] = field(default_factory=dict[int, Stream])
    said: tuple[object, ...] = ()
    said_at: float = 0.0
    since: float | None = None

    @property
    def entry(self) -> Entry:
        """Return the job's record."""
        return self.ledger.submission.jobs[self.index]

    @property
    def key(self) -> tuple[int, int]:
        """Return what the try that counts is called in the ledger."""
        return self.index, self.attempt

    @property
    def is_gang(self) -> bool:
        """Whether it is a gang."""
        return bool(self.entry.spec.get("roles"))

    @property
    def is_here(self) -> bool:
        """Whether it ends with the process that runs it, or a part of it does."""
        seats = self.ledger.seats.get(self.key)
        if seats:
            return any(map(ends_here, seats))
        return ends_here(self.ref.target) and not self.entry.apart

    def stream_of(self, rank: int) -> Stream:
        """Return the output of a member."""
        return self.streams.setdefault(rank, Stream())

    def go_on(self, attempt: int) -> None:
        """Follow another try from now on."""
        self.attempt, self.handle, self.told, self.since = attempt, None, False, None
        self.stream, self.streams = Stream(), {}

    def is_foreign(self) -> bool:
        """Whether only the process that submitted it can be asked about it.

        A gang that lost its process goes on as far as it is elsewhere: whoever comes ends that.
        """
        if not self.is_here or is_own(self.ledger):
            return False
        elsewhere = any(not ends_here(seat) for seat in self.ledger.seats.get(self.key, ()))
        return not (elsewhere and is_gone(self.ledger))


def ends_here(target: str) -> bool:
    """Whether jobs of a target, or of one of several, end with the process that runs them."""
    return any(word in HERE.targets for word in target.split(JOIN))


def is_own(ledger: Ledger) -> bool:
    """Whether this very process submitted them."""
    submission = ledger.submission
    own = (socket.gethostname(), os.getpid(), start_of(os.getpid()))
    return (submission.host, submission.pid, submission.born) == own


def is_gone(ledger: Ledger) -> bool:
    """Whether the process that submitted jobs has ended, as far as can be seen from here."""
    submission = ledger.submission
    return submission.host == socket.gethostname() and not running(submission.pid, submission.born)
