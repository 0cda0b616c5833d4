"""Packing ready versions into parcels: one for long tasks, many together for short ones.

Pure. A parcel is to take a few hundredths of a second, so that handing it over costs little beside
it and nobody waits behind a full one. How long a task takes is learned as results come in.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable

PARCEL_SECONDS = 0.03
MOST_VERSIONS = 64
MOST_CHARACTERS = 256 * 1024
_WEIGHT = 0.25


class Pace:
    """Seconds that a version of one task takes at its worker; 0 while nothing is known."""

    __slots__ = ("seconds",)

    def __init__(self) -> None:
        self.seconds = 0.0

    def learn(self, seconds: float) -> None:
        """Take in one more measurement."""
        if self.seconds == 0.0:
            self.seconds = max(seconds, 1e-6)
        else:
            self.seconds += _WEIGHT * (max(seconds, 1e-6) - self.seconds)

    def versions(self) -> int:
        """Return how many versions make a parcel."""
        if self.seconds == 0.0:
            return 1
        return max(1, min(MOST_VERSIONS, int(PARCEL_SECONDS / self.seconds)))


class Lane:
    """Ready versions that may travel together, first come first served."""

    __slots__ = ("pace", "waiting")

    def __init__(self) -> None:
        self.pace = Pace()
        self.waiting: deque[int] = deque()


class Lanes:
    """All ready versions by what they must have in common, which is their task."""

    def __init__(self) -> None:
        self._lanes: dict[Hashable, Lane] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, key: Hashable, index: int, *, first: bool = False) -> None:
        """Queue a version; `first` puts it at the head, as for a retry."""
        waiting = self.lane(key).waiting
        if first:
            waiting.appendleft(index)
        else:
            waiting.append(index)
        self._count += 1

    def lane(self, key: Hashable) -> Lane:
        """Return the lane of a key, an empty one if it is new."""
        found = self._lanes.get(key)
        if found is None:
            found = self._lanes[key] = Lane()
        return found

    def take(self, slots: int) -> tuple[Hashable, list[int]] | None:
        """Return the next parcel's key and versions: of the lane whose head was written first.

        Never more than an even share of the lane among `slots`, so that all have work to the end.
        """
        best: tuple[int, Hashable] | None = None
        for key, lane in self._lanes.items():
            if lane.waiting and (best is None or lane.waiting[0] < best[0]):
                best = (lane.waiting[0], key)
        if best is None:
            return None
        lane = self._lanes[best[1]]
        share = -(-len(lane.waiting) // max(1, slots))
        count = min(lane.pace.versions(), share)
        taken = [lane.waiting.popleft() for _ in range(count)]
        self._count -= count
        return best[1], taken

    def clear(self) -> list[int]:
        """Empty all lanes and return what they held."""
        held = [index for lane in self._lanes.values() for index in lane.waiting]
        for lane in self._lanes.values():
            lane.waiting.clear()
        self._count = 0
        return held
