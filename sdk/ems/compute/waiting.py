"""Jobs that wait for room, oldest first, by what they need.

Knows order and needs; how they are packed is `capacity`. Does not know jobs beyond their ids.
"""

from __future__ import annotations

from collections import deque

from ems.compute.capacity import Need, Room, choose


class _Kind:
    """The waiting ids of one need."""

    __slots__ = ("ids", "need", "overtaken")

    def __init__(self, need: Need) -> None:
        self.need = need
        self.ids: deque[tuple[int, str]] = deque()
        self.overtaken = 0


class Waiting:
    """A queue in which a job that does not fit lets smaller ones pass, for a while."""

    def __init__(self) -> None:
        self._kinds: dict[Need, _Kind] = {}
        self._count = 0
        self._gone: set[str] = set()

    def add(self, item: str, need: Need) -> None:
        """Put an id at the end."""
        kind = self._kinds.get(need)
        if kind is None:
            kind = self._kinds[need] = _Kind(need)
        self._count += 1
        kind.ids.append((self._count, item))

    def drop(self, item: str) -> None:
        """Take an id out, wherever it stands."""
        self._gone.add(item)

    def next(self, room: Room) -> str | None:
        """Take out and return the id that starts next in this room, or None."""
        for kind in list(self._kinds.values()):
            while kind.ids and kind.ids[0][1] in self._gone:
                self._gone.discard(kind.ids.popleft()[1])
            if not kind.ids:
                del self._kinds[kind.need]
        kinds = sorted(self._kinds.values(), key=lambda each: each.ids[0][0])
        at = choose(room, [each.need for each in kinds], [each.overtaken for each in kinds])
        if at is None:
            return None
        for passed in kinds[:at]:
            passed.overtaken += 1
        kinds[at].overtaken = 0
        return kinds[at].ids.popleft()[1]
