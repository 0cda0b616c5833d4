"""Gangs among the jobs that are followed: seated, handed over, introduced, and ended together.

What must not be decided twice is settled in the store first, by whoever comes first: the places of
members before any is handed over, and how a gang ends before those that still run are told to
stop. So it does not matter how many processes watch, nor which of them is killed. Knows backends
by their interface. How single jobs are followed is `following`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ems.compute.backend import Backend
from ems.compute.broker import nowhere
from ems.compute.gangs import Seating
from ems.compute.job import Handle, Job, JobState, JobStatus, Reason
from ems.errors import EmsError
from ems.jobs.followed import Followed
from ems.jobs.gang import Gang
from ems.jobs.keeping import Keeping
from ems.jobs.preparing import members_of_entry
from ems.jobs.types import JobInfo, Wrote
from ems.store.jobs import End, JobRecords, Ledger, Word, again

if TYPE_CHECKING:
    from ems.store.store import Store

Seat = Callable[[Sequence[Job], bool], Seating]
"""Members, and whether only places are good enough that outlive this process → where they go."""
GRACE_S = 30.0
_AGAIN_S = 5.0
"""How long members that were told of each other may take to say that they know."""
_LOOK_S = 1.0


class Gangs:
    """The gangs of one watch. `known` is what this process has handed over or found, by try.

    `knows` says whether a place is there by its name: one that is not decides nothing here.
    """

    def __init__(
        self,
        store: Store,
        records: JobRecords,
        open_backend: Callable[[], Backend],
        known: dict[tuple[str, int], Gang],
        seat: Seat,
        now: Callable[[Handle], Handle],
        knows: Callable[[str], bool],
        *,
        tries: bool,
    ) -> None:
        self._store, self._records, self._open, self._seat = store, records, open_backend, seat
        self._known, self._now, self._knows, self._tries = known, now, knows, tries
        self._keeping = Keeping(store)
        self._jobs: dict[tuple[str, int], list[Job]] = {}
        self._whys: dict[str, str] = {}
        self._briefed: dict[Handle, float] = {}
        self._looked: dict[str, float] = {}

    def of(self, each: Followed) -> Gang | None:
        """Return the members of the try that counts, once somebody has handed them over."""
        name = (each.ref.id, each.attempt)
        found = self._known.get(name)
        told = each.ledger.members.get(each.key)
        if found is None and told is not None:
            handles = [Handle.from_json(handle) for handle in told]
            found = self._known[name] = self._gang(each, handles)
        return found

    def _gang(self, each: Followed, handles: Sequence[Handle]) -> Gang:
        roles = each.entry.spec["roles"]
        ends = frozenset(str(role["name"]) for role in roles if role.get("ends"))
        return Gang(self._members(each), ends, handles)

    def _members(self, each: Followed) -> list[Job]:
        name = (each.ref.id, each.attempt)
        if name not in self._jobs:
            outbox, folder = self._store.objects.outbox, each.ledger.submission.folder
            self._jobs[name] = members_of_entry(each.entry, each.attempt, outbox, folder)
        return self._jobs[name]

    # -- handing over -----------------------------------------------------------------------------

    def hand_over(self, each: Followed) -> None:
        """Hand a gang over if all of it fits now; its places are the same whoever does."""
        if self.of(each) is not None or not self._store.writable:
            return
        ledger = each.ledger
        self._look(ledger)
        settled = each.key in ledger.stops or each.key in ledger.seats
        if each.key in ledger.ends or not (settled or self._settle_seats(each)):
            return
        self._records.refresh(ledger)  # after the seats: somebody may have canceled it
        if each.key in ledger.ends:
            return
        if each.key in ledger.stops:
            self._end_members(each, GRACE_S)  # whoever canceled it may have been killed since
        elif not self.nowhere(each):
            self._submit(each)

    def _look(self, ledger: Ledger) -> None:
        """Learn now and then what others said of gangs that wait: they may have canceled them."""
        id, now = ledger.submission.id, time.monotonic()
        if now - self._looked.get(id, -_LOOK_S) >= _LOOK_S:
            self._looked[id] = now
            self._records.refresh(ledger)

    def nowhere(self, each: Followed) -> str:
        """Return why a gang that has its places can't be asked about here, or nothing."""
        seats = each.ledger.seats.get(each.key, ())
        return next((nowhere(seat) for seat in seats if not self._knows(seat)), "")

    def asking(self, each: Followed) -> bool:
        """Whether a gang waits until a place says for the first time what is free there."""
        settled = each.ledger.seats.keys() | each.ledger.stops.keys() | each.ledger.ends.keys()
        return each.key not in settled and self._seating(each).asking

    def _seating(self, each: Followed) -> Seating:
        try:
            return self._seat(self._members(each), each.entry.apart)
        except EmsError as error:  # who has that target in its settings can go on with it
            return Seating(why=f"{error.subject} {error.problem}")

    def _settle_seats(self, each: Followed) -> bool:
        seating = self._seating(each)
        if seating.never:
            end = End("failed", Reason.IMPOSSIBLE.value, detail=seating.why, t1=time.time())
            self._say_end(each, end)
        elif seating.seats:
            word = Word(each.index, each.attempt, time.time(), seats=list(seating.seats))
            self._records.settle(each.ledger, "seats", word)
        self._whys[each.ref.id] = seating.why
        return bool(seating.seats)

    def _submit(self, each: Followed) -> Gang:
        seats = each.ledger.seats[each.key]
        jobs = [
            job._replace(on=(seat,)) for job, seat in zip(self._members(each), seats, strict=True)
        ]
        made = self._gang(each, self._open().submit(jobs))
        self._known[each.ref.id, each.attempt] = made
        return made

    def _note(self, each: Followed, gang: Gang) -> None:
        """Write down what places call the members, once all are there."""
        if each.told or each.key in each.ledger.members or not self._store.writable:
            return
        if all(self._open().handed(gang.handles)):
            handles = [self._now(handle).to_json() for handle in gang.handles]
            word = Word(each.index, each.attempt, time.time(), handles=handles)
            self._records.say(each.ledger, [word])
            each.told = True

    def pending(self, each: Followed, *, meet: bool) -> bool:
        """Whether a gang needs this process: to be handed over, or with `meet` to be introduced."""
        gang = self.of(each)
        if each.key in each.ledger.ends:
            return False
        if gang is None or each.key not in each.ledger.members:
            return True
        return meet and not gang.has_met

    def handles(self, each: Followed) -> list[Handle]:
        """Return those of a gang's members."""
        gang = self.of(each)
        return gang.handles if gang is not None else []

    # -- following --------------------------------------------------------------------------------

    def round(self, each: Followed, *, logs: bool) -> Iterator[Wrote]:
        """Ask for all members, do what is to be done, and yield what they wrote."""
        if self._tries:
            self.hand_over(each)
        gang = self.of(each)
        if gang is None:
            return
        backend = self._open()
        statuses = backend.poll(gang.handles)
        gang.hear(backend)
        if logs:
            yield from self._lines(each, gang, backend)
        self._note(each, gang)
        self._steer(each, gang, statuses)
        if all(status.state.ended for status in statuses):
            self._conclude(each, gang, statuses)

    def _lines(self, each: Followed, gang: Gang, backend: Backend) -> Iterator[Wrote]:
        for member, handle in zip(gang.members, gang.handles, strict=True):
            stream = each.stream_of(member.rank)
            data, stream.offset = backend.logs(handle, stream.offset)
            for line in stream.lines(data):
                yield Wrote(each.ref, line, member.name)

    def skip(self, each: Followed) -> None:
        """Leave out what members wrote so far."""
        for rank, handle in enumerate(self.handles(each)):
            each.stream_of(rank).offset = self._open().logs(handle, 0)[1]

    def _steer(self, each: Followed, gang: Gang, statuses: Sequence[JobStatus]) -> None:
        """Introduce members to each other, or end those that still run where it is over."""
        stop = self._stop(each, gang, statuses)
        live = [status.handle for status in statuses if not status.state.ended]
        if not live:
            return
        backend = self._open()
        if stop is not None:
            if not gang.stopping:
                backend.cancel(live, GRACE_S)
                gang.stopping = True
        elif not gang.has_met and (peers := gang.peers) is not None:
            first, now = gang.handles[0], time.monotonic()
            if now - self._briefed.get(first, -_AGAIN_S) >= _AGAIN_S:
                self._briefed[first] = now
                met = gang.met
                backend.brief([handle for handle in live if handle not in met], peers)

    def _stop(self, each: Followed, gang: Gang, statuses: Sequence[JobStatus]) -> End | None:
        """Return how the gang ends, settled before anybody is told; None while that is open."""
        ledger = each.ledger
        if each.key not in ledger.stops:
            found = gang.verdict(self._open(), statuses)
            if found is None or not self._store.writable:
                return None
            if found.reason == Reason.NO_CAPACITY.value and self.nowhere(each):
                return None  # who is not seen from here may have come
            self._records.refresh(ledger)  # whoever was first may have let places forget them
            if each.key not in ledger.ends:
                word = Word(each.index, each.attempt, time.time(), stop=found)
                self._records.settle(ledger, "stop", word)
        return ledger.stops.get(each.key) or ledger.ends.get(each.key)

    def cancel(self, each: Followed, grace_s: float) -> None:
        """End a gang; one that was not handed over yet at once."""
        said = End("canceled", Reason.CANCELED.value, detail="was canceled")
        if each.key not in each.ledger.stops and self._store.writable:
            word = Word(each.index, each.attempt, time.time(), stop=said)
            self._records.settle(each.ledger, "stop", word)
        self._records.refresh(each.ledger)  # after the stop: somebody may have seated it
        self._end_next(each, said)
        if each.key not in each.ledger.ends:
            self._end_members(each, grace_s)

    def _end_members(self, each: Followed, grace_s: float) -> None:
        """End a gang whose stop is settled; again where somebody did and can't go on."""
        gang, ledger = self.of(each), each.ledger
        if gang is None and each.key in ledger.seats:
            if self.nowhere(each):
                return
            gang = self._submit(each)
        if gang is None:
            said = End("canceled", Reason.CANCELED.value, detail="was canceled")
            self._say_end(each, ledger.stops.get(each.key, said)._replace(t1=time.time()))
            return
        self._open().cancel(gang.handles, grace_s)
        gang.stopping = True

    def _end_next(self, each: Followed, said: End) -> None:
        """Let no other try follow one that was ending already, and would be tried again."""
        stop, ledger = each.ledger.stops.get(each.key), each.ledger
        if stop is None or not again(each.entry, each.attempt, stop) or not self._store.writable:
            return
        i, n = each.index, each.attempt + 1
        self._records.settle(ledger, "stop", Word(i, n, time.time(), stop=said))
        if (i, n) not in ledger.seats and (i, n) not in ledger.ends:
            end = said._replace(t1=time.time())
            self._records.say(ledger, [Word(i, n, time.time(), end=end)])

    # -- ends -------------------------------------------------------------------------------------

    def _conclude(self, each: Followed, gang: Gang, statuses: Sequence[JobStatus]) -> None:
        """Keep what members leave, write down how the gang ended, let their places forget it."""
        backend, ledger = self._open(), each.ledger
        self._records.refresh(ledger)
        if each.key not in ledger.ends:
            stop = ledger.stops.get(each.key) or gang.verdict(backend, statuses)
            assert stop is not None
            ends = [self._keeping.end(backend, status) for status in statuses]
            self._say_end(each, self._end(gang, stop, ends))
        if self._store.writable:
            backend.forget(gang.handles)

    def _end(self, gang: Gang, stop: End, ends: Sequence[End]) -> End:
        outputs: dict[str, Any] = {}
        for member, end in zip(gang.members, ends, strict=True):
            outputs |= {f"{member.name}.{name}": tree for name, tree in end.outputs.items()}
        began = [end.t0 for end in ends if end.t0 is not None]
        return stop._replace(
            outputs=outputs,
            t0=min(began, default=None),
            t1=max(end.t1 or 0.0 for end in ends),
            members=[
                gang.row(member, end, handle, stop)
                for member, end, handle in zip(gang.members, ends, gang.handles, strict=True)
            ],
        )

    def _say_end(self, each: Followed, end: End) -> None:
        if self._store.writable:
            self._store.objects.sync()
            self._records.say(each.ledger, [Word(each.index, each.attempt, time.time(), end=end)])
        each.ledger.ends.setdefault(each.key, end)

    # -- for people -------------------------------------------------------------------------------

    def info(self, each: Followed, base: JobInfo) -> JobInfo:
        """Return what is known of a gang that has not ended; `base` is what records hold."""
        gang, stop = self.of(each), each.ledger.stops.get(each.key)
        if gang is None:
            why = f"ends: {stop.detail or stop.state}" if stop else self.nowhere(each)
            if not why and each.key not in each.ledger.seats:
                why = self._whys.get(each.ref.id) or self._seating(each).why
            return replace(base, detail=why or "is written down, and was not handed over yet")
        backend = self._open()
        statuses = backend.poll(gang.handles)
        waiting = [
            "" if status.state.ended else backend.waiting(status.handle) for status in statuses
        ]
        members = gang.infos(statuses, waiting)
        state, detail = JobState.RUNNING, f"ends: {stop.detail or stop.state}" if stop else ""
        if not gang.has_met and stop is None:
            state, ready = JobState.SUBMITTED, len(members) - len(gang.missing)
            why = next((m.detail for m in members if m.name in gang.missing and m.detail), "")
            names = ", ".join(gang.missing[:5]) + (", …" if len(gang.missing) > 5 else "")
            for_whom = f", waits for {names}" + (f" ({why})" if why else "") if names else ""
            detail = f"{ready} of {len(members)} members are ready{for_whom}"
        elif each.since is None:
            each.since = time.time()
        places = ", ".join(dict.fromkeys(each.place for each in members))
        return replace(
            base, state=state, detail=detail, place=places, started=each.since,
            members=tuple(members),
        )  # fmt: skip
