"""Which job of Batch is which order's: remembered here, and found again by what Batch itself keeps.

A job alone has its order's id for a name. An array is found by how its name begins, and whose jobs
it holds stands in its list at the place, written before it was submitted. So a process that was
killed between a call and its answer submits nothing twice. Batch may take a moment until a new job
appears in its lists; for that long another process can't know of it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from ems.compute.batch.calls import BatchCalls
from ems.compute.batch.states import STATES
from ems.compute.batch.submissions import ARRAY, list_path, name_of
from ems.compute.job import JobState
from ems.compute.remote.site import Look, Site

_BY_NAME = 5
"""So many jobs are asked for one by one; for more, all of the queue that EMS made are listed."""
_OURS = "ems-"
_OVER = (JobState.SUCCEEDED, JobState.FAILED)


class Track(NamedTuple):
    """A job in Batch: alone, or one of an array by its place there."""

    job: str
    place: int | None = None

    @property
    def id(self) -> str:
        """What Batch knows the job itself by."""
        return self.job if self.place is None else f"{self.job}:{self.place}"


class Tracks:
    """The jobs in some queues; may be used by several threads."""

    def __init__(self, calls: BatchCalls, queues: Sequence[str], site: Site) -> None:
        self._calls, self._queues, self._site = calls, queues, site
        self._known: dict[str, Track] = {}
        self._arrays: dict[str, tuple[str, ...]] = {}
        self._over: set[str] = set()
        self._lock = threading.Lock()

    def note(
        self, job: str, ids: Sequence[str], *, array: bool, known: frozenset[str] = frozenset()
    ) -> None:
        """Remember whose a job is, or whose the jobs of an array are; of `known` ones more is."""
        with self._lock:
            if array:
                self._arrays[job] = tuple(ids)
            for at, id in enumerate(ids):
                if id not in known:
                    self._known[id] = Track(job, at if array else None)
                    self._over.discard(id)

    def members(self, job: str) -> tuple[str, ...]:
        """Return the ids of the jobs in an array, by index."""
        with self._lock:
            return self._arrays.get(job, ())

    def known(self, ids: Iterable[str]) -> dict[str, Track]:
        """Return what is remembered of these orders, without asking."""
        with self._lock:
            return {id: self._known[id] for id in ids if id in self._known}

    def find(self, ids: Sequence[str]) -> Mapping[str, Track]:
        """Return the job of each order that has one; Batch is asked for those not remembered."""
        unknown = set(ids) - self.known(ids).keys()
        if unknown:
            for queue in self._queues:
                self._look_in(queue, unknown)
        return self.known(ids)

    def _look_in(self, queue: str, unknown: set[str]) -> None:
        if len(unknown) <= _BY_NAME:
            names = [*sorted(unknown), f"{ARRAY}*"]
        else:
            names = [f"{_OURS}*"]
        listed = (each for name in names for each in self._calls.jobs_named(queue, name))
        found = {each["jobId"]: each for each in listed}
        with self._lock:
            known = frozenset(self._known)
        # what was submitted last goes last, so that it counts
        for job, told in sorted(found.items(), key=lambda one: one[1].get("createdAt") or 0):
            name, over = told["jobName"], STATES.get(told.get("status") or "") in _OVER
            ids: tuple[str, ...] = ()
            if not name.startswith(ARRAY):
                if name in unknown:
                    ids = (name,)
                    self.note(job, ids, array=False, known=known)
            elif job not in self._arrays:
                data = self._site.read(list_path(name)) or b""  # gone with its last job
                ids = tuple(data.decode().split())
                self.note(job, ids, array=True, known=known)
            if over and ids:
                with self._lock:
                    self._over |= set(ids) - known
        unknown -= self.known(unknown).keys()

    def forgotten(self, ids: Sequence[str]) -> set[str]:
        """Return those that were over when they were found, and have nothing left at the place.

        They never ran, or all that is known of them was removed: they may be started again.
        """
        with self._lock:
            asked = [id for id in ids if id in self._over and id in self._known]
        if not asked:
            return set()
        seen = self._site.look([Look(id, 0, 0) for id in asked])
        pairs = zip(asked, seen, strict=True)
        return {id for id, what in pairs if not (what.events or what.output)}

    def forget(self, ids: Iterable[str]) -> None:
        """Let go of what is remembered of these orders; an array's list goes with its last one."""
        with self._lock:
            gone = [track for id in ids if (track := self._known.pop(id, None))]
            arrays = {track.job for track in gone if track.place is not None}
            over = {
                job: self._arrays[job]
                for job in arrays
                if not any(id in self._known for id in self._arrays[job])
            }
            self._arrays |= dict.fromkeys(over, ())
        if over:
            self._site.remove([f"jobs/{name_of(ids)}" for ids in over.values()])
