"""The broker: many places as one backend; each job goes to the first target of its own that can.

A job's `on` are targets in the order of preference; `auto` stands for all of them, this machine
first. Where none can start a job now it waits here, and goes to the one that can first: a full
cluster spills over to the next place. Prices are not looked at yet. Knows backends by their
interface, and no kind of place.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from typing import NamedTuple

from ems.compute import gangs
from ems.compute.backend import ANYWHERE, Backend, Capabilities, Room
from ems.compute.job import Handle, Job, JobState, JobStatus, Reason, Resources
from ems.errors import EmsError, UsageError, did_you_mean

Opening = Callable[[], Sequence[Backend]]
Tell = Callable[[Sequence[tuple[Handle, Job]]], None]
"""Hears which jobs are about to be handed to places that outlive this process, before they are."""
_SLICE_S = 0.1
"""How long one of several places is waited for before the others are asked."""


class Ahead(NamedTuple):
    """How a run's work is handed over ahead of time.

    `slots` is about how many parcels run at once: none is larger than its share among them. One is
    to take `parcel_s` seconds, and at most `most` are handed over and have not ended.
    """

    slots: int
    parcel_s: float
    most: int


QUICK_S = 0.03
"""Seconds of work in a parcel for this machine, where handing one over costs next to nothing."""
FAR = Ahead(500, 20.0, 1000)
"""For a place with a queue of its own: a job costs seconds there, and many may wait."""


class Broker:
    """Targets by name; each is opened when the first job goes there.

    `default` is for jobs that name no target. `tell` hears of jobs before a place that outlives
    this process gets them.
    """

    name = "broker"
    capabilities = Capabilities(durable=False)

    def __init__(
        self,
        targets: Mapping[str, Opening],
        default: Sequence[str],
        tell: Tell = lambda _: None,
    ) -> None:
        self._targets = targets
        self._default = tuple(default)
        self._tell = tell
        self._open: dict[str, Sequence[Backend]] = {}
        self._places: dict[str, Backend] = {}
        self._held: deque[tuple[Handle, Job]] = deque()
        self._moved: dict[str, Handle] = {}
        """Handles that were given out here, with what they stand for since."""
        self._ended: dict[str, JobStatus] = {}
        self._assembling: dict[str, list[Handle]] = {}
        """Members of gangs that were handed over and have not met yet."""
        self._any_live = False
        """Whether something ran or waited at a place when it was asked last."""
        self._count = count(1)

    # -- choosing ---------------------------------------------------------------------------------

    def choices(self, on: Sequence[str]) -> tuple[str, ...]:
        """Return the targets that a job may go to, in order; raises UsageError for unknown ones."""
        return choices(on or self._default, self._targets)

    def _backends(self, target: str) -> Sequence[Backend]:
        found = self._open.get(target)
        if found is None:
            found = self._open[target] = self._targets[target]()
            self._places.update({each.name: each for each in found})
        return found

    def _choose(self, job: Job) -> Backend | str:
        """Return the place for a job, or why each that it may go to can't start it now."""
        may = [place for target in self.choices(job.on) for place in self._backends(target)]
        if len(may) == 1:
            return may[0]
        reasons: list[str] = []
        for place in may:
            why = place.fits(job)
            if not why:
                return place
            reasons.append(f"{place.name}: {why}")
        if all(_never(place, job) for place in may):
            return may[0]  # which says why, once and for all
        return "; ".join(reasons)

    def seats(self, jobs: Sequence[Job], *, apart: bool = False) -> gangs.Seating:
        """Return a place for each member of a gang, where all fit at once, or why there is none.

        Submitted with that place's name as its `on`, a member goes there. `apart`: only places
        that outlive this process are good enough.
        """

        def may(job: Job) -> list[Backend]:
            on = () if job.on == (ANYWHERE,) else job.on  # without a word it is the default's
            found = [each for word in self.choices(on) for each in self._backends(word)]
            return [each for each in found if each.capabilities.durable or not apart]

        if homeless := next((job for job in jobs if not may(job)), None):
            where = " or ".join(homeless.on or self._default)
            why = f"{homeless.name} may go to {where} alone, which ends with this process"
            return gangs.Seating(why=why, never=True)
        asked = {each.name: each for job in jobs for each in may(job)}
        for name, each in asked.items():
            room = each.room()
            if not room.asked and not room.why:
                return gangs.Seating(why=f"{name} is asked what is free there", asking=True)
        busy = {at.backend for handles in self._assembling.values() for at in handles}
        return gangs.seat(jobs, may, busy)

    def ahead(self, on: Sequence[str]) -> Ahead:
        """Return how much to hand over to targets elsewhere, by the CPUs that they tell of."""
        rooms = [place.room() for target in self.choices(on) for place in self._backends(target)]
        totals = [room.total for room in rooms]
        known = [total for total in totals if total is not None]
        return FAR if len(known) < len(totals) else FAR._replace(slots=max(1, int(sum(known))))

    # -- the interface ----------------------------------------------------------------------------

    def submit(self, jobs: Sequence[Job]) -> list[Handle]:
        """Take jobs over; those that no place can start now wait here."""
        handles: list[Handle] = []
        for job in jobs:
            held = Handle(self.name, f"waiting-{next(self._count)}", "", time.time())
            handles.append(held)
            if job.member is None:
                self._held.append((held, job))
        self._hand_over_members(list(zip(handles, jobs, strict=True)))
        self._place_what_can()
        return [self._moved.get(handle.native, handle) for handle in handles]

    def _place_what_can(self) -> None:
        going: dict[str, list[tuple[Handle, Job]]] = {}
        staying: deque[tuple[Handle, Job]] = deque()
        full: set[tuple[tuple[str, ...], Resources]] = set()
        for held, job in self._held:
            on = job.on or self._default
            if len(on) > 1 or ANYWHERE in on:
                self._send(going)  # so that what is free is known
            try:
                place = "" if (job.on, job.resources) in full else self._choose(job)
            except EmsError as error:
                detail = f"{error.subject} {error.problem}"
                ended, reason = JobState.FAILED, Reason.IMPOSSIBLE
                self._ended[held.native] = JobStatus(held, ended, reason, detail=detail)
                continue
            if isinstance(place, str):
                full.add((job.on, job.resources))
                staying.append((held, job))
            else:
                going.setdefault(place.name, []).append((held, job))
        self._held = staying
        self._send(going)

    def _send(self, going: dict[str, list[tuple[Handle, Job]]]) -> None:
        for name, some in going.items():
            self._hand_over(self._places[name], some)
        going.clear()

    def _hand_over_members(self, some: Sequence[tuple[Handle, Job]]) -> None:
        """Hand members of gangs to the places that they were given, those of one place at once."""
        by_place: dict[str, list[tuple[Handle, Job]]] = {}
        for held, job in some:
            if job.member is not None:
                by_place.setdefault(job.on[0], []).append((held, job))
        for name, those in by_place.items():
            place = self._place_of(Handle(name, ""))
            if place is not None:
                self._hand_over(place, those)
                for held, job in those:
                    gang = job.member.gang if job.member is not None else ""
                    self._assembling.setdefault(gang, []).append(self.now(held))
                continue
            detail = nowhere(name)
            for held, _ in those:
                ended, reason = JobState.FAILED, Reason.IMPOSSIBLE
                self._ended[held.native] = JobStatus(held, ended, reason, detail=detail)

    def _assembled(self, handles: Sequence[Handle]) -> None:
        """Take note that gangs have met, or will not: their places are open to the next one."""
        gone = set(map(self.now, handles))
        for gang, members in list(self._assembling.items()):
            if not gone.isdisjoint(members):
                del self._assembling[gang]

    def _hand_over(self, place: Backend, some: Sequence[tuple[Handle, Job]]) -> None:
        jobs = [job._replace(on=()) for _, job in some]
        self._any_live = True
        if place.capabilities.durable:
            self._tell([(place.handle_of(job), job) for job in jobs])
        for (held, _), handle in zip(some, place.submit(jobs), strict=True):
            self._moved[held.native] = handle

    def handle_of(self, job: Job) -> Handle:
        """Return what a job will be known by; a job that waits here has no name yet."""
        return Handle(self.name, job.key)

    def fits(self, job: Job) -> str:
        """Return nothing where a place could start a job now, else why each can't."""
        place = self._choose(job)
        return place if isinstance(place, str) else ""

    def room(self) -> Room:
        """Return nothing: each target has its own."""
        return Room()

    def now(self, handle: Handle) -> Handle:
        """Return the handle at its place, once it has one."""
        return self._moved.get(handle.native, handle) if handle.backend == self.name else handle

    def _place_of(self, handle: Handle) -> Backend | None:
        """Return the place that a handle of any process names; opened if it must be."""
        found = self._places.get(handle.backend)
        target = handle.backend.partition("/")[0]
        if found is None and target in self._targets:
            self._backends(target)
            found = self._places.get(handle.backend)
        return found

    def knows(self, handle: Handle) -> bool:
        """Return whether a handle names a place that is there."""
        return self._place_of(self.now(handle)) is not None

    def has(self, name: str) -> bool:
        """Return whether a target, or a place of one, is there."""
        return name in self._targets or self._place_of(Handle(name, "")) is not None

    def lasts(self, handle: Handle) -> bool:
        """Return whether a job goes on when this process has ended."""
        place = self._place_of(self.now(handle))
        return place is not None and place.capabilities.durable

    def poll(self, handles: Sequence[Handle]) -> list[JobStatus]:
        """Return the status of each handle, in order; a place is asked once for all of its own.

        A place that is not known here decides nothing: somebody else may know it.
        """
        if self._held:
            self._place_what_can()
        asked: dict[str, list[Handle]] = {}
        real = [self.now(handle) for handle in handles]
        for handle in real:
            asked.setdefault(handle.backend, []).append(handle)
        found: dict[Handle, JobStatus] = {}
        for some in asked.values():
            place = self._place_of(some[0])
            if place is not None:
                found.update(zip(some, place.poll(some), strict=True))
        self._any_live = any(not status.state.ended for status in found.values())
        return [
            (found.get(at) or self._unplaced(handle))._replace(handle=handle)
            for handle, at in zip(handles, real, strict=True)
        ]

    def _unplaced(self, handle: Handle) -> JobStatus:
        if handle.backend != self.name:
            return JobStatus(handle, JobState.SUBMITTED, detail=nowhere(handle.backend))
        if handle.native in self._ended:
            return self._ended[handle.native]
        if any(held.native == handle.native for held, _ in self._held):
            return JobStatus(handle, JobState.SUBMITTED)
        detail = "was forgotten, or waited in another process"
        return JobStatus(handle, JobState.FAILED, Reason.LOST, detail=detail)

    def events(self, handle: Handle, since: int) -> tuple[list[bytes], int]:
        """Return raw worker messages from cursor `since`, and the next cursor."""
        place = self._place_of(self.now(handle))
        return place.events(self.now(handle), since) if place else ([], since)

    def logs(self, handle: Handle, since: int, until: int | None = None) -> tuple[bytes, int]:
        """Return output from offset `since` (to `until`), and the next offset."""
        place = self._place_of(self.now(handle))
        return place.logs(self.now(handle), since, until) if place else (b"", since)

    def handed(self, handles: Sequence[Handle]) -> list[bool]:
        """Return whether a place has each job, as far as it has answered by now.

        So it is with a job at a place that is not known here: nobody will answer.
        """
        there: dict[Handle, bool] = {}
        for place, some in self._by_place(handles):
            there.update(zip(some, place.handed(some), strict=True))
        real = map(self.now, handles)
        return [there.get(at, at.backend != self.name and not self.knows(at)) for at in real]

    def waiting(self, handle: Handle) -> str:
        """Return why a job does not run yet, where that is known."""
        for held, job in self._held:
            if held.native == handle.native:
                return self.fits(job)
        now = self.now(handle)
        place = self._place_of(now)
        if place is None:
            return nowhere(now.backend) if now.backend != self.name else ""
        return place.waiting(now)

    def cancel(self, handles: Sequence[Handle], grace_s: float) -> None:
        """End jobs: those that wait here at once."""
        self._assembled(handles)
        gone = {handle.native for handle in handles if handle.backend == self.name}
        for held, _ in [each for each in self._held if each[0].native in gone]:
            detail = "was canceled before it started"
            state, reason = JobState.CANCELED, Reason.CANCELED
            self._ended[held.native] = JobStatus(held, state, reason, detail=detail)
        self._held = deque(each for each in self._held if each[0].native not in gone)
        for place, some in self._by_place(handles):
            place.cancel(some, grace_s)

    def brief(self, handles: Sequence[Handle], data: bytes) -> None:
        """Tell members of a gang of each other, wherever they are."""
        self._assembled(handles)
        for place, some in self._by_place(handles):
            place.brief(some, data)

    def forget(self, handles: Sequence[Handle]) -> None:
        """Let go of ended jobs."""
        self._assembled(handles)
        for place, some in self._by_place(handles):
            place.forget(some)
        for handle in handles:
            self._moved.pop(handle.native, None)
            self._ended.pop(handle.native, None)

    def _by_place(self, handles: Sequence[Handle]) -> list[tuple[Backend, list[Handle]]]:
        found: dict[str, list[Handle]] = {}
        for handle in map(self.now, handles):
            found.setdefault(handle.backend, []).append(handle)
        return [(place, some) for some in found.values() if (place := self._place_of(some[0]))]

    def wait(self, timeout_s: float) -> None:
        """Return when something may have changed, at the latest after `timeout_s`."""
        places = list(self._places.values())
        if self._held:
            timeout_s = min(timeout_s, _SLICE_S)
        until = time.monotonic() + (min(timeout_s, _SLICE_S) if places else timeout_s)
        if len(places) == 1:
            places[0].wait(timeout_s)
        else:
            for place in places:
                place.wait(min(timeout_s, _SLICE_S) / len(places))
        if not self._any_live:  # those places return at once
            time.sleep(max(0.0, until - time.monotonic()))

    def close(self) -> None:
        """End what runs on this machine; jobs elsewhere go on."""
        for place in self._places.values():
            place.close()


def nowhere(name: str) -> str:
    """Return what is said of a place that is not known here."""
    return f"no target here is called {name.partition('/')[0]}"


def _never(place: Backend, job: Job) -> bool:
    """Return whether a place, as it is, could not start a job were it empty."""
    total = place.room().total
    if job.resources.gpus and not place.capabilities.gpus:
        return True
    return total is not None and total < job.resources.cpus


def choices(on: Sequence[str], targets: Mapping[str, object]) -> tuple[str, ...]:
    """Return the targets that words of `on=` stand for, in order, each once.

    In a list, those that are not there are passed by: a colleague may have them. Raises UsageError
    where none is.
    """
    found: dict[str, None] = {}
    for word in on:
        if word == ANYWHERE:
            found.update(dict.fromkeys(targets))
        elif word in targets:
            found[word] = None
    if found:
        return tuple(found)
    words = " or ".join(map(repr, on))
    near = did_you_mean(on[0], list(targets))
    allowed = ", ".join(map(repr, [*targets, ANYWHERE]))
    problem = f"names no place that is there{near} (allowed here: {allowed})"
    raise UsageError(f"on={words}", problem, "`targets:` in .ems.yaml, or no on=")
