"""One small Batch job: submitted, followed to its end, its log read, its definition taken back.

Knows Batch's and CloudWatch's calls. Does not know what an environment is.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ems.errors import EmsError
from ems.stack.aws import Clients, asking
from ems.stack.outputs import Queue, Site, StackOutputs

IMAGE = "public.ecr.aws/docker/library/busybox:stable"
COMMAND = ("sh", "-c", "echo hello from EMS; uname -sm; date -u")
SHARE = "firsthour"
"""Whose share of a fair-share queue it takes; letters and digits."""
_ENDED = ("SUCCEEDED", "FAILED")
_EVERY_S = 5.0
_LOG_WITHIN_S = 60.0
_HINTS = {
    "RUNNABLE": "an instance is asked for: two to five minutes as a rule. For much longer, the"
    " quota or the zones have none (emsctl check)",
    "STARTING": "the instance is there and fetches the image",
}


@dataclass(frozen=True)
class Where:
    """A queue that can run it."""

    site: str
    key: str
    region: str
    queue: Queue
    log_group: str
    job_role: str
    execution_role: str


@dataclass(frozen=True)
class Ran:
    """How it ended."""

    job: str
    waited_s: float
    """From its submission to its start."""
    ran_s: float
    log: tuple[str, ...]


def choose(outputs: StackOutputs) -> Where:
    """Return a general queue without GPUs, or else any without; EmsError where there is none."""
    found = [
        _where(name, site, key, queue)
        for name, site in outputs.sites.items()
        if site.batch
        for key, queue in site.batch.queues.items()
        if not queue.gpu
    ]
    if not found:
        step = "batch: {} at a site of its file"
        raise EmsError(f"environment {outputs.environment}", "has no queue without GPUs", step)
    return min(found, key=lambda where: where.queue.kind != "general")


def run(
    where: Where,
    environment: str,
    tags: Mapping[str, str],
    clients: Clients,
    tell: Callable[[str], None],
    limit_s: float,
    every_s: float = _EVERY_S,
) -> Ran:
    """Run the job to its end; EmsError, with its log, for every end but success.

    Whatever happens, the job does not go on and its definition is taken back.
    """
    batch = clients("batch", where.region)
    with asking(f"Batch in {where.region}"):
        definition = batch.register_job_definition(**_definition(where, environment, tags))
    arn, job = definition["jobDefinitionArn"], ""
    try:
        with asking(f"queue {where.queue.name}"):
            share = {"shareIdentifier": SHARE} if where.queue.fair_share else {}
            job = batch.submit_job(
                jobName=f"{environment}-first-hour",
                jobQueue=where.queue.name,
                jobDefinition=arn,
                tags=dict(tags),
                **share,
            )["jobId"]
        tell(f"job {job} in queue {where.key} of {where.site}")
        ended = _follow(batch, job, tell, limit_s, every_s)
    finally:
        with asking(f"Batch in {where.region}"):
            if job:
                batch.terminate_job(jobId=job, reason="the first hour is over")
            batch.deregister_job_definition(jobDefinition=arn)
    log = _log(clients("logs", where.region), where.log_group, ended)
    _expect_success(ended, log)
    began, created = ended["startedAt"], ended["createdAt"]
    took_s = (ended["stoppedAt"] - began) / 1000
    return Ran(job, (began - created) / 1000, took_s, log)


def _where(name: str, site: Site, key: str, queue: Queue) -> Where:
    batch = site.batch
    assert batch
    return Where(
        name, key, site.region, queue, batch.log_group, batch.job_role, batch.execution_role
    )


def _definition(where: Where, environment: str, tags: Mapping[str, str]) -> dict[str, Any]:
    return {
        "jobDefinitionName": f"{environment}-first-hour",
        "type": "container",
        # a queue with fair share wants a priority from every job
        **({"schedulingPriority": 1} if where.queue.fair_share else {}),
        "timeout": {"attemptDurationSeconds": 300},
        "propagateTags": True,
        "tags": dict(tags),
        "containerProperties": {
            "image": IMAGE,
            "command": list(COMMAND),
            "privileged": False,  # said, since the submit policy wants it said
            "jobRoleArn": where.job_role,
            "executionRoleArn": where.execution_role,
            "resourceRequirements": [
                {"type": "VCPU", "value": "1"},
                {"type": "MEMORY", "value": "512"},
            ],
            "logConfiguration": {
                "logDriver": "awslogs",
                "options": {"awslogs-group": where.log_group, "awslogs-region": where.region},
            },
        },
    }


def _follow(
    batch: Any, job: str, tell: Callable[[str], None], limit_s: float, every_s: float
) -> dict[str, Any]:
    """Wait for the end, and tell each new state."""
    limit, told = time.monotonic() + limit_s, ""
    while True:
        with asking(f"job {job}"):
            seen: dict[str, Any] = batch.describe_jobs(jobs=[job])["jobs"][0]
        status = str(seen["status"])
        if status != told:
            hint = _HINTS.get(status)
            tell(f"{status}{f' ({hint})' if hint else ''}")
            told = status
        if status in _ENDED:
            return seen
        if time.monotonic() > limit:
            reason = seen.get("statusReason") or "Batch gives no reason"
            raise EmsError(
                f"job {job}",
                f"was still {status} after {limit_s / 60:.0f} min ({reason}), and was ended",
                "emsctl check, then the queue in the console of AWS Batch",
            )
        time.sleep(every_s)


def _log(logs: Any, group: str, job: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the log's lines; CloudWatch has them some seconds after the job's end."""
    stream = job.get("container", {}).get("logStreamName")
    limit = time.monotonic() + _LOG_WITHIN_S
    while stream:
        try:
            found = logs.get_log_events(
                logGroupName=group, logStreamName=stream, startFromHead=True
            )["events"]
        except logs.exceptions.ResourceNotFoundException:
            found = []
        if found or time.monotonic() > limit:
            return tuple(str(event["message"]) for event in found)
        time.sleep(2)
    return ()


def _expect_success(job: Mapping[str, Any], log: tuple[str, ...]) -> None:
    if job["status"] == "SUCCEEDED":
        return
    container = job.get("container", {})
    code = container.get("exitCode")
    why = container.get("reason") or job.get("statusReason") or "no reason is given"
    said = f"; its log ends: {' / '.join(log[-3:])}" if log else ""
    ended = f"failed with exit code {code}" if code is not None else "failed"
    raise EmsError(f"job {job['jobId']}", f"{ended} ({why}){said}")
