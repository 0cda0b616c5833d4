"""Where the members of a gang go: all of them at once, or none yet.

`plan` is pure: needs, places in order, and a question that tells whether so much fits at a place.
`seat` asks backends that question, which answer from memory. Starts nothing and waits for nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Sequence
from typing import NamedTuple

from ems.compute.backend import Backend
from ems.compute.job import Job, Resources

Fits = Callable[[str, Resources], bool]
"""Whether a place has room for so much at once; never true for more where it is not for less."""
_MOST_QUESTIONS = 20_000


class Part(NamedTuple):
    """What one member needs, and the places that it may go to, the preferred one first."""

    need: Resources
    places: tuple[str, ...]


class Planned(NamedTuple):
    """A place for each part, in order; none where they don't all fit. `sure`: nothing was left
    untried."""

    seats: tuple[str, ...] | None
    sure: bool = True


class Seating(NamedTuple):
    """A place for each member, or why there is none now; `never`: there never will be.

    `asking`: a place has not said yet what is free there.
    """

    seats: tuple[str, ...] = ()
    why: str = ""
    never: bool = False
    asking: bool = False


def plan(parts: Sequence[Part], fits: Fits, most: int = _MOST_QUESTIONS) -> Planned:
    """Return a place for each part so that all fit together.

    As many of those that are alike as can be go to the place that they prefer; less only where
    the others would not fit then. Those with the fewest places are placed first.
    """
    kinds: dict[Part, list[int]] = {}
    for at, part in enumerate(parts):
        kinds.setdefault(part, []).append(at)
    order = sorted(kinds, key=lambda kind: (len(kind.places), -kind.need.gpus, -kind.need.cpus))
    search = _Search([(kind, len(kinds[kind])) for kind in order], fits, most)
    if not search.alone():
        return Planned(None)
    counts = search.find(0, {})
    if counts is None:
        return Planned(None, not search.spent)
    seats = [""] * len(parts)
    for kind, split in zip(order, counts, strict=True):
        filled = [place for place, n in zip(kind.places, split, strict=True) for _ in range(n)]
        for at, place in zip(kinds[kind], filled, strict=True):
            seats[at] = place
    return Planned(tuple(seats))


Split = tuple[int, ...]
"""How many of one kind go to each of its places."""


class _Search:
    """Goes through splits of each kind over its places, the preferred ones first."""

    def __init__(self, kinds: Sequence[tuple[Part, int]], fits: Fits, most: int) -> None:
        self._kinds, self._fits, self._left = kinds, fits, most

    @property
    def spent(self) -> bool:
        """Whether it gave up."""
        return self._left <= 0

    def alone(self) -> bool:
        """Whether each kind would fit if the others were not there."""
        return all(
            sum(self._most(part._replace(places=(place,)), {}, count) for place in part.places)
            >= count
            for part, count in self._kinds
        )

    def find(self, at: int, loads: dict[str, Resources]) -> list[Split] | None:
        if at == len(self._kinds):
            return []
        part, count = self._kinds[at]
        for split in self._splits(part, count, loads):
            then = dict(loads)
            for place, n in zip(part.places, split, strict=True):
                if n:
                    then[place] = total(then.get(place), part.need, n)
            rest = self.find(at + 1, then)
            if rest is not None:
                return [split, *rest]
            if self.spent:
                return None
        return None

    def _splits(self, part: Part, count: int, loads: dict[str, Resources]) -> Iterator[Split]:
        if not part.places:
            return
        if len(part.places) == 1:
            if self._most(part, loads, count) == count:
                yield (count,)
            return
        for first in range(self._most(part, loads, count), -1, -1):
            rest = part._replace(places=part.places[1:])
            for others in self._splits(rest, count - first, loads):
                yield (first, *others)
            if self.spent:
                return

    def _most(self, part: Part, loads: dict[str, Resources], count: int) -> int:
        """Return how many, up to `count`, fit at the first place beside what is there."""
        place = part.places[0]
        low, high = 0, count
        while low < high:
            half = (low + high + 1) // 2
            self._left -= 1
            if self._fits(place, total(loads.get(place), part.need, half)):
                low = half
            else:
                high = half - 1
        return low


def total(load: Resources | None, need: Resources, times: int) -> Resources:
    """Return a load with so many more of a need."""
    base = load or Resources(cpus=0)
    return Resources(
        base.cpus + times * need.cpus,
        base.memory_gib + times * need.memory_gib,
        base.gpus + times * need.gpus,
        need.gpu_kind,
        base.disk_gib + times * need.disk_gib,
    )


def seat(
    jobs: Sequence[Job], may: Callable[[Job], Sequence[Backend]], busy: Container[str] = ()
) -> Seating:
    """Return a place for each of a gang's members, among those that each may go to.

    `busy` are places where another gang has not met yet: one gang at a time assembles at a place,
    so no two of them ever hold what the other one waits for. A place that starts gangs as one gets
    those that may go there alone at once, and they wait in its queue.
    """
    places: dict[str, Backend] = {}
    parts: list[Part] = []
    for job in jobs:
        found = {place.name: place for place in may(job)}
        places |= found
        parts.append(Part(job.resources, tuple(found)))
    can = plan(parts, lambda name, need: _ever(places[name], need))
    if can.seats is None and can.sure:
        return Seating(why=f"{_needs(jobs)} can never run at once on {_all(places)}", never=True)
    if len(places) == 1 and all(place.capabilities.gangs for place in places.values()):
        return Seating(tuple(places) * len(jobs))  # its own queue keeps them together
    free = {
        name: f"another gang assembles there; {name} is next" if name in busy else ""
        for name in places
    }

    def fits(name: str, need: Resources) -> bool:
        return not free[name] and not places[name].fits(Job("gang", resources=need))

    found_now = plan(parts, fits)
    if found_now.seats is not None:
        return Seating(found_now.seats)
    whys = [f"{name}: {free[name] or _why(each)}" for name, each in places.items()]
    return Seating(why=f"waits until {_needs(jobs)} fit at once ({'; '.join(whys)})")


def _ever(place: Backend, need: Resources) -> bool:
    """Whether a place, as it is, could hold so much were it empty; true where nobody knows."""
    if need.gpus and not place.capabilities.gpus:
        return False
    room = place.room()
    return room.total is None or need.cpus <= room.total


def _why(place: Backend) -> str:
    room = place.room()
    if room.why or room.free is None:
        return room.why or "its room is not known"
    gpus = f" and {room.gpus} GPUs" if room.gpus else ""
    return f"{room.free:g} CPUs{gpus} are free"


def _needs(jobs: Sequence[Job]) -> str:
    whole: Resources | None = None
    for job in jobs:
        whole = total(whole, job.resources, 1)
    assert whole is not None
    gpus = f" and {whole.gpus} GPUs" if whole.gpus else ""
    return f"{len(jobs)} members with {whole.cpus:g} CPUs{gpus} together"


def _all(places: Sequence[str] | dict[str, Backend]) -> str:
    return " or ".join(places) or "no place"
