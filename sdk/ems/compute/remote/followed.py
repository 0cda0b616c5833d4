"""One job at a place as this process follows it: what it said so far and what that comes to.

Knows messages, offsets and states. Does no I/O but for the copy of the output that it keeps here.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ems.compute.job import Handle, Job, JobState, JobStatus, Reason
from ems.compute.remote.order import Native
from ems.compute.remote.site import Look, Seen
from ems.worker import protocol
from ems.worker.progress import Progress, steady_now

_SETTLES_S = 1.0
"""After a scheduler says that a job has ended, what it wrote may take so long to be seen here."""
_FORGOTTEN_S = 10.0
"""A job that was handed over may take so long to be known to its scheduler."""


class Line(NamedTuple):
    """A message that waits for the objects that it speaks of: digest → size."""

    text: bytes
    objects: Mapping[str, int]


class Followed:
    """From `submit`, or from a handle of another process, to `forget`."""

    def __init__(self, handle: Handle, output: Path, job: Job | None = None) -> None:
        self.handle = handle
        self.job = job
        self.status = JobStatus(handle, JobState.SUBMITTED)
        self.started = False
        """Whether the scheduler has it; what this process did not submit itself has been handed
        over by somebody else."""
        self.later = 0.0
        """When it is to be shipped at the earliest: its environment is still being made."""
        self.answered = False
        """Whether its place has been asked for it."""
        self.events: list[bytes] = []
        self.waiting = ""
        self.canceled = False
        self.to_tell: float | None = None
        """The grace period in seconds that its scheduler is still to be told of."""
        self.to_brief: bytes | None = None
        """The list of its gang's members that its place is still to be given."""
        self._grace_s: float | None = None
        self._output = output
        self._size = 0
        self._cursor = 0
        self._tail = b""
        self._held: deque[Line] = deque()
        self._progress: Progress | None = None
        self._over: Mapping[str, Any] | None = None
        self._native: Native | None = None
        self._gone_since: float | None = None
        self._complete = False

    @property
    def id(self) -> str:
        """Return what names it at the place."""
        return self.handle.native

    @property
    def gang(self) -> str:
        """Return what names the gang that it is a member of; "" where it is none."""
        return self.job.member.gang if self.job is not None and self.job.member else ""

    @property
    def known(self) -> bool:
        """Whether this process knows what is in it."""
        return self._progress is not None

    @property
    def handed(self) -> bool:
        """Whether its place has it, as far as has been seen."""
        ours = self.job is not None and self.started
        return ours or self.answered or self.status.state.ended

    def learn(self, parcel: dict[str, Any]) -> None:
        """Take note of what is in it."""
        self._progress = Progress(parcel, steady_now())

    def ask_to_end(self, grace_s: float) -> bool:
        """Take note that it is to end; return whether it is new. A later call only shortens."""
        if self._grace_s is not None and grace_s >= self._grace_s:
            return False
        self.canceled, self._grace_s, self.to_tell = True, grace_s, grace_s
        return True

    # -- what comes from the place ----------------------------------------------------------------

    def look(self) -> Look:
        """Return the question for what is new."""
        return Look(self.id, self._cursor, self._size)

    def take(self, seen: Seen, native: Native | None, now: float) -> None:
        """Take in what the job wrote and what its scheduler says, asked in the other order."""
        self.answered = True
        if seen.output:
            with self._output.open("ab") as stream:
                stream.write(seen.output)
            self._size += len(seen.output)
        self._cursor += len(seen.events)
        self._complete = seen.complete
        lines = (self._tail + seen.events).split(b"\n")
        self._tail = lines.pop()
        for line in lines:
            self._read(line, now)
        if native is not None:
            self._native = native
        ended = native is None or native.state.ended
        if not ended or seen.events or not seen.complete:
            self._gone_since = None
        elif self._gone_since is None:
            self._gone_since = now
        began = bool(lines) or (native is not None and native.state is JobState.RUNNING)
        if began and self.status.state is JobState.SUBMITTED:
            self.status = JobStatus(self.handle, JobState.RUNNING)
        self.waiting = native.waiting if native is not None else ""

    def _read(self, line: bytes, now: float) -> None:
        if line.startswith(protocol.PARCEL_PREFIX):
            self._over = protocol.decode(line)
        elif line.startswith(protocol.END_PREFIX):
            message = protocol.decode(line)
            if self.canceled and message.get("reason") == "preempted":
                message["reason"], message["error"]["message"] = "canceled", "was canceled"
                line = protocol.encode(message)[:-1]
            if self._progress is not None:
                self._progress.note(line, now)
            objects: dict[str, int] = dict(message.get("files") or ())
            self._held.append(Line(line, objects))
        elif line:
            self._held.append(Line(line, {}))

    # -- what of it is let through ----------------------------------------------------------------

    def held(self) -> Line | None:
        """Return the first message that waits, or None."""
        return self._held[0] if self._held else None

    def release(self, instead: bytes | None = None) -> None:
        """Let the first message through, or another in its place."""
        self.events.append(instead or self._held[0].text)
        self._held.popleft()

    # -- how it ends ------------------------------------------------------------------------------

    def settle(self, now: float) -> bool:
        """Decide how the job ended if it has, and return whether it has."""
        if self._held or self.status.state.ended:
            return self.status.state.ended
        if self._over is not None:
            if self._complete:
                self._by_its_own_word(self._over)
        elif self._gone_since is not None:
            patience = _SETTLES_S if self._native and self._native.state.ended else _FORGOTTEN_S
            if now - self._gone_since < patience:
                return False
            self._by_the_schedulers_word(now)
        return self.status.state.ended

    def _by_its_own_word(self, over: Mapping[str, Any]) -> None:
        failed = self._progress.failed if self._progress else None
        if over["state"] == "canceled" or (self.canceled and over["state"] == "preempted"):
            self.end(JobState.CANCELED, Reason.CANCELED, "was canceled")
        elif over["state"] == "preempted":
            self.end(JobState.FAILED, Reason.PREEMPTED, "its place was taken back")
        elif failed is None:
            self.status = JobStatus(self.handle, JobState.SUCCEEDED, exit_code=0)
        else:
            self.status = JobStatus(
                self.handle, JobState.FAILED, Reason(failed["reason"]), failed.get("exit"),
                failed.get("signal"), failed["error"]["message"],
            )  # fmt: skip
        self.events.append(protocol.encode(dict(over))[:-1])

    def _by_the_schedulers_word(self, now: float) -> None:
        """The job is gone without a last word: say for its versions what its scheduler says."""
        native = self._native if self._native and self._native.state.ended else None
        reason, detail = Reason.LOST, "neither its scheduler nor its folder knows of it any more"
        if native is not None:
            reason = native.reason or Reason.LOST
            detail = native.detail or f"ended without a last word ({native.state.value})"
        if self.canceled or (native is not None and native.state is JobState.CANCELED):
            self.end(JobState.CANCELED, Reason.CANCELED, detail if native else "was canceled", now)
        else:
            code, number = (native.exit_code, native.signal) if native else (None, None)
            self.end(JobState.FAILED, reason, detail, now, code, number)

    def end(
        self,
        state: JobState,
        reason: Reason,
        detail: str,
        now: float | None = None,
        exit_code: int | None = None,
        number: int | None = None,
    ) -> None:
        """End the job with one reason for each version that has not ended."""
        self.status = JobStatus(self.handle, state, reason, exit_code, number, detail)
        if now is None or self._progress is None:
            return
        progress, word = self._progress, reason.value
        made: list[protocol.Message] = []
        if progress.current is not None and self._cursor:
            made.append(progress.lost(word, detail, now, self._size, exit_code, number))
        made += progress.give_up(word, detail, now)
        said = "canceled" if state is JobState.CANCELED else "done"
        made.append(protocol.parcel_end(progress.parcel["parcel"], said, progress.failed))
        self.events.extend(protocol.encode(message)[:-1] for message in made)

    # -- output -----------------------------------------------------------------------------------

    def log(self, since: int, until: int | None = None) -> bytes:
        """Return the output from an offset on, to another or to its end."""
        if since >= self._size:
            return b""
        try:
            with self._output.open("rb") as stream:
                stream.seek(since)
                return stream.read(-1 if until is None else max(0, until - since))
        except FileNotFoundError:
            return b""

    def drop(self) -> None:
        """Remove the copy of the output."""
        self._output.unlink(missing_ok=True)


def spoiled(line: bytes, problem: str) -> bytes:
    """Return the `end` of a version whose results can't be had."""
    message = json.loads(line)
    made = protocol.lost_end(
        message, Reason.LOST.value, problem, message["t0"], message["t1"], message.get("log")
    )
    return protocol.encode(made)[:-1]
