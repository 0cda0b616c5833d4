"""Hands jobs over, follows them and writes down how they end; one poll for all of them.

Two processes may follow the same jobs: an attempt has the same key for both, so that its place
starts it once, and what the other wrote down goes before what is seen here. Knows backends by their
interface and the store's records. Never decides where a job runs.
"""

from __future__ import annotations

import os
import socket
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ems.compute.backend import Backend
from ems.compute.job import Handle, JobState, JobStatus, Reason
from ems.compute.machine import CAPABILITIES as HERE
from ems.jobs.preparing import job_of_entry
from ems.jobs.types import Changed, JobEvent, JobHandle, JobInfo, Wrote
from ems.store.jobs import End, Entry, JobRecords, Ledger, Word, again
from ems.store.leases import running, start_of
from ems.worker import protocol

if TYPE_CHECKING:
    from ems.store.store import Store

_LONGEST_LINE = 64 * 1024
_PIECE = 4 * 2**20
_TO_STATE = {state.value: state for state in JobState}
_LOST = "the process that ran it is gone, and jobs on this target do not outlive theirs"


@dataclass
class Followed:
    """One job as this process follows it."""

    ref: JobHandle
    ledger: Ledger
    index: int
    attempt: int = 0
    handle: Handle | None = None
    foreign: bool = False
    """Another process runs it, and only that process can be asked."""
    told: bool = False
    """Whether it is written down that its place has this attempt."""
    end: End | None = None
    offset: int = 0
    tail: bytes = b""
    said: tuple[object, ...] = ()
    since: float | None = None

    @property
    def entry(self) -> Entry:
        """Return the job's record."""
        return self.ledger.submission.jobs[self.index]


class Following:
    """Some jobs of a store. `begun` holds what this process has handed over, by job and attempt.

    `tries`: attempts that failed are followed by others; not so for who only looks.
    """

    def __init__(
        self,
        store: Store,
        records: JobRecords,
        open_backend: Callable[[], Backend],
        begun: dict[tuple[str, int], Handle],
        jobs: Sequence[Followed],
        *,
        tries: bool = True,
        now: Callable[[Handle], Handle] = lambda handle: handle,
    ) -> None:
        self._store, self._records, self._now = store, records, now
        self._open, self._begun, self._tries = open_backend, begun, tries
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
        if end is None and attempt > 1 and not self._tries and not known:
            attempt, end = attempt - 1, ledger.ends.get((i, attempt - 1))
        if attempt != each.attempt:
            each.offset, each.tail, each.handle, each.since = 0, b"", None, None
        each.attempt, each.end = attempt, end
        told = ledger.handles.get((i, attempt))
        each.told = told is not None
        if each.handle is None:
            each.handle = self._begun.get((each.ref.id, attempt))
        ours = each.handle is not None
        each.foreign = not ours and each.ref.target in HERE.targets and not _is_own(ledger)
        if each.handle is None and told is not None and not each.foreign:
            each.handle = Handle.from_json(told)

    def is_gone(self, each: Followed) -> bool:
        """Whether the process that a foreign job lives in has ended, as far as is known here."""
        return _is_gone(each.ledger)

    # -- handing over -----------------------------------------------------------------------------

    def hand_over(self) -> None:
        """Submit attempts that nobody is known to have handed over; the same key starts once."""
        waiting = [each for each in self.live if each.handle is None and not each.foreign]
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

    def note_handed(self) -> int:
        """Write down which attempts their places have by now; return how many are not there yet."""
        asked = [each for each in self.live if each.handle is not None and not each.foreign]
        handles = [each.handle for each in asked if each.handle is not None]
        there = self._open().handed(handles) if handles else []
        words: list[tuple[Followed, Word]] = []
        for each, handle, handed in zip(asked, handles, there, strict=True):
            if handed and not each.told:
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
                if not status.state.ended:
                    yield from self._tell(each, self._seen(each, status, backend))
            self._conclude(backend, ended)
            self.note_handed()
        self._look_at_foreign()
        for each in self.jobs:
            if not (each.end is not None and each.said and each.said[-1]):
                yield from self._ended(each, logs)
        if self._tries:
            self.hand_over()

    def _read(self, backend: Backend, each: Followed) -> bytes:
        assert each.handle is not None
        data, each.offset = backend.logs(each.handle, each.offset)
        return data

    def _lines(self, each: Followed, data: bytes, *, last: bool = False) -> Iterator[JobEvent]:
        lines = (each.tail + data).split(b"\n")
        each.tail = lines.pop()
        for line in lines:
            yield Wrote(each.ref, line + b"\n")
        while len(each.tail) > _LONGEST_LINE:
            yield Wrote(each.ref, each.tail[:_LONGEST_LINE])
            each.tail = each.tail[_LONGEST_LINE:]
        if last and each.tail:
            yield Wrote(each.ref, each.tail)
            each.tail = b""

    def _tell(self, each: Followed, info: JobInfo) -> Iterator[JobEvent]:
        said = (info.state, info.attempt, info.ended is not None)
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
        if each.foreign:
            detail = f"in process {each.ledger.submission.pid} on {each.ledger.submission.host}"
            return replace(self._base(each), state=JobState.RUNNING, detail=detail)
        detail = "is written down, and was not handed over yet"
        return replace(self._base(each), detail=detail)

    def _of_end(self, each: Followed, end: End, attempt: int) -> JobInfo:
        handle = each.ledger.handles.get((each.index, attempt))
        return replace(
            self._base(each), state=_TO_STATE[end.state], attempt=attempt,
            reason=Reason(end.reason) if end.reason else None, exit_code=end.exit_code,
            signal=end.signal, detail=end.detail, started=end.t0, ended=end.t1,
            place=str(handle["backend"]) if handle else each.ref.target,
            native=str(handle["native"]) if handle else "", outputs=end.outputs,
            log=str(end.log[0]) if end.log else "",
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
            (e, Word(e.index, e.attempt, time.time(), end=self._end(backend, s))) for e, s in new
        ]
        if words and self._store.writable:
            self._store.objects.sync()
        self._say(words)
        for each, word in words:
            each.ledger.ends.setdefault((each.index, each.attempt), word.end or End("failed"))
        if self._store.writable:
            backend.forget([status.handle for _, status in ended])

    def _end(self, backend: Backend, status: JobStatus) -> End:
        message: dict[str, Any] = {}
        for line in backend.events(status.handle, 0)[0]:
            if line.startswith(protocol.END_PREFIX):
                message = protocol.decode(line)
        files: list[list[Any]] = message.get("files") or []
        if files and self._store.writable:
            self._store.objects.publish([str(row[0]) for row in files])
        outputs = message.get("out") if message.get("ok") else None
        return End(
            status.state.value, status.reason.value if status.reason else "", status.exit_code,
            status.signal, status.detail, outputs if isinstance(outputs, dict) else {},
            self._keep_log(backend, status.handle), message.get("t0"),
            message.get("t1") or time.time(),
        )  # fmt: skip

    def _keep_log(self, backend: Backend, handle: Handle) -> list[Any] | None:
        if not self._store.writable:
            return None
        with tempfile.TemporaryDirectory(prefix="ems-log-") as folder:
            path, since = Path(folder) / "output", 0
            with path.open("wb") as stream:
                while True:
                    data, since = backend.logs(handle, since, since + _PIECE)
                    if not data:
                        break
                    stream.write(data)
            if not path.stat().st_size:
                return None
            return list(self._store.objects.put_path(path))

    def _ended(self, each: Followed, logs: bool) -> Iterator[JobEvent]:
        """Tell of attempts whose end is known by now, and go on to the next one."""
        ledger, i = each.ledger, each.index
        while (end := ledger.ends.get((i, each.attempt))) is not None:
            if logs:
                yield from self._rest(each, end)
            info = self._of_end(each, end, each.attempt)
            more = again(each.entry, each.attempt, end)
            if more and self._tries:
                detail = f"{info.detail or info.state.value}; is tried again"
                info = replace(info, detail=detail)
            elif more:
                detail = f"{info.detail}; emsctl job watch {each.ref.id} tries it again"
                info = replace(info, detail=detail.removeprefix("; "))
            yield from self._tell(each, info)
            if not (more and self._tries):
                each.end = end
                return
            each.attempt += 1
            each.handle, each.told, each.offset, each.since = None, False, 0, None
            told = ledger.handles.get((i, each.attempt))
            if told is not None and not each.foreign:
                each.handle, each.told = Handle.from_json(told), True

    def _rest(self, each: Followed, end: End) -> Iterator[JobEvent]:
        """Yield what an attempt wrote and was not told yet, from the store."""
        if each.said and each.said[1:] == (each.attempt, True):
            return
        if end.log is not None:
            with self._store.objects.open(str(end.log[0])) as stream:
                stream.seek(each.offset)
                while data := stream.read(_PIECE):
                    each.offset += len(data)
                    yield from self._lines(each, data)
        yield from self._lines(each, b"", last=True)

    def _look_at_foreign(self) -> None:
        """Learn how jobs of other processes ended, by their words or by their absence."""
        foreign = [each for each in self.live if each.foreign]
        for ledger in {id(each.ledger): each.ledger for each in foreign}.values():
            self._records.refresh(ledger)
        words: list[tuple[Followed, Word]] = []
        for each in foreign:
            gone = _is_gone(each.ledger)
            if gone and (each.index, each.attempt) not in each.ledger.ends:
                end = End("failed", Reason.LOST.value, detail=_LOST, t1=time.time())
                words.append((each, Word(each.index, each.attempt, time.time(), end=end)))
                each.ledger.ends[each.index, each.attempt] = end
        self._say(words)


def _is_own(ledger: Ledger) -> bool:
    """Whether this very process submitted them."""
    submission = ledger.submission
    own = (socket.gethostname(), os.getpid(), start_of(os.getpid()))
    return (submission.host, submission.pid, submission.born) == own


def _is_gone(ledger: Ledger) -> bool:
    """Whether the process that submitted jobs has ended, as far as can be seen from here."""
    submission = ledger.submission
    return submission.host == socket.gethostname() and not running(submission.pid, submission.born)
