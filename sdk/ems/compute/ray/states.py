"""What Ray, and the runner of EMS on Ray's nodes, say of a job, in EMS's words.

Pure. The states of a submitted job (docs.ray.io, "Ray Jobs Python SDK API Reference": JobStatus and
JobErrorType; "Ray Jobs REST API specification": JobDetails; read 2026-11-21, Ray 2.60):

    PENDING    not started: waits for a node with room, or for its runtime environment
    RUNNING    its entrypoint runs
    STOPPED    somebody asked for its end
    SUCCEEDED  exit code 0
    FAILED     `error_type` says why, see `_ERRORS`
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ems.compute.job import JobState, Reason
from ems.compute.remote.order import Native

_STATES = {
    "PENDING": JobState.SUBMITTED,
    "RUNNING": JobState.RUNNING,
    "STOPPED": JobState.CANCELED,
    "SUCCEEDED": JobState.SUCCEEDED,
    "FAILED": JobState.FAILED,
}
_ERRORS = {
    "RUNTIME_ENV_SETUP_FAILURE": Reason.ENVIRONMENT,
    "JOB_SUPERVISOR_ACTOR_START_TIMEOUT": Reason.NO_CAPACITY,
    "JOB_SUPERVISOR_ACTOR_START_FAILURE": Reason.LOST,
    "JOB_SUPERVISOR_ACTOR_UNSCHEDULABLE": Reason.IMPOSSIBLE,
    "JOB_SUPERVISOR_ACTOR_UNKNOWN_FAILURE": Reason.LOST,
    "JOB_SUPERVISOR_ACTOR_DIED": Reason.LOST,
    "JOB_ENTRYPOINT_COMMAND_START_ERROR": Reason.WORKER,
    "JOB_ENTRYPOINT_COMMAND_ERROR": Reason.EXIT,
}
# ActorDiedError and its DeathCause (docs.ray.io, "Exceptions" and "Out-Of-Memory Prevention";
# read 2026-11-21)
_MEMORY = re.compile(r"memory monitor|low on memory|OutOfMemory|\bOOM\b", re.IGNORECASE)
_PREEMPTED = re.compile(r"preempt", re.IGNORECASE)
_NODE = re.compile(r"its node has died|node was terminated", re.IGNORECASE)
_NOT_FOUND = (126, 127)
_MOST_WORDS = 500


def native_of(job: Mapping[str, Any]) -> Native:
    """Return what the Jobs API says of a job."""
    state = _STATES[job["status"]]
    place = _host(job.get("driver_agent_http_address"))
    if state is JobState.SUBMITTED:
        return Native(state, waiting=str(job.get("message") or ""))
    if state is JobState.CANCELED:
        return Native(state, Reason.CANCELED, "was stopped", place=place)
    if state is not JobState.FAILED:
        code = job.get("driver_exit_code") if state is JobState.SUCCEEDED else None
        return Native(state, exit_code=code, place=place)
    return _failed(job, place)


def _failed(job: Mapping[str, Any], place: str) -> Native:
    reason = _ERRORS.get(job.get("error_type") or "", Reason.LOST)
    message = _short(job.get("message") or "")
    if reason is Reason.EXIT:
        return _by_code(int(job.get("driver_exit_code") or 0), message, place)
    if reason is Reason.LOST and _MEMORY.search(message):
        return Native(JobState.FAILED, Reason.OUT_OF_MEMORY, message, place=place)
    if reason is Reason.LOST and _PREEMPTED.search(message):
        return Native(JobState.FAILED, Reason.PREEMPTED, message, place=place)
    if reason is Reason.LOST and _NODE.search(message):
        return Native(JobState.FAILED, reason, f"its node {place} died: {message}", place=place)
    return Native(JobState.FAILED, reason, message, place=place)


def _by_code(code: int, message: str, place: str) -> Native:
    if code in _NOT_FOUND:
        return Native(JobState.FAILED, Reason.ENVIRONMENT, message, code, place=place)
    if code < 0:
        detail = f"was ended by signal {-code}"
        return Native(JobState.FAILED, Reason.SIGNAL, detail, signal=-code, place=place)
    detail = f"ended with exit code {code}"
    return Native(JobState.FAILED, Reason.EXIT, detail, code, place=place)


def native_of_child(state: Mapping[str, Any]) -> Native:
    """Return what the file says that stands in a job's folder (see child.py)."""
    place = str(state.get("node") or "")
    if state["state"] != "ended":
        return Native(JobState.RUNNING, place=place)
    why, detail = str(state.get("why") or ""), str(state.get("detail") or "")
    code, number = state.get("code"), state.get("signal")
    if why == "canceled":
        return Native(JobState.CANCELED, Reason.CANCELED, detail or "was canceled", place=place)
    if why:
        return Native(JobState.FAILED, Reason(why), detail, code, number, place=place)
    if number:
        return _by_code(-int(number), "", place)
    if code:
        return Native(
            JobState.FAILED, Reason.EXIT, f"ended with exit code {code}", code, place=place
        )
    return Native(JobState.SUCCEEDED, exit_code=0, place=place)


def _short(message: str) -> str:
    """Return a message on one line; Ray appends the entrypoint's last output to it."""
    return " ".join(message.split())[:_MOST_WORDS]


def _host(address: str | None) -> str:
    return address.partition("//")[2].rpartition(":")[0] if address else ""
