"""What AWS Batch says of a job, in EMS's words.

Pure. The states are those of docs.aws.amazon.com/batch/latest/userguide/job_states.html. Why a job
ended stands in no list: Batch passes on sentences, its own in `statusReason` and those of ECS in
`container.reason`. The table names the page that each comes from, as
excerpts of them had it on 2026-11-21; sentences that AWS changes are FAILED with its own words.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ems.compute.job import JobState, Reason
from ems.compute.refusals import inner
from ems.compute.remote.order import Native

STATES: Mapping[str, JobState] = {
    "SUBMITTED": JobState.SUBMITTED,
    "PENDING": JobState.SUBMITTED,
    "RUNNABLE": JobState.SUBMITTED,
    "STARTING": JobState.SUBMITTED,
    "RUNNING": JobState.RUNNING,
    "SUCCEEDED": JobState.SUCCEEDED,
    "FAILED": JobState.FAILED,
}
_WAITING: Mapping[str, str] = {
    "PENDING": "waits for what it depends on",
    "RUNNABLE": "waits for an instance",
    "STARTING": "its container starts",
}


class Cause(NamedTuple):
    """A sentence of Batch or ECS that tells why a job failed, and the page that has it."""

    pattern: str
    reason: Reason
    page: str


_BATCH = "docs.aws.amazon.com/batch/latest/userguide/"
_ECS = "docs.aws.amazon.com/AmazonECS/latest/developerguide/"
CAUSES: tuple[Cause, ...] = (
    Cause(r"Job attempt duration exceeded timeout", Reason.TIMED_OUT, _BATCH + "job_timeouts.html"),
    Cause(
        r"JobStateTimeLimit action .*CAPACITY:",
        Reason.NO_CAPACITY,
        _BATCH + "job_stuck_in_runnable_capacity.html",
    ),
    Cause(
        r"JobStateTimeLimit action .*MISCONFIGURATION:",
        Reason.IMPOSSIBLE,
        _BATCH + "job_stuck_in_runnable.html",
    ),
    Cause(r"Host EC2 .*terminated", Reason.PREEMPTED, _BATCH + "job_retries.html"),
    Cause(r"Spot .*interrupt", Reason.PREEMPTED, _ECS + "stopped-task-error-codes.html"),
    Cause(r"OutOfMemory", Reason.OUT_OF_MEMORY, _ECS + "out-of-memory.html"),
    # the instance's disk or the network, not the image
    Cause(
        r"CannotPull.*(no space left|[Tt]imeout|timed out|context canceled|toomanyrequests)",
        Reason.LOST,
        _ECS + "task_cannot_pull_image.html",
    ),
    Cause(r"CannotPull", Reason.BAD_IMAGE, _ECS + "task_cannot_pull_image.html"),
    Cause(
        r"CannotStartContainer.*(executable file not found|no such file|exec format)",
        Reason.BAD_IMAGE,
        _ECS + "cannot-start-container.html",
    ),
    Cause(
        r"(Dockertimeout|DockerTimeout|CannotInspectContainer)",
        Reason.LOST,
        _ECS + "stopped-task-error-codes.html",
    ),
    # a secret, a log group or a file system that the job's definition names
    Cause(
        r"ResourceInitialization|CannotCreateVolume|CannotCreateContainer|CannotStartContainer",
        Reason.WORKER,
        _ECS + "stopped-task-error-codes.html",
    ),
    Cause(r"Overrides length must be at most", Reason.IMPOSSIBLE, _BATCH + "service_limits.html"),
    Cause(r"Task failed to start", Reason.BAD_IMAGE, _BATCH + "job_retries.html"),
)
"""In the order of looking: the first that is found anywhere in both sentences counts."""

PREEMPTED = 101
"""What the worker returns after a SIGTERM that EMS did not ask for (`ems.worker.alone`)."""
OURS = "ems: canceled"
"""How the reason begins that a job is ended with on behalf of somebody here."""


def native(job: Mapping[str, Any]) -> Native:
    """Return what Batch tells of one job (`DescribeJobs`, or an entry of `ListJobs`)."""
    status = str(job.get("status") or "SUBMITTED")
    state = STATES.get(status, JobState.SUBMITTED)
    if state is JobState.SUBMITTED:
        return Native(state, waiting=job.get("statusReason") or _WAITING.get(status, ""))
    place = _place(job)
    if state is not JobState.FAILED:
        code = 0 if state is JobState.SUCCEEDED else None
        return Native(state, exit_code=code, place=place)
    return _failed(job)._replace(place=place)


def _failed(job: Mapping[str, Any]) -> Native:
    said = str(job.get("statusReason") or "")
    inside = _last_container(job)
    why = str(inside.get("reason") or "")
    text = f"{said}: {why}" if said and why and why not in said else said or why
    code: int | None = inside.get("exitCode")
    cause = next((each for each in CAUSES if re.search(each.pattern, text)), None)
    if cause is not None:
        return Native(JobState.FAILED, cause.reason, text, *_numbers(code))
    if _was_ended(job):
        return Native(JobState.CANCELED, Reason.CANCELED, text or "was terminated in AWS Batch")
    if code is None:
        return Native(JobState.FAILED, Reason.LOST, text or "AWS Batch does not say why it failed")
    exit_code, number = _numbers(code)
    if code == PREEMPTED:
        text = "its worker got a SIGTERM that EMS did not send"
        return Native(JobState.FAILED, Reason.PREEMPTED, text, code)
    reason = Reason.EXIT if number is None else Reason.SIGNAL
    return Native(JobState.FAILED, reason, f"exit code {code} ({text})", exit_code, number)


def _was_ended(job: Mapping[str, Any]) -> bool:
    """Whether somebody ended it: Batch marks that, with the sentence that they gave."""
    told = job.get("isTerminated") or job.get("isCancelled")
    return bool(told) or str(job.get("statusReason") or "").startswith(OURS)


def _numbers(code: int | None) -> tuple[int | None, int | None]:
    """Return (exit code, signal): a shell's and Docker's codes above 128 stand for signals."""
    if code is not None and 128 < code <= 128 + 64:
        return None, code - 128
    return code, None


def _last_container(job: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what is told of the container: of the last attempt where the job itself says less."""
    own = inner(job, "container")
    attempts: Sequence[Mapping[str, Any]] = job.get("attempts") or [{}]
    last = inner(attempts[-1], "container")
    return {
        key: own.get(key) if own.get(key) is not None else last.get(key)
        for key in ("exitCode", "reason", "containerInstanceArn")
    }


def _place(job: Mapping[str, Any]) -> str:
    arn = str(_last_container(job).get("containerInstanceArn") or "")
    return arn.rpartition("/")[2]
