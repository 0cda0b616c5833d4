"""When a job has had its time, its memory or its grace, and why a worker was lost.

Knows workers and what is tracked of their jobs. Asks /proc for memory; kills nothing itself.
"""

from __future__ import annotations

import signal
from collections.abc import Iterable

from ems.compute import machine
from ems.compute.job import Reason
from ems.compute.pool import Worker
from ems.compute.tracking import Tracked
from ems.worker import usage
from ems.worker.program import signal_name
from ems.worker.serve import FAULT

MEMORY_LOOK_S = 0.25
_LEAST_S = 0.001

Busy = Iterable[tuple[Worker, Tracked]]


class Limits:
    """Watches what runs; memory is looked at a few times a second, and only where it is limited."""

    def __init__(self) -> None:
        self._looked = 0.0
        self._kills = machine.out_of_memory_kills()

    def soonest_s(self, busy: Busy, now: float) -> float:
        """Return in how many seconds a limit may be broken at the earliest."""
        soonest = 3600.0
        for _, tracked in busy:
            seconds, gib = tracked.progress.limits()
            if seconds is not None:
                soonest = min(soonest, tracked.progress.since + seconds - now)
            if gib is not None:
                soonest = min(soonest, MEMORY_LOOK_S)
            if tracked.cancel_at is not None:
                soonest = min(soonest, tracked.cancel_at - now)
        return max(_LEAST_S, soonest)

    def broken(self, busy: Busy, now: float) -> list[Worker]:
        """Return the workers to kill; the verdict is noted in what is tracked of the job."""
        pairs = list(busy)
        self._look_at_memory(pairs, now)
        found: list[Worker] = []
        for worker, tracked in pairs:
            if tracked.cancel_at is not None and now >= tracked.cancel_at:
                found.append(worker)
            elif tracked.verdict is None and worker.greeted:
                verdict = tracked.progress.verdict(now, tracked.resident)
                if verdict is not None:
                    tracked.verdict = (tracked.progress.index, *verdict)
                    found.append(worker)
        return found

    def _look_at_memory(self, busy: Busy, now: float) -> None:
        if now - self._looked < MEMORY_LOOK_S:
            return
        self._looked = now
        limited = {w.pid: t for w, t in busy if t.progress.limits()[1] is not None}
        if limited:
            for pid, resident in usage.resident_bytes(limited).items():
                limited[pid].resident = resident

    def why(self, worker: Worker, tracked: Tracked, status: int) -> tuple[Reason, str]:
        """Return why a worker's process ended in the middle of a job."""
        if tracked.cancel_at is not None:
            return Reason.CANCELED, "was canceled, and ended when its grace period was over"
        if status == FAULT or (status >= 0 and not worker.greeted):
            tail = tracked.read_log(max(0, tracked.log_size() - 2000))
            said = tail.decode("utf-8", "replace").strip() or f"exit status {status}"
            what = "the worker could not go on" if worker.greeted else "no worker could start"
            return Reason.WORKER, f"{what} ({worker.kind.python or 'python'}): {said}"
        if status >= 0:
            return Reason.EXIT, f"the task ended its process with exit code {status}"
        if -status == signal.SIGTERM:
            return Reason.PREEMPTED, "its worker got a SIGTERM that EMS did not send"
        kills = machine.out_of_memory_kills()
        if -status == signal.SIGKILL and kills > self._kills:
            self._kills = kills
            return Reason.OUT_OF_MEMORY, "was killed by the system, which had no memory left"
        return Reason.SIGNAL, f"the worker was ended by {signal_name(-status)}"
