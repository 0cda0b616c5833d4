"""What fits beside what on one machine: pure arithmetic over CPUs, memory, GPUs and slots.

Knows amounts. Does not know jobs, processes or time. CPUs count in thousandths and memory in MiB,
as whole numbers, so that what is taken and given back adds up exactly.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ems.compute.job import Resources
from ems.units import gib_text

MOST_OVERTAKEN = 32
"""How often a job that does not fit may be overtaken by later ones; then they wait for it."""


@dataclass(frozen=True, slots=True)
class Need:
    """What one job takes while it runs."""

    millicpus: int
    mib: int
    gpus: int

    @classmethod
    def of(cls, resources: Resources) -> Need:
        """Return what a job with these resources takes."""
        return cls(
            math.ceil(resources.cpus * 1000),
            math.ceil(resources.memory_gib * 1024),
            resources.gpus,
        )


@dataclass(frozen=True, slots=True)
class Room:
    """What is free, or all there is; `gpus` are ids, `slots` how many more jobs may run."""

    millicpus: int
    mib: int
    gpus: tuple[str, ...]
    slots: int

    def fits(self, need: Need) -> bool:
        """Whether the need can be met now."""
        return (
            self.slots > 0
            and need.millicpus <= self.millicpus
            and need.mib <= self.mib
            and need.gpus <= len(self.gpus)
        )

    def take(self, need: Need) -> tuple[Room, tuple[str, ...]]:
        """Return what is left, and the GPU ids that were taken (the first ones)."""
        taken, left = self.gpus[: need.gpus], self.gpus[need.gpus :]
        room = Room(self.millicpus - need.millicpus, self.mib - need.mib, left, self.slots - 1)
        return room, taken

    def give_back(self, need: Need, gpus: Sequence[str]) -> Room:
        """Return what is free once a job is over; GPU ids come back in order."""
        ids = tuple(sorted((*self.gpus, *gpus), key=lambda each: (len(each), each)))
        return Room(self.millicpus + need.millicpus, self.mib + need.mib, ids, self.slots + 1)

    def lacks(self, need: Need) -> list[str]:
        """Return a phrase for each amount that this room can never give; [] if it can."""
        found: list[str] = []
        if need.millicpus > self.millicpus:
            found.append(f"{need.millicpus / 1000:g} CPUs (there are {self.millicpus / 1000:g})")
        if need.mib > self.mib:
            found.append(
                f"{gib_text(need.mib / 1024)} of memory (there are {gib_text(self.mib / 1024)})"
            )
        if need.gpus > len(self.gpus):
            found.append(f"{need.gpus} GPUs (there are {len(self.gpus)})")
        return found


def choose(room: Room, heads: Sequence[Need], overtaken: Sequence[int]) -> int | None:
    """Return which of the oldest jobs of each kind starts next, or None.

    `heads` are in order of age. One that does not fit lets later ones pass, `MOST_OVERTAKEN` times.
    """
    for at, need in enumerate(heads):
        if room.fits(need):
            return at
        if overtaken[at] >= MOST_OVERTAKEN:
            return None
    return None
