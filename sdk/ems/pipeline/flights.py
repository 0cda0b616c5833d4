"""Parcels under way: their handles, what is in them, and the messages that come back.

Knows the backend's interface and the worker's messages. Does not know keys, the store or retries.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from ems.compute.backend import LOCAL
from ems.compute.broker import QUICK_S
from ems.compute.job import JobState
from ems.pipeline.observer import Running
from ems.worker.protocol import lost_end

if TYPE_CHECKING:
    from ems.compute.broker import Ahead, Broker, Tell
    from ems.compute.job import Handle, Job, JobStatus

_END = b'{"ev":"end"'
_REPORT = b'{"ev":"report"'
_YOUNG_S = 1.0
"""After a failure nothing new is to start; what waited may have started just before we knew."""


class Places(NamedTuple):
    """What a run is given to run on; each is asked with the targets that a task names.

    `start` makes the broker, and is called when something has to run. `ahead` says how much may be
    handed over ahead of time, `near` whether that may be to this machine.
    """

    start: Callable[[Tell], Broker]
    ahead: Callable[[tuple[str, ...]], Ahead]
    near: Callable[[tuple[str, ...]], bool]


class Flight:
    """One parcel under way; `versions` maps each hex version still to end to its node.

    `calls` are the versions as they stand in the parcel, `on` the targets that it may go to.
    `found` is whether it was handed over by an earlier runner.
    """

    __slots__ = (
        "calls", "cursor", "found", "handle", "on", "running", "shown", "since", "versions",
    )  # fmt: skip

    def __init__(
        self,
        handle: Handle,
        on: tuple[str, ...],
        calls: Sequence[dict[str, Any]],
        versions: dict[str, int],
        *,
        found: bool = False,
    ) -> None:
        self.handle = handle
        self.on = on
        self.calls = calls
        self.versions = versions
        self.found = found
        self.cursor = self.shown = 0
        self.running = False
        self.since = time.monotonic()


class Flights:
    """All parcels of a run that have not ended; `ahead` says how many may be, by their targets."""

    def __init__(self, places: Places, tell: Tell) -> None:
        self._ahead = places.ahead
        self._start = places.start
        self._tell = tell
        self._flights: dict[Handle, Flight] = {}
        self._counts: Counter[tuple[str, ...]] = Counter()

    @cached_property
    def _backend(self) -> Broker:
        """The broker, started when the first parcel needs it: cached runs never do."""
        return self._start(self._tell)

    def close(self) -> None:
        """End the backend, if it was started."""
        if "_backend" in self.__dict__:
            self._backend.close()

    def __len__(self) -> int:
        return len(self._flights)

    def room(self, on: tuple[str, ...]) -> int:
        """Return how many more parcels may be handed over for these targets."""
        return self.ahead(on).most - self._counts[on]

    def ahead(self, on: tuple[str, ...]) -> Ahead:
        """Return how much is handed over ahead of time to these targets, as far as is known."""
        known = self._ahead(on)
        far = known.parcel_s > QUICK_S and "_backend" in self.__dict__
        return self._backend.ahead(on) if far else known

    def submit(self, jobs: Sequence[Job], versions: Sequence[dict[str, int]]) -> None:
        """Hand parcels over."""
        for job, handle, carried in zip(jobs, self._backend.submit(jobs), versions, strict=True):
            payload = cast("dict[str, Any]", job.payload or {})
            self._add(Flight(handle, job.on, payload["versions"], carried))

    def find(
        self,
        handle: Handle,
        on: tuple[str, ...],
        calls: Sequence[dict[str, Any]],
        versions: dict[str, int],
    ) -> bool:
        """Go on with a parcel that an earlier runner handed over; False: no such place is here."""
        if not self._backend.knows(handle):
            return False
        self._add(Flight(handle, on, calls, versions, found=True))
        return True

    def _add(self, flight: Flight) -> None:
        self._flights[flight.handle] = flight
        self._counts[flight.on] += 1

    def _drop(self, flight: Flight) -> None:
        del self._flights[flight.handle]
        self._counts[flight.on] -= 1

    def place(self, flight: Flight) -> str:
        """Return the name of the place where a parcel is; nothing for this machine."""
        name = self._backend.now(flight.handle).backend
        return "" if name == LOCAL else name

    def leave(self) -> None:
        """Let go of parcels at places that outlive this process: the next runner finds them."""
        for flight in list(self._flights.values()):
            if self._backend.lasts(flight.handle):
                self._drop(flight)

    def wait(self, timeout_s: float) -> None:
        """Return when something may have changed; with nothing under way, when the time is over."""
        if self._flights:
            self._backend.wait(timeout_s)
        else:
            time.sleep(timeout_s)

    def messages(self) -> Iterator[tuple[Flight, int, dict[str, Any]]]:
        """Yield (flight, node, message) for each report and end that came; drop ended parcels."""
        flights = list(self._flights.values())
        if not flights:
            return
        statuses = self._backend.poll([flight.handle for flight in flights])
        gone: list[Handle] = []
        for flight, status in zip(flights, statuses, strict=True):
            if status.state is JobState.RUNNING and not flight.running:
                flight.running, flight.since = True, time.monotonic()
            yield from self._read(flight)
            if status.state.ended:
                yield from self._unsaid(flight, status)
                gone.append(flight.handle)
                self._drop(flight)
        if gone:
            self._backend.forget(gone)

    def _read(self, flight: Flight) -> Iterator[tuple[Flight, int, dict[str, Any]]]:
        lines, flight.cursor = self._backend.events(flight.handle, flight.cursor)
        for line in lines:
            if line.startswith(_END):
                message = json.loads(line)
                index = flight.versions.pop(message["v"], None)
                if index is not None:
                    flight.since = time.monotonic()
                    yield flight, index, message
            elif line.startswith(_REPORT):
                message = json.loads(line)
                index = flight.versions.get(message["v"])
                if index is not None:
                    yield flight, index, message

    def _unsaid(
        self, flight: Flight, status: JobStatus
    ) -> Iterator[tuple[Flight, int, dict[str, Any]]]:
        """A parcel ended without a word on some of its versions: say it for the backend."""
        if not flight.versions:
            return
        now = time.time()
        reason = status.reason.value if status.reason is not None else "lost"
        for call in flight.calls:
            index = flight.versions.pop(call["v"], None)
            if index is not None:
                yield (
                    flight,
                    index,
                    lost_end(
                        call, reason, status.detail, now, now, None, status.exit_code, status.signal
                    ),
                )

    def log(self, flight: Flight, span: Sequence[int] | None) -> tuple[str, str]:
        """Return what a version wrote, by the span in its end message, and what of it is unseen."""
        if not span or span[1] <= span[0]:
            return "", ""
        start, end = span
        data, _ = self._backend.logs(flight.handle, start, end)
        seen = max(0, flight.shown - start)
        flight.shown = max(flight.shown, end)
        return _text(data), _text(data[seen:])

    def stream(self) -> Iterator[tuple[int, str]]:
        """Yield (node, text) for what running versions wrote since the last call, whole lines."""
        for flight in self._flights.values():
            if not (flight.running and flight.versions):
                continue
            data, _ = self._backend.logs(flight.handle, flight.shown)
            data = data[: data.rfind(b"\n") + 1]
            if data:
                flight.shown += len(data)
                yield next(iter(flight.versions.values())), _text(data)

    def running(self, label: Callable[[int], str]) -> list[Running]:
        """Return what runs now: of each running parcel the version that has not ended."""
        now = time.monotonic()
        return [
            Running(label(next(iter(flight.versions.values()))), now - flight.since)
            for flight in self._flights.values()
            if flight.running and flight.versions
        ]

    def take_back(self, grace_s: float) -> None:
        """Ask parcels to end that wait, or whose version has hardly begun."""
        young = time.monotonic() - _YOUNG_S
        early = [f.handle for f in self._flights.values() if not f.running or f.since > young]
        if early:
            self._backend.cancel(early, grace_s)

    def cancel(self, grace_s: float) -> None:
        """Ask all parcels to end."""
        self._backend.cancel([flight.handle for flight in self._flights.values()], grace_s)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "backslashreplace")
