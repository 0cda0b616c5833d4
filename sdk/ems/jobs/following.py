"""Hands jobs over, follows them and writes down how they end; one poll for all of them.

Two processes may follow the same jobs: an attempt has the same key for both, so that its place
starts it once, and what the other wrote down goes before what is seen here. Knows backends by their
interface and the store's records. Never decides where a job runs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ems.compute.backend import Backend
from ems.compute.broker import nowhere
from ems.compute.job import Handle, JobState, JobStatus, Reason
from ems.jobs.followed import JOIN, Followed, is_gone
from ems.jobs.gang import member_of
from ems.jobs.gangs import Gangs
from ems.jobs.keeping import PIECE, Keeping
from ems.jobs.lines import Stream
from ems.jobs.preparing import job_of_entry
from ems.jobs.types import Changed, JobEvent, JobInfo, Wrote
from ems.store.jobs import End, JobRecords, Word, again

if TYPE_CHECKING:
    from ems.store.store import Store

_TO_STATE = {state.value: state for state in JobState}
_LOST = "the process that ran it is gone, and jobs on this target do not outlive theirs"
_SAY_S = 1.0
"""How often at most is told what a gang waits for."""


class Following:
    """Some jobs of a store. `begun` holds what this process has handed over, by job and attempt.

    `tries`: attempts that failed are followed by others; not so for who only looks. `gangs` looks
    after those among them. `knows` says whether a target or a place is there by its name: one that
    is not decides nothing here.
    """

    def __init__(
        self,
        store: Store,
        records: JobRecords,
        open_backend: Callable[[], Backend],
        begun: dict[tuple[str, int], Handle],
        jobs: Sequence[Followed],
        *,
        gangs: Gangs,
        tries: bool = True,
        now: Callable[[Handle], Handle] = lambda handle: handle,
        knows: Callable[[str], bool] = lambda _: True,
    ) -> None:
        self._store, self._records, self._now, self._knows = store, records, now, knows
        self._open, self._begun, self._tries = open_backend, begun, tries
        self._gangs, self._keeping = gangs, Keeping(store)
        self.jobs = jobs
        for each in jobs:
            self._place(each)

    @property
    def live(self) -> list[Followed]:
        """Return those that have not ended."""
        return [each for each in self.jobs if each.end is None]

    def _place(self, each: Followed) -> None:
        """Find out which attempt counts, and its handle or its end."""
        ledger, i = each.ledger, each.index
        attempt = ledger.attempt(i)
        end = ledger.ends.get((i, attempt))
        known = (i, attempt) in ledger.handles or (each.ref.id, attempt) in self._begun
        known = known or (i, attempt) in ledger.seats
        if end is None and attempt > 1 and not self._tries and not known:
            attempt, end = attempt - 1, ledger.ends.get((i, attempt - 1))
        if attempt != each.attempt:
            each.go_on(attempt)
        each.end = end
        told = ledger.handles.get((i, attempt))
        each.told = told is not None
        if each.handle is None:
            each.handle = self._begun.get((each.ref.id, attempt))
        each.foreign = each.handle is None and each.is_foreign()
        if each.handle is None and told is not None and not each.foreign:
            each.handle = Handle.from_json(told)

    def is_gone(self, each: Followed) -> bool:
        """Whether the process that a foreign job lives in has ended, as far as is known here."""
        return is_gone(each.ledger)

    @property
    def _gangs_live(self) -> list[Followed]:
        return [each for each in self.live if each.is_gang and not each.foreign]

    @property
    def handles(self) -> list[Handle]:
        """Return those of all that has not ended and can be asked about, members of gangs too."""
        found = [e.handle for e in self.live if e.handle is not None and not e.foreign]
        return found + [at for each in self._gangs_live for at in self._gangs.handles(each)]

    @property
    def asking(self) -> bool:
        """Whether a gang waits for a place's first word of what is free there."""
        return any(map(self._gangs.asking, self._gangs_live))

    def nowhere(self, each: Followed) -> str:
        """Return which of a job's places is not known here, or nothing."""
        if each.is_gang:
            return self._gangs.nowhere(each)
        names = each.ref.target.split(JOIN)
        if each.handle is not None:
            names = [each.handle.backend] if each.told else []
        return next((nowhere(name) for name in names if not self._knows(name)), "")

    # -- handing over -----------------------------------------------------------------------------

    def hand_over(self) -> None:
        """Submit attempts that nobody is known to have handed over; the same key starts once."""
        for each in self._gangs_live:
            self._gangs.hand_over(each)
        self._hand_over_jobs()

    def _hand_over_jobs(self) -> None:
        waiting = [each for each in self.live if each.handle is None and not each.foreign]
        waiting = [each for each in waiting if not each.is_gang and not self.nowhere(each)]
        for ledger in {id(each.ledger): each.ledger for each in waiting}.values():
            self._records.refresh(ledger)
        for each in waiting:
            self._place(each)
        waiting = [each for each in waiting if each.handle is None and each.end is None]
        if not waiting:
            return
        outbox = self._store.objects.outbox
        jobs = [
            job_of_entry(each.entry, each.attempt, outbox, each.ledger.submission.folder)
            for each in waiting
        ]
        for each, handle in zip(waiting, self._open().submit(jobs), strict=True):
            each.handle = self._begun[each.ref.id, each.attempt] = handle

    def note_handed(self, *, meet: bool = False) -> int:
        """Write down which attempts their places have by now; return how many are not there yet.

        With `meet` a gang is there once its members know each other.
        """
        left = self._note_jobs()
        for each in self._gangs_live:
            for _ in self._gangs.round(each, logs=False):
                pass
            left += self._gangs.pending(each, meet=meet)
        return left

    def _note_jobs(self) -> int:
        asked = [e for e in self.live if e.handle is not None and not e.foreign and not e.told]
        handles = [each.handle for each in asked if each.handle is not None]
        there = self._open().handed(handles) if handles else []
        words: list[tuple[Followed, Word]] = []
        for each, handle, handed in zip(asked, handles, there, strict=True):
            if handed:
                each.told = True
                word = Word(each.index, each.attempt, time.time(), self._now(handle).to_json())
                words.append((each, word))
        self._say(words)
        return len(there) - sum(there)

    def _say(self, words: Sequence[tuple[Followed, Word]]) -> None:
        if not self._store.writable:
            return
        ledgers = {id(each.ledger): each.ledger for each, _ in words}
        for key, ledger in ledgers.items():
            self._records.say(ledger, [word for each, word in words if id(each.ledger) == key])

    # -- following --------------------------------------------------------------------------------

    def round(self, *, logs: bool = True) -> Iterator[JobEvent]:
        """Ask once for all, and yield what happened; ends are written down before they are told."""
        asked = [each for each in self.live if each.handle is not None and not each.foreign]
        if asked:
            backend = self._open()
            statuses = backend.poll([each.handle for each in asked if each.handle is not None])
            ended = [(e, s) for e, s in zip(asked, statuses, strict=True) if s.state.ended]
            for each, status in zip(asked, statuses, strict=True):
                if logs:
                    yield from self._lines(each, self._read(backend, each))
                if not status.state.ended and (status.state, each.attempt, False) != each.said:
                    yield from self._tell(each, self._seen(each, status, backend))
            self._conclude(backend, ended)
            self._note_jobs()
        for each in self._gangs_live:
            yield from self._gangs.round(each, logs=logs)
            if each.key not in each.ledger.ends:
                yield from self._tell(each, self._gangs.info(each, self._base(each)))
        self._look_at_foreign()
        for each in self.jobs:
            if not (each.end is not None and each.said and each.said[-1]):
                yield from self._ended(each, logs)
        if self._tries:
            self._hand_over_jobs()

    def cancel(self, grace_s: float) -> None:
        """End all that can be asked about."""
        self._hand_over_jobs()
        handles = [e.handle for e in self.live if e.handle is not None and not e.foreign]
        if handles:
            self._open().cancel(handles, grace_s)
        for each in self._gangs_live:
            self._gangs.cancel(each, grace_s)

    def skip(self) -> None:
        """Leave out what was written so far."""
        for each in self.live:
            if each.handle is not None:
                each.stream.offset = self._open().logs(each.handle, 0)[1]
            elif each.is_gang:
                self._gangs.skip(each)

    def why(self, each: Followed) -> str:
        """Return why a job is not where it is to be yet."""
        if each.is_gang:
            return self._gangs.info(each, self._base(each)).detail
        return self._open().waiting(each.handle) if each.handle is not None else ""

    def _read(self, backend: Backend, each: Followed) -> bytes:
        assert each.handle is not None
        data, each.stream.offset = backend.logs(each.handle, each.stream.offset)
        return data

    def _lines(self, each: Followed, data: bytes, *, last: bool = False) -> Iterator[JobEvent]:
        for line in each.stream.lines(data, last=last):
            yield Wrote(each.ref, line)

    def _tell(self, each: Followed, info: JobInfo) -> Iterator[JobEvent]:
        said = (info.state, info.attempt, info.ended is not None)
        if each.is_gang and info.state is JobState.SUBMITTED:  # what it waits for is told, too
            said, now = (info.state, info.attempt, info.detail, False), time.monotonic()
            if said[:2] == each.said[:2] and now - each.said_at < _SAY_S:
                return
            each.said_at = now
        if said != each.said:
            each.said = said
            yield Changed(info.handle, info)

    def _seen(self, each: Followed, status: JobStatus, backend: Backend) -> JobInfo:
        assert each.handle is not None
        running_now = status.state is JobState.RUNNING
        if running_now and each.since is None:
            each.since = time.time()
        detail = status.detail or ("" if running_now else backend.waiting(each.handle))
        return replace(
            self._base(each), state=status.state, detail=detail, place=each.handle.backend,
            native=each.handle.native, started=each.since,
        )  # fmt: skip

    def _base(self, each: Followed) -> JobInfo:
        submission = each.ledger.submission
        return JobInfo(
            each.ref, JobState.SUBMITTED, attempt=each.attempt, attempts=each.entry.retries + 1,
            place=each.ref.target, who=submission.who, submitted=submission.t,
        )  # fmt: skip

    def info(self, each: Followed, status: JobStatus | None = None) -> JobInfo:
        """Return what is known of a job, with what its place said just now."""
        if each.end is not None:
            return self._of_end(each, each.end, each.attempt)
        if status is not None and not status.state.ended:
            return self._seen(each, status, self._open())
        if each.is_gang and not each.foreign:
            return self._gangs.info(each, self._base(each))
        if each.foreign:
            detail = f"in process {each.ledger.submission.pid} on {each.ledger.submission.host}"
            return replace(self._base(each), state=JobState.RUNNING, detail=detail)
        detail = self.nowhere(each) or "is written down, and was not handed over yet"
        return replace(self._base(each), detail=detail)

    def _of_end(self, each: Followed, end: End, attempt: int) -> JobInfo:
        handle = each.ledger.handles.get((each.index, attempt))
        members = tuple(map(member_of, end.members))
        places = ", ".join(dict.fromkeys(member.place for member in members))
        return replace(
            self._base(each), state=_TO_STATE[end.state], attempt=attempt,
            reason=Reason(end.reason) if end.reason else None, exit_code=end.exit_code,
            signal=end.signal, detail=end.detail, started=end.t0, ended=end.t1,
            place=str(handle["backend"]) if handle else places or each.ref.target,
            native=str(handle["native"]) if handle else "", outputs=end.outputs,
            log=str(end.log[0]) if end.log else "", members=members,
        )  # fmt: skip

    # -- ends -------------------------------------------------------------------------------------

    def _conclude(self, backend: Backend, ended: Sequence[tuple[Followed, JobStatus]]) -> None:
        """Keep what ended attempts leave, write their ends down, and let their place forget them.

        Whoever was here first may have let the place forget it already: their word counts.
        """
        for ledger in {id(each.ledger): each.ledger for each, _ in ended}.values():
            self._records.refresh(ledger)
        new = [(e, s) for e, s in ended if (e.index, e.attempt) not in e.ledger.ends]
        words = [
            (e, Word(e.index, e.attempt, time.time(), end=self._keeping.end(backend, s)))
            for e, s in new
        ]
        if words and self._store.writable:
            self._store.objects.sync()
        self._say(words)
        for each, word in words:
            each.ledger.ends.setdefault((each.index, each.attempt), word.end or End("failed"))
        if self._store.writable:
            backend.forget([status.handle for _, status in ended])

    def _ended(self, each: Followed, logs: bool) -> Iterator[JobEvent]:
        """Tell of attempts whose end is known by now, and go on to the next one."""
        ledger, i = each.ledger, each.index
        while (end := ledger.ends.get((i, each.attempt))) is not None:
            if logs:
                yield from self._rest(each, end)
            info = self._of_end(each, end, each.attempt)
            more = again(each.entry, each.attempt, end)
            goes_on = more and (self._tries or (i, each.attempt + 1) in ledger.ends)
            if goes_on:
                detail = f"{info.detail or info.state.value}; is tried again"
                info = replace(info, detail=detail)
            elif more:
                detail = f"{info.detail}; emsctl job watch {each.ref.id} tries it again"
                info = replace(info, detail=detail.removeprefix("; "))
            yield from self._tell(each, info)
            if not goes_on:
                each.end = end
                return
            each.go_on(each.attempt + 1)
            told = ledger.handles.get((i, each.attempt))
            if told is not None and not each.foreign:
                each.handle, each.told = Handle.from_json(told), True

    def _rest(self, each: Followed, end: End) -> Iterator[JobEvent]:
        """Yield what an attempt wrote and was not told yet, from the store."""
        if each.said and each.said[1] == each.attempt and each.said[-1]:
            return
        yield from self._kept(each, each.stream, end.log, "")
        for member in end.members:
            stream = each.stream_of(int(member["rank"]))
            yield from self._kept(each, stream, member.get("log"), str(member["name"]))

    def _kept(
        self, each: Followed, out: Stream, log: Sequence[Any] | None, member: str
    ) -> Iterator[JobEvent]:
        """Yield what is left of an output that lies in the store."""
        if log is not None:
            with self._store.objects.open(str(log[0])) as stream:
                stream.seek(out.offset)
                while data := stream.read(PIECE):
                    out.offset += len(data)
                    yield from (Wrote(each.ref, line, member) for line in out.lines(data))
        yield from (Wrote(each.ref, line, member) for line in out.lines(b"", last=True))

    def _look_at_foreign(self) -> None:
        """Learn how jobs of other processes ended, by their words or by their absence."""
        foreign = [each for each in self.live if each.foreign]
        for ledger in {id(each.ledger): each.ledger for each in foreign}.values():
            self._records.refresh(ledger)
        for each in foreign:
            each.foreign = each.is_foreign()  # of a gang a part may be left that can be asked
        words: list[tuple[Followed, Word]] = []
        for each in [each for each in foreign if each.foreign]:
            gone = is_gone(each.ledger)
            if gone and (each.index, each.attempt) not in each.ledger.ends:
                end = End("failed", Reason.LOST.value, detail=_LOST, t1=time.time())
                words.append((each, Word(each.index, each.attempt, time.time(), end=end)))
                each.ledger.ends[each.index, each.attempt] = end
        self._say(words)
