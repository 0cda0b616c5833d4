"""What the local backend knows of one job: its state, its messages and where its output lies.

Knows jobs, progress and files. Does not know processes.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ems.compute.capacity import Need
from ems.compute.job import Handle, Job, JobState, JobStatus, Reason
from ems.worker import protocol
from ems.worker.progress import Progress, steady_now


class _Stretch:
    """A part of a worker's output file that belongs to a job; `end` None while it grows."""

    __slots__ = ("end", "path", "start")

    def __init__(self, path: Path, start: int) -> None:
        self.path = path
        self.start = start
        self.end: int | None = None

    def size(self) -> int:
        """Return how many bytes it has so far."""
        end = os.stat(self.path).st_size if self.end is None else self.end
        return max(0, end - self.start)


class Tracked:
    """One job from `submit` to `forget`."""

    def __init__(self, handle: Handle, job: Job, parcel: dict[str, Any]) -> None:
        self.handle = handle
        self.job = job
        self.need = Need.of(job.resources)
        self.gpus: tuple[str, ...] = ()
        self.status = JobStatus(handle, JobState.SUBMITTED)
        self.events: list[bytes] = []
        self.progress = Progress(
            parcel, steady_now(), job.timeout_s, job.resources.memory_gib or None
        )
        self.cancel_at: float | None = None
        self.verdict: tuple[int, str, str] | None = None
        self.resident = 0
        self._stretches: list[_Stretch] = []

    # -- messages ---------------------------------------------------------------------------------

    def take(self, line: bytes, now: float) -> None:
        """Keep a line of the worker's; a SIGTERM that is not ours preempts it, and cancels not."""
        if self.cancel_at is None and line.startswith(protocol.END_PREFIX):
            line = protocol.preempted(line)
        self.progress.note(line, now)
        self.events.append(line)

    def add(self, messages: Sequence[protocol.Message]) -> None:
        """Keep messages that the worker could not send itself."""
        self.events.extend(protocol.encode(message)[:-1] for message in messages)

    def finish(self, canceled: bool = False) -> None:
        """Settle the state from what the versions came to."""
        failed = self.progress.failed
        state = JobState.CANCELED if canceled else JobState.FAILED if failed else JobState.SUCCEEDED
        word = "canceled" if canceled else "done"
        self.add([protocol.parcel_end(self.progress.parcel["parcel"], word, failed)])
        if canceled:
            self.status = JobStatus(self.handle, state, Reason.CANCELED)
        elif failed is None:
            self.status = JobStatus(self.handle, state, exit_code=0)
        else:
            self.status = JobStatus(
                self.handle,
                state,
                Reason(failed["reason"]),
                failed.get("exit"),
                failed.get("signal"),
                failed["error"]["message"],
            )

    def lost(self, reason: Reason, sentence: str, status: int) -> None:
        """The worker is gone: say so for the version it was at, or for all if none can start."""
        now = steady_now()
        if reason is Reason.WORKER:
            self.add(self.progress.give_up(reason.value, sentence, now))
            return
        exit_code, number = (status, None) if status >= 0 else (None, -status)
        size = self.log_size()
        self.add(
            [
                self.progress.lost(
                    reason.value, sentence, now, size, exit_code, number, self.resident
                )
            ]
        )

    def was_canceled(self) -> bool:
        """Whether the version that a canceled job was at did not end by itself."""
        if self.cancel_at is None:
            return False
        ends = [line for line in self.events if line.startswith(protocol.END_PREFIX)]
        return bool(ends) and protocol.decode(ends[-1]).get("reason") == Reason.CANCELED.value

    def refuse(self, reason: Reason, sentence: str) -> None:
        """End the job before it started, with the same reason for every version."""
        self.add(self.progress.give_up(reason.value, sentence, steady_now()))
        self.finish(canceled=reason is Reason.CANCELED)

    # -- output -----------------------------------------------------------------------------------

    def log_begins(self, path: Path, size: int) -> None:
        """From here on, what is written to this file is the job's output."""
        self._stretches.append(_Stretch(path, size))

    def log_begins_later(self, size: int) -> None:
        """What the interpreter wrote before the worker was ready is not the job's output."""
        self._stretches[-1].start = max(size, 0)

    def log_ends(self) -> None:
        """The worker is done with the job: what follows in its file is another's."""
        for stretch in self._stretches:
            if stretch.end is None:
                stretch.end = stretch.start + stretch.size()

    def log_size(self) -> int:
        """Return how many bytes of output there are so far."""
        return sum(stretch.size() for stretch in self._stretches)

    def read_log(self, since: int, until: int | None = None) -> bytes:
        """Return the output from an offset on, to another or to its end."""
        parts: list[bytes] = []
        begin = 0
        for stretch in self._stretches:
            size = stretch.size()
            low = max(since - begin, 0)
            high = size if until is None else min(until - begin, size)
            if low < high:
                with open(stretch.path, "rb") as stream:
                    stream.seek(stretch.start + low)
                    parts.append(stream.read(high - low))
            begin += size
        return b"".join(parts)
