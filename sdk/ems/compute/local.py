"""This machine as a backend: jobs wait for room and run in warm workers.

One thread and one selector; `wait` and `poll` are where anything happens. Knows jobs, room and
workers. Does not know tasks, nor who tries again.
"""

from __future__ import annotations

import os
import selectors
import time
from collections.abc import Mapping, Sequence
from math import ceil
from pathlib import Path
from typing import cast

from ems.compute import live, machine, plain
from ems.compute.backend import Room as CanStart
from ems.compute.capacity import Need, Room
from ems.compute.job import Handle, Job, JobState, JobStatus, Reason
from ems.compute.limits import Limits
from ems.compute.pool import Kind, Pool, Worker
from ems.compute.tracking import Tracked
from ems.compute.waiting import Waiting
from ems.errors import EmsError
from ems.settings import cache_folder
from ems.worker import protocol, scratch
from ems.worker.progress import steady_now

_NO_PIDFD_LOOK_S = 0.05
_MOST_JOBS = 256


class LocalBackend:
    """Runs jobs on this machine.

    What is not given is found: CPUs, memory and GPU ids. `jobs_limit` bounds how many jobs run at
    once, whatever they need. `cache` keeps the worker's code; live output is under `folder`, by
    default a folder of its own in the cache that `close` removes.
    """

    def __init__(
        self,
        cpus: float | None = None,
        memory_gib: float | None = None,
        gpus: Sequence[str] | None = None,
        jobs_limit: int | None = None,
        cache: Path | None = None,
        folder: Path | None = None,
    ) -> None:
        ids = machine.gpus() if gpus is None else tuple(gpus)
        millicpus = int((machine.cpus() if cpus is None else cpus) * 1000)
        mib = int((machine.memory_gib() if memory_gib is None else memory_gib) * 1024)
        self._total = self._room = Room(millicpus, mib, ids, jobs_limit or _MOST_JOBS)
        self._own_folder = folder is None
        cache = cache or cache_folder()
        self._folder = live.folder_in(cache) if folder is None else folder
        self._selector = selectors.DefaultSelector()
        self._pool = Pool(cache, self._folder, self._selector)
        self._pool.most_idle = max(2, ceil(millicpus / 1000))
        self._jobs: dict[str, Tracked] = {}
        self._live = 0
        self._waiting = Waiting()
        self._count = 0
        self._limits = Limits()
        self._changed = False
        self.name = "local"
        self.capabilities = machine.CAPABILITIES._replace(
            gpus=bool(ids), most_jobs=self._total.slots
        )

    # -- the interface ----------------------------------------------------------------------------

    def submit(self, jobs: Sequence[Job]) -> list[Handle]:
        """Take jobs over; what can never run here is FAILED, `impossible`, at once."""
        handles: list[Handle] = []
        for job in jobs:
            self._count += 1
            handle = Handle(self.name, f"{os.getpid()}-{self._count}", "", time.time())
            parcel = plain.parcel_of(job, handle.native, str(self._folder / "scratch"))
            if job.member is not None:
                parcel["gang"]["peers"] = str(self._peers_of(handle))
            tracked = self._jobs[handle.native] = Tracked(handle, job, parcel)
            handles.append(handle)
            self._enqueue(tracked)
        self._dispatch()
        return handles

    def _enqueue(self, tracked: Tracked) -> None:
        refusal = self._refusal(tracked)
        if refusal:
            tracked.refuse(Reason.IMPOSSIBLE, refusal)
        elif tracked.progress.current is None:
            tracked.finish()
        else:
            self._live += 1
            self._waiting.add(tracked.handle.native, tracked.need)
            return
        self._changed = True

    def _refusal(self, tracked: Tracked) -> str:
        """Return why a job can never run here, or ""."""
        lacks = self._total.lacks(tracked.need)
        if lacks:
            return f"{tracked.job.name} needs {' and '.join(lacks)}"
        declared = cast("Mapping[str, str]", tracked.progress.parcel.get("env") or {})
        lack = self.capabilities.lack(tracked.job.on, declared)
        return f"{lack.problem} (allowed: {lack.allowed})" if lack is not None else ""

    def handle_of(self, job: Job) -> Handle:
        """Return a name that says no more than where; jobs here do not outlive their process."""
        return Handle(self.name, job.key)

    def fits(self, job: Job) -> str:
        """Return nothing where a job would start at once, else what is lacking."""
        need = Need.of(job.resources)
        lacks = self._total.lacks(need)
        if lacks:
            return f"needs {' and '.join(lacks)}"
        if self._live > len(self._busy()) or not self._room.fits(need):
            return "all that it needs is in use"
        return ""

    def poll(self, handles: Sequence[Handle]) -> list[JobStatus]:
        """Return the status of each handle, in order."""
        self._pump(0.0)
        return [self._status(handle) for handle in handles]

    def _status(self, handle: Handle) -> JobStatus:
        tracked = self._jobs.get(handle.native)
        if tracked is None:
            detail = (
                "this process did not start the job, and jobs here do not outlive their process"
            )
            return JobStatus(handle, JobState.FAILED, Reason.LOST, detail=detail)
        return tracked.status

    def handed(self, handles: Sequence[Handle]) -> list[bool]:
        """Return whether each job is here: always, and no longer than this process."""
        return [True for _ in handles]

    def room(self) -> CanStart:
        """Return the CPUs and GPUs that are free here."""
        free, total = self._room.millicpus / 1000, self._total.millicpus / 1000
        return CanStart(free, total, len(self._room.gpus))

    def waiting(self, handle: Handle) -> str:
        """Return why a job does not run yet."""
        tracked = self._jobs.get(handle.native)
        queued = tracked is not None and tracked.status.state is JobState.SUBMITTED
        return "waits for room on this machine" if queued else ""

    def events(self, handle: Handle, since: int) -> tuple[list[bytes], int]:
        """Return messages from cursor `since`, as lines without newlines, and the next cursor."""
        tracked = self._jobs.get(handle.native)
        if tracked is None:
            return [], since
        return tracked.events[since:], len(tracked.events)

    def logs(self, handle: Handle, since: int, until: int | None = None) -> tuple[bytes, int]:
        """Return output from offset `since` (to `until`), and the next offset."""
        tracked = self._jobs.get(handle.native)
        data = tracked.read_log(since, until) if tracked is not None else b""
        return data, since + len(data)

    def cancel(self, handles: Sequence[Handle], grace_s: float) -> None:
        """End jobs; running ones get SIGTERM now and are killed after `grace_s`."""
        self._pump(0.0)
        for handle in handles:
            tracked = self._jobs.get(handle.native)
            if tracked is None or tracked.status.state.ended:
                continue
            worker = self._worker_of(handle.native)
            if worker is None:
                self._waiting.drop(handle.native)
                self._live -= 1
                tracked.refuse(Reason.CANCELED, "was canceled before it started")
                self._changed = True
            else:
                self._ask_to_end(worker, tracked, steady_now() + grace_s)

    def _ask_to_end(self, worker: Worker, tracked: Tracked, cancel_at: float) -> None:
        """Send SIGTERM once; a later call may only shorten the grace period."""
        if tracked.cancel_at is None:
            worker.ending = True
            worker.ask_to_end()
        tracked.cancel_at = min(cancel_at, tracked.cancel_at or cancel_at)

    def brief(self, handles: Sequence[Handle], data: bytes) -> None:
        """Tell members of a gang of each other."""
        for handle in handles:
            tracked = self._jobs.get(handle.native)
            if tracked is not None and not tracked.status.state.ended:
                path = self._peers_of(handle)
                made = path.with_suffix(".new")
                made.write_bytes(data)
                made.rename(path)

    def _peers_of(self, handle: Handle) -> Path:
        return self._folder / f"{handle.native}.peers"

    def forget(self, handles: Sequence[Handle]) -> None:
        """Let go of messages and output of ended jobs."""
        for handle in handles:
            tracked = self._jobs.get(handle.native)
            if tracked is not None and tracked.status.state.ended:
                del self._jobs[handle.native]
                if tracked.job.member is not None:
                    self._peers_of(handle).unlink(missing_ok=True)

    def wait(self, timeout_s: float) -> None:
        """Return when something changed, at the latest after `timeout_s`; at once if all ended."""
        deadline = time.monotonic() + timeout_s
        while not self._changed and self._live:
            left = deadline - time.monotonic()
            self._pump(max(0.0, left))
            if left <= 0:
                break
        self._changed = False

    def close(self) -> None:
        """Kill what still runs, with all that it started."""
        self._pool.close()
        self._selector.close()
        if self._own_folder:
            scratch.remove(str(self._folder))

    # -- starting ---------------------------------------------------------------------------------

    def _dispatch(self) -> None:
        while self._room.slots > 0:
            native = self._waiting.next(self._room)
            if native is None:
                return
            tracked = self._jobs[native]
            self._room, tracked.gpus = self._room.take(tracked.need)
            self._start(tracked, 0)

    def _start(self, tracked: Tracked, log_from: int) -> None:
        """Give what is left of a job to a worker; there is at least one version."""
        parcel = tracked.progress.rest(log_from)
        assert parcel is not None
        try:
            worker = self._pool.take(_kind_of(tracked, bool(self._total.gpus)))
        except (OSError, EmsError) as error:
            tracked.add(tracked.progress.give_up(Reason.WORKER.value, str(error), steady_now()))
            self._finish(tracked)
            return
        worker.busy = tracked.handle.native
        root = scratch.root_of(parcel)
        if root is not None:
            worker.scratch_roots.add(root)
        tracked.status = JobStatus(tracked.handle, JobState.RUNNING)
        tracked.progress.since = steady_now()
        tracked.log_begins(worker.log, worker.log_size() if worker.greeted else 0)
        self._pool.send(worker, protocol.encode(parcel))

    def _worker_of(self, native: str) -> Worker | None:
        for worker in self._pool.workers.values():
            if worker.busy == native:
                return worker
        return None

    # -- what happens -----------------------------------------------------------------------------

    def _pump(self, timeout_s: float) -> None:
        """Wait for something to happen, at most so long, and take notice of all that has."""
        soonest = self._limits.soonest_s(self._busy(), steady_now())
        if not self._pool.tells_ends:
            soonest = min(soonest, _NO_PIDFD_LOOK_S)
        for key, _ in self._selector.select(min(timeout_s, soonest)):
            what, worker = key.data
            if worker.pid not in self._pool.workers:
                continue
            if what == "read":
                self._read(worker)
            elif what == "write":
                self._write(worker)
            else:
                self._gone(worker)
        for worker in self._pool.gone():
            self._gone(worker)
        self._look()
        self._dispatch()

    def _read(self, worker: Worker) -> None:
        lines, more = worker.reader.read()
        now = steady_now()
        for line in lines:
            self._take(worker, line, now)
        if not more:
            self._pool.unwatch(worker.reader.fd)

    def _write(self, worker: Worker) -> None:
        try:
            worker.writer.flush()
        except BrokenPipeError:
            self._pool.unwatch(worker.writer.fd)
            return
        self._pool.watch_writes(worker)

    def _take(self, worker: Worker, line: bytes, now: float) -> None:
        tracked = self._jobs[worker.busy] if worker.busy is not None else None
        if line.startswith(protocol.HELLO_PREFIX):
            worker.greeted = True
            if tracked is not None:
                tracked.progress.since = now
                tracked.log_begins_later(protocol.decode(line)["log"])
        elif tracked is not None and line.startswith(protocol.PARCEL_PREFIX):
            stopped = protocol.decode(line)["state"] != "done"
            worker.ending = worker.ending or stopped
            self._parcel_over(worker, tracked, stopped)
        elif tracked is not None:
            tracked.take(line, now)
            self._changed = True

    def _parcel_over(self, worker: Worker, tracked: Tracked, stopped: bool) -> None:
        tracked.log_ends()
        self._pool.give_back(worker)
        if stopped and tracked.cancel_at is None and tracked.progress.current is not None:
            self._start(tracked, tracked.log_size())  # somebody else stopped that worker
            return
        canceled = tracked.progress.current is not None
        sentence = "was canceled before it started"
        tracked.add(tracked.progress.give_up(Reason.CANCELED.value, sentence, steady_now()))
        self._finish(tracked, canceled or tracked.was_canceled())

    def _finish(self, tracked: Tracked, canceled: bool = False) -> None:
        tracked.finish(canceled)
        self._room = self._room.give_back(tracked.need, tracked.gpus)
        self._live -= 1
        self._changed = True

    # -- limits and losses ------------------------------------------------------------------------

    def _busy(self) -> list[tuple[Worker, Tracked]]:
        workers = list(self._pool.workers.values())
        return [(each, self._jobs[each.busy]) for each in workers if each.busy is not None]

    def _look(self) -> None:
        """End what has run out of time, memory or grace."""
        for worker in self._limits.broken(self._busy(), steady_now()):
            worker.kill()

    def _gone(self, worker: Worker) -> None:
        """A worker's process has ended: settle the version it was at, go on with the rest."""
        self._read(worker)
        native = worker.busy
        status = self._pool.end(worker)
        if native is None or worker.busy is None:
            return
        tracked = self._jobs[native]
        tracked.log_ends()
        verdict, tracked.verdict = tracked.verdict, None
        in_time = verdict is not None and verdict[0] != tracked.progress.index
        if tracked.progress.current is not None and not in_time:
            reason, sentence = self._limits.why(worker, tracked, status)
            if verdict is not None:
                reason, sentence = Reason(verdict[1]), verdict[2]
            tracked.lost(reason, sentence, status)
            self._changed = True
        tracked.resident = 0
        if tracked.cancel_at is not None:
            sentence = "was canceled before it started"
            tracked.add(tracked.progress.give_up(Reason.CANCELED.value, sentence, steady_now()))
            self._finish(tracked, canceled=True)
        elif tracked.progress.current is None:
            self._finish(tracked)
        else:
            self._start(tracked, tracked.log_size())


def _kind_of(tracked: Tracked, has_gpus: bool) -> Kind:
    job = tracked.job
    return Kind(
        job.python,
        job.code or repr(tracked.progress.parcel.get("code")),
        job.environment,
        max(1, ceil(job.resources.cpus)),
        tracked.gpus if has_gpus else None,
        tuple(sorted(job.variables.items())),
        tuple(sorted(job.secrets.items())),
    )
