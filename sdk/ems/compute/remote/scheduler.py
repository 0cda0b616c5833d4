"""What starts jobs at a place, in the scheduler's own words turned into EMS's.

A scheduler is command builders and parsers, with a table of native states that cites its source.
It never loops, sleeps or retries: `SpoolBackend` does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from ems.compute.backend import Capabilities, Room
from ems.compute.remote.order import Native, Order, Refused


class Scheduler(Protocol):
    """All methods block; they raise Unreachable where nobody answers, else PlaceError.

    A job is known by its order's `id` throughout; a scheduler that gives ids of its own finds its
    way from one to the other by what it wrote at the place or by the job's name.
    """

    kind: str
    """The word for the kind of place: `ssh`, `slurm`, …"""
    capabilities: Capabilities

    def start(self, orders: Sequence[Order]) -> list[Refused | None]:
        """Hand jobs over, in order; None for each that was taken.

        Idempotent: a job of that id which is there already, or has ended, is not started again.
        Those that differ in little but their id may be handed over as one array.
        """
        ...

    def look(self, ids: Sequence[str]) -> Mapping[str, Native]:
        """Return what is known of each job; one that nobody knows any more is left out.

        One request for hundreds.
        """
        ...

    def stop(self, ids: Sequence[str], grace_s: float) -> None:
        """End jobs: waiting ones at once, running ones by SIGTERM and SIGKILL after the grace."""
        ...

    def forget(self, ids: Sequence[str]) -> None:
        """Let go of what the scheduler keeps of ended jobs, where that is ours to remove."""
        ...

    def room(self) -> Room:
        """Return what could start now."""
        ...

    def version(self) -> str:
        """Return what answers, for people: `slurm 22.05.8`; the check of a place asks it."""
        ...

    def close(self) -> None:
        """Let go of connections; jobs go on."""
        ...
