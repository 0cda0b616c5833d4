"""What Slurm's states and reasons mean in EMS's words.

Sources: squeue(1) of Slurm 22.05.8, "JOB STATE CODES" and "JOB REASON CODES";
https://slurm.schedmd.com/job_reason_codes.html, read 2026-11-21. Messages of
sbatch and of a controller that is away: those of 22.05.8 that its tests provoke, others as they are
known from its slurm_errno table. Pure; does not know how they are asked for.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from ems.compute.job import JobState, Reason
from ems.compute.remote.order import Native

_RUNS = Native(JobState.RUNNING)
_WAITS = Native(JobState.SUBMITTED)


class _End(NamedTuple):
    state: JobState
    reason: Reason | None
    detail: str


_FAILED = JobState.FAILED
_LIVE: dict[str, Native] = {
    "PENDING": _WAITS,
    "CONFIGURING": Native(JobState.SUBMITTED, waiting="its node is made ready (Configuring)"),
    "REQUEUED": _WAITS,
    "REQUEUE_FED": _WAITS,
    "REQUEUE_HOLD": _WAITS,
    "RESV_DEL_HOLD": _WAITS,
    "SPECIAL_EXIT": _WAITS,
    "RUNNING": _RUNS,
    # what it runs is being ended, or has ended and is cleared away: how is told after it
    "COMPLETING": _RUNS,
    "RESIZING": _RUNS,
    "SIGNALING": _RUNS,
    "STAGE_OUT": _RUNS,
    "STOPPED": _RUNS,
    "SUSPENDED": _RUNS,
}
_ENDED: dict[str, _End] = {
    "COMPLETED": _End(JobState.SUCCEEDED, None, ""),
    "FAILED": _End(_FAILED, Reason.EXIT, "ended with a failure"),
    "OUT_OF_MEMORY": _End(_FAILED, Reason.OUT_OF_MEMORY, "used more memory than Slurm gave it"),
    "TIMEOUT": _End(_FAILED, Reason.TIMED_OUT, "ran into its limit of time in Slurm"),
    "NODE_FAIL": _End(_FAILED, Reason.LOST, "its node failed"),
    "PREEMPTED": _End(_FAILED, Reason.PREEMPTED, "Slurm gave its place to another job"),
    "BOOT_FAIL": _End(_FAILED, Reason.NO_CAPACITY, "its node could not be booted"),
    "DEADLINE": _End(_FAILED, Reason.TIMED_OUT, "could not end before its deadline in Slurm"),
    "CANCELLED": _End(JobState.CANCELED, Reason.CANCELED, "was canceled in Slurm"),
    "REVOKED": _End(JobState.CANCELED, Reason.CANCELED, "another cluster of the federation has it"),
}

_NEVER = frozenset(
    {
        "AccountNotAllowed", "BadConstraints", "DependencyNeverSatisfied", "InvalidAccount",
        "InvalidQOS", "PartitionConfig", "PartitionTimeLimit", "QOSNotAllowed", "QOSTimeLimit",
        "ReservationDeleted",
    }
)  # fmt: skip
_NEVER_LIMIT = re.compile(r"(Assoc|QOS)Max\w*Per(Job|Node)(Limit)?$|QOSMin\w*$")
"""Limits of one job; those of a group, of a user or of an account are waited for."""

_SAID = {
    "Resources": "waits for free CPUs, memory or GPUs",
    "Priority": "jobs of a higher priority go first",
    "Dependency": "waits for another job",
    "BeginTime": "its earliest time of start has not come",
    "JobHeldUser": "is held by its user (scontrol release)",
    "JobHeldAdmin": "is held by an administrator",
    "JobArrayTaskLimit": "as many of its array run as may at once",
    "Licenses": "waits for a license",
    "PartitionDown": "its partition is down",
    "PartitionInactive": "its partition starts no jobs now",
    "PartitionNodeLimit": "its partition has no such number of nodes up",
    "ReqNodeNotAvail": "nodes that it could run on are down, drained or reserved",
    "Reservation": "waits for its reservation",
    "BadConstraints": "its constraints can't be met",
    "PartitionConfig": "asks for more than its partition has or allows",
    "PartitionTimeLimit": "its limit of time is above its partition's",
    "DependencyNeverSatisfied": "the job that it waits for failed",
    "InvalidAccount": "its account is invalid",
    "InvalidQOS": "its QOS is invalid",
}
_UNSET = ("", "None", "(null)", "WaitingForScheduling")


@lru_cache(maxsize=1024)
def native(state: str, reason: str, status: int | None = None, place: str = "") -> Native:
    """Return what a job's state means; `status` is a wait status where Slurm tells one.

    A state that is not in the table, of a later Slurm, counts as running: what is certain is only
    that Slurm knows the job.
    """
    word, _, rest = state.partition(" ")
    if word == "PENDING" and _can_never_start(reason):
        return Native(_FAILED, Reason.IMPOSSIBLE, f"can never start here: {said(reason)}")
    if word not in _ENDED:
        found = _LIVE.get(word, _RUNS)
        return found._replace(
            waiting=(said(reason) or found.waiting) if found.state is JobState.SUBMITTED else "",
            place=place,
        )
    end = _ENDED[word]
    detail = f"{end.detail} {rest}" if rest.startswith("by ") else end.detail
    if word == "FAILED" and reason == "BadConstraints":
        return Native(_FAILED, Reason.IMPOSSIBLE, f"can never start here: {said(reason)}")
    if word == "FAILED" and reason not in (*_UNSET, "NonZeroExitCode"):
        detail = f"{detail} ({reason})"
    code, number = _code_and_signal(status) if word in ("COMPLETED", "FAILED") else (None, None)
    why = Reason.SIGNAL if number and end.reason is Reason.EXIT else end.reason
    return Native(end.state, why, detail, code, number, place=place)


_PLAIN = (None, Reason.EXIT, Reason.SIGNAL, Reason.CANCELED)
"""Ends that say nothing of why, or may be the consequence of another part's end."""


def of_all(parts: Sequence[Native]) -> Native:
    """Return what the components of a heterogeneous job come to.

    One that can never start keeps the others from it; while one is there, the job has not ended;
    how it ended is told by the one that says most.
    """
    never = [each for each in parts if each.reason is Reason.IMPOSSIBLE]
    live = [each for each in parts if not each.state.ended]
    running = [each for each in live if each.state is JobState.RUNNING]
    telling = sorted(parts, key=lambda each: (each.reason in _PLAIN, each.reason is None))
    said = (never or running or sorted(live, key=lambda each: not each.waiting) or telling)[0]
    places = ",".join(each.place for each in parts if each.place)
    return said._replace(place=places)


def _can_never_start(reason: str) -> bool:
    word = _word(reason)
    return word in _NEVER or _NEVER_LIMIT.match(word) is not None


def said(reason: str) -> str:
    """Return a pending job's reason for a person, with Slurm's own word."""
    if reason in _UNSET:
        return ""
    sentence = _SAID.get(_word(reason))
    return f"{sentence} ({reason})" if sentence else reason


def _word(reason: str) -> str:
    """Return the first word: of `ReqNodeNotAvail, UnavailableNodes:n[1-4]` that is the reason."""
    return re.split(r"[,\s(]", reason, maxsplit=1)[0]


def _code_and_signal(status: int | None) -> tuple[int | None, int | None]:
    if status is None:
        return None, None
    number = status & 0x7F
    return (None, number) if number else (status >> 8, None)


_ABSENT = (
    "Connection refused",
    "Connection timed out",
    "Munge encode failed",
    "Protocol authentication error",
    "Resource temporarily unavailable",
    "Slurm backup controller in standby mode",
    "Slurm temporarily unable to accept job",
    "Socket timed out",
    "Transport endpoint is not connected",
    "Unable to contact slurm",
    "Unable to establish configuration source",
    "Unable to establish controller machine",
    "Unable to process configuration file",
    "Unexpected message received",
    "Zero Bytes were transmitted or received",
)
_FULL = (
    "Job violates accounting/QOS policy",
    "Nodes required for job are DOWN",
    "Required partition not available",
    "Requested nodes are busy",
    "slurm job count",
)


def absent(text: str) -> bool:
    """Whether a command failed because Slurm does not answer now."""
    return any(each in text for each in _ABSENT)


def refusal(text: str) -> tuple[Reason, str]:
    """Return why sbatch took nothing, and its own sentence."""
    found: list[str] = []
    for line in text.splitlines():
        plain = re.sub(r"^sbatch: ?((error|fatal):)? ?", "", line.strip())
        plain = plain.removeprefix("Batch job submission failed: ")
        if plain and not plain.startswith("Try ") and plain not in found:
            found.append(plain)
    full = any(each in text for each in _FULL)
    return Reason.NO_CAPACITY if full else Reason.IMPOSSIBLE, "; ".join(found) or "sbatch said no"
