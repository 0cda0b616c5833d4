"""One try of a gang as this process knows it, and what its members come to together.

Knows members, messages and how they end. Writes nothing down and asks no place by itself.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

from ems.compute.backend import Backend
from ems.compute.job import Handle, Job, JobState, JobStatus, Member, Reason
from ems.jobs.keeping import last_word
from ems.jobs.types import MemberInfo
from ems.store.jobs import End
from ems.worker import protocol

STOPPED = "was told to stop"
_ENDED_WITH_IT = "ended with its gang"


class Gang:
    """The members of one try, once they were handed over; shared by all watches of a process."""

    def __init__(
        self, jobs: Sequence[Job], ends: frozenset[str], handles: Sequence[Handle]
    ) -> None:
        self.members = [job.member for job in jobs if job.member is not None]
        self.handles = list(handles)
        self._names = [job.name for job in jobs]
        self.stopping = False
        """Whether this process has told those that still run to stop."""
        self._ends = ends
        self._cursors = [0] * len(jobs)
        self._ready: dict[int, Mapping[str, Any]] = {}
        self._met: set[int] = set()
        self._waits_since: float | None = None

    # -- the meeting ------------------------------------------------------------------------------

    def hear(self, backend: Backend) -> None:
        """Take in what members said since."""
        for rank, handle in enumerate(self.handles):
            lines, self._cursors[rank] = backend.events(handle, self._cursors[rank])
            for line in lines:
                if line.startswith(protocol.READY_PREFIX):
                    self._ready[rank] = protocol.decode(line)
                elif line.startswith(protocol.MET_PREFIX):
                    self._met.add(rank)
        if self._ready and self._waits_since is None:
            self._waits_since = time.monotonic()

    @property
    def has_met(self) -> bool:
        """Whether every member knows the others."""
        return len(self._met) == len(self.members)

    @property
    def met(self) -> set[Handle]:
        """Return the members that know the others."""
        return {self.handles[rank] for rank in self._met}

    @property
    def peers(self) -> bytes | None:
        """Return the list that members wait for; None where not all of them are ready."""
        if len(self._ready) < len(self.members):
            return None
        rows = [
            {
                "role": member.role,
                "role_rank": member.nth,
                "rank": member.rank,
                "address": self._ready[member.rank]["address"],
                "port": self._ready[member.rank]["port"],
            }
            for member in self.members
        ]
        return json.dumps(rows, indent=1).encode() + b"\n"

    @property
    def missing(self) -> list[str]:
        """Return the names of members that are not ready."""
        return [each.name for each in self.members if each.rank not in self._ready]

    def waited_too_long(self) -> bool:
        """Whether the first member has been ready for longer than members wait.

        Not where one knows the others: then all were there, whoever has introduced them.
        """
        if self._met:
            return False
        since, limit = self._waits_since, self.members[0].meet_s
        return bool(self.missing) and since is not None and time.monotonic() - since > limit

    # -- how it ends ------------------------------------------------------------------------------

    def verdict(self, backend: Backend, statuses: Sequence[JobStatus]) -> End | None:
        """Return how the gang ends, as soon as that is certain.

        Well once all roles that end it did, or all where none does; else with the first member
        that failed, or that somebody canceled.
        """
        pairs = list(zip(self.members, statuses, strict=True))
        counts = [each for each in pairs if not self._ends or each[0].role in self._ends]
        if all(status.state is JobState.SUCCEEDED for _, status in counts):
            return End("succeeded", exit_code=0)
        failed = [each for each in pairs if each[1].state is JobState.FAILED]
        if failed:
            return self._failure(backend, failed)
        for member, status in pairs:
            if status.state is JobState.CANCELED:
                detail = f"{member.name}: {status.detail or 'was canceled'}"
                return End("canceled", Reason.CANCELED.value, detail=detail)
        if self.waited_too_long():
            limit, some = self.members[0].meet_s, ", ".join(self.missing[:5])
            count = f" and {len(self.missing) - 5} more" if len(self.missing) > 5 else ""
            verb = "was" if len(self.missing) == 1 else "were"
            detail = f"{some}{count} {verb} not there {limit:g} s after the first member"
            return End("failed", Reason.NO_CAPACITY.value, detail=detail)
        return None

    def _failure(self, backend: Backend, failed: Sequence[tuple[Member, JobStatus]]) -> End:
        def when(each: tuple[Member, JobStatus]) -> float:
            return float(last_word(backend, each[1].handle).get("t1") or time.time())

        member, status = min(failed, key=when)
        reason = status.reason or Reason.LOST
        said = status.detail.removeprefix(f"{self._names[member.rank]} ")
        detail = f"{member.name}: {said or reason.value}"
        return End("failed", reason.value, status.exit_code, status.signal, detail)

    # -- for people -------------------------------------------------------------------------------

    def infos(self, statuses: Sequence[JobStatus], waiting: Sequence[str]) -> list[MemberInfo]:
        """Return what is known of each member that runs."""
        found: list[MemberInfo] = []
        for member, status, why in zip(self.members, statuses, waiting, strict=True):
            ready = self._ready.get(member.rank, {})
            detail = status.detail or why
            if not status.state.ended and member.rank in self._ready and not self.has_met:
                detail = "is ready"
            found.append(
                MemberInfo(
                    member.name, member.role, member.nth, member.rank, status.state, status.reason,
                    status.exit_code, status.signal, detail, status.handle.backend,
                    status.handle.native, str(ready.get("address", "")), int(ready.get("port", 0)),
                )
            )  # fmt: skip
        return found

    def row(self, member: Member, end: End, handle: Handle, stop: End) -> dict[str, Any]:
        """Return an ended member as records hold it."""
        ready = self._ready.get(member.rank, {})
        state, reason, detail = end.state, end.reason, end.detail
        ends_it = not self._ends or member.role in self._ends
        if stop.state == "succeeded" and not ends_it and state != "succeeded":
            state, reason, detail = "succeeded", "", STOPPED
        elif state == "canceled" and stop.state == "failed":
            detail = _ENDED_WITH_IT
        row = {
            "name": member.name, "role": member.role, "nth": member.nth, "rank": member.rank,
            "state": state, "reason": reason, "exit_code": end.exit_code, "signal": end.signal,
            "detail": detail, "place": handle.backend, "native": handle.native,
            "address": ready.get("address"), "port": ready.get("port"), "log": end.log,
        }  # fmt: skip
        return {key: value for key, value in row.items() if value not in (None, "")}


def member_of(row: Mapping[str, Any]) -> MemberInfo:
    """Return what a record holds of a member."""
    return MemberInfo(
        str(row["name"]), str(row["role"]), int(row["nth"]), int(row["rank"]),
        JobState(row["state"]), Reason(row["reason"]) if row.get("reason") else None,
        row.get("exit_code"), row.get("signal"), str(row.get("detail", "")),
        str(row.get("place", "")), str(row.get("native", "")), str(row.get("address", "")),
        int(row.get("port", 0)), str(row["log"][0]) if row.get("log") else "",
    )  # fmt: skip
