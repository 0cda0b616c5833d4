"""A plain command as a parcel of one version, so that every job here runs the same way.

Knows jobs and the worker protocol. Does not know workers.
"""

from __future__ import annotations

from typing import Any

from ems.compute.job import Job, Member
from ems.worker import protocol


def parcel_of(job: Job, name: str, scratch: str) -> dict[str, Any]:
    """Return the parcel of a job: its payload, or its command as the one version `name`."""
    if job.payload is not None:
        return dict(job.payload)
    most = job.limits or job.resources
    version = job.member.line if job.member is not None and job.member.line else name
    return {
        "schema": protocol.SCHEMA,
        "parcel": name,
        "env": dict(job.declared),
        "tasks": [
            {
                "kind": "command",
                "name": job.name,
                "argv": list(job.command),
                "files": dict(job.inputs),
                "outputs": dict(job.outputs),
                "timeout_s": job.timeout_s,
                "memory_gib": most.memory_gib or None,
            }
        ],
        "objects": [*job.objects, *([job.outbox] if job.outbox else [])],
        "outbox": job.outbox or None,
        "scratch": None if job.outbox else scratch,
        "attempts": job.attempts or None,
        "versions": [{"v": version, "gen": 1, "try": 1, "task": 0, "args": {}, "seed": 0}],
        **({"gang": _gang(job, job.member)} if job.member is not None else {}),
    }


def _gang(job: Job, member: Member) -> dict[str, Any]:
    return {
        "gang": member.gang,
        "role": member.role,
        "nth": member.nth,
        "times": member.times,
        "rank": member.rank,
        "size": member.size,
        "wait_s": member.meet_s,
        "cpus": job.resources.cpus,
    }
