"""Packing ready versions into parcels: one for long tasks, many together for short ones.

Pure. A parcel is to take so long that handing it over costs little beside it, and no longer: a few
hundredths of a second for this machine, some seconds for a cluster. How long a task takes is
learned as results come in.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable

MOST_VERSIONS = 64
MOST_CHARACTERS = 256 * 1024
_WEIGHT = 0.25
SCOUTS = 64
"""Where handing over is dear, so many go alone before it is known how long a task takes."""
SCOUTS_S = 30.0
"""A task that has not ended after so long is worth a parcel of its own."""


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

    def versions(self, parcel_s: float) -> int:
        """Return how many versions make a parcel that is to take so long."""
        if self.seconds == 0.0:
            return 1
        return max(1, min(MOST_VERSIONS, int(parcel_s / self.seconds)))


class Lane:
    """Ready versions that may travel together, first come first served."""

    __slots__ = ("began", "pace", "scouts", "waiting")

    def __init__(self) -> None:
        self.pace = Pace()
        self.scouts = 0
        self.began = 0.0
        self.waiting: deque[int] = deque()

    def rests(self, parcel_s: float, now: float) -> bool:
        """Whether nothing goes before it is known how long the first ones take."""
        if self.pace.seconds or parcel_s < 1.0:
            return False
        if self.scouts == 0:
            self.began = now
        return self.scouts >= SCOUTS and now - self.began < SCOUTS_S


class Lanes:
    """All ready versions by what they must have in common, which is their task."""

    def __init__(self) -> None:
        self._lanes: dict[Hashable, Lane] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __contains__(self, key: Hashable) -> bool:
        return key in self._lanes

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

    def take(
        self, slots: int, parcel_s: float, now: float = 0.0
    ) -> tuple[Hashable, list[int]] | None:
        """Return the next parcel's key and versions: of the lane whose head was written first.

        It is to take `parcel_s`. Never more than an even share of the lane among `slots`, so that
        all have work to the end.
        """
        best: tuple[int, Hashable] | None = None
        for key, lane in self._lanes.items():
            first = bool(lane.waiting) and (best is None or lane.waiting[0] < best[0])
            if first and not lane.rests(parcel_s, now):
                best = (lane.waiting[0], key)
        if best is None:
            return None
        lane = self._lanes[best[1]]
        share = -(-len(lane.waiting) // max(1, slots))
        count = min(lane.pace.versions(parcel_s), share)
        taken = [lane.waiting.popleft() for _ in range(count)]
        lane.scouts += 1
        self._count -= count
        return best[1], taken

    def clear(self) -> list[int]:
        """Empty all lanes and return what they held."""
        held = [index for lane in self._lanes.values() for index in lane.waiting]
        for lane in self._lanes.values():
            lane.waiting.clear()
        self._count = 0
        return held
