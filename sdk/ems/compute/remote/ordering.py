"""A job as an order for a scheduler: its id, its command line and the limits that hold there.

Pure. Does not know sites or schedulers.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from typing import Any, cast

from ems.compute.job import Job
from ems.compute.remote.order import Order
from ems.worker.meeting import PATIENCE

_LABEL = re.compile(r"[^a-z0-9-]+")
_GRACE_S = 30.0
_SLACK_S = 60.0
"""What a job's limit leaves beyond its versions': the worker ends those itself, with a reason."""
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


def wanted_id(job: Job) -> str:
    """Return the id of a job: the same for the same key, a new one where it has none."""
    return f"ems-{(job.key or os.urandom(16).hex())[:32]}"


def order_of(job: Job, id: str, folder: str, runner: tuple[str, str]) -> Order:
    """Return the order for a job in its folder; `runner` is the Python there and the worker."""
    parcel: Mapping[str, Any] = job.payload or {}
    threads = str(max(1, math.ceil(job.resources.cpus)))
    variables = {**dict.fromkeys(_THREADS, threads), "PYTHONHASHSEED": "0", **job.variables}
    return Order(
        id=id,
        name=_LABEL.sub("-", job.name.lower()).strip("-")[:40] or "job",
        argv=(*runner, "run", "parcel.json", "events.jsonl"),
        folder=folder,
        resources=job.resources,
        limits=job.limits,
        variables=variables,
        secrets=job.secrets,
        wall_s=_wall_s(job, parcel),
        grace_s=_GRACE_S,
        image=job.image,
        modules=_modules(cast("Mapping[str, str]", parcel.get("env") or job.declared)),
        spot=job.spot,
        member=job.member,
    )


def _wall_s(job: Job, parcel: Mapping[str, Any]) -> float | None:
    """Return the time after which the whole job must have ended; None where a part has no limit."""
    if not parcel:
        meeting_s = PATIENCE * job.member.meet_s if job.member is not None else 0.0
        return job.timeout_s + meeting_s + _SLACK_S if job.timeout_s else None
    total = _SLACK_S
    for version in parcel["versions"]:
        limit: float | None = parcel["tasks"][version["task"]].get("timeout_s") or job.timeout_s
        if not limit:
            return None
        total += limit
    return total


def _modules(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Return the environment modules that are declared, as `module load` takes them."""
    named = ((name.partition(":"), version) for name, version in environment.items())
    found = ((name, version) for (kind, _, name), version in named if kind == "module")
    return tuple(f"{name}/{version}" if version else name for name, version in found)
