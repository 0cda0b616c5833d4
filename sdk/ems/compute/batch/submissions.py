"""Orders as SubmitJob takes them: alone, or as one array where they differ in nothing but their id.

Pure. A job learns which one it is from EMS_JOB, or from the list at EMS_JOBS and its index in the
array (`ems.worker.courier`): what goes into variables is little, however many jobs there are.
Limits (read 2026-11-21): arrays of 2 to 10,000 (docs.aws.amazon.com/batch/latest/userguide/
array_jobs.html), timeouts from 60 s (job_timeouts.html there), 8192 characters of overrides
(docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RunTask.html), five rules for retries
(docs.aws.amazon.com/batch/latest/APIReference/API_RetryStrategy.html).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ems.compute.batch.definitions import ENVIRONMENT_TAG, Definition
from ems.compute.batch.states import PREEMPTED
from ems.compute.job import Reason
from ems.compute.remote.order import Order, Refused
from ems.hashing import digest_bytes
from ems.stack.outputs import Queue

ONE, MANY = "EMS_JOB", "EMS_JOBS"
ARRAY = "ems-array-"
"""How the names of arrays begin: no order's id does, since those go on with a hexadecimal digit."""
MOST = 10_000
"""Jobs in one array."""
ROOM = 6_500
"""Characters that a job's own variables may take, as JSON: EMS and Batch add theirs to them."""
_LEAST_S = 60
_NAME = re.compile(r"[^A-Za-z0-9]")
_TAG = re.compile(r"[^\w .:/=+@-]", re.ASCII)


class Wanted(NamedTuple):
    """One order with all that was decided for it."""

    order: Order
    queue: Queue
    definition: Definition
    attempts: int

    def alike(self) -> tuple[object, ...]:
        """Return what must be equal of orders in one array."""
        variables = tuple(sorted(self.order.variables.items()))
        return (
            self.queue.name, self.definition.name, _limit(self.order), variables, self.attempts,
        )  # fmt: skip


class Submitter(NamedTuple):
    """On whose behalf: what fair share counts by, and how urgent among one's own jobs."""

    environment: str
    user: str
    priority: int = 0

    @property
    def share(self) -> str:
        """The user's name as Batch takes it: letters and digits."""
        return _NAME.sub("", self.user)[:255] or "ems"


def refused(order: Order) -> Refused | None:
    """Return why no job can have an order's variables, or None."""
    reserved = [name for name in order.variables if name.startswith("AWS_BATCH")]
    if reserved:
        detail = f"variable {reserved[0]}: names that begin with AWS_BATCH are Batch's own"
        return Refused(Reason.IMPOSSIBLE, detail)
    size = _size(_variables(order, {}))
    if size > ROOM:
        detail = f"its variables take {size} characters in AWS Batch (allowed: {ROOM})"
        return Refused(Reason.IMPOSSIBLE, detail)
    return None


def grouped(wanted: Sequence[Wanted]) -> Iterator[Sequence[Wanted]]:
    """Yield orders that go together, at most as many as one array holds."""
    alike: dict[tuple[object, ...], list[Wanted]] = {}
    for each in wanted:
        alike.setdefault(each.alike(), []).append(each)
    for group in alike.values():
        yield from (group[at : at + MOST] for at in range(0, len(group), MOST))


def request(
    group: Sequence[Wanted], definition: str, submitter: Submitter, root: str
) -> dict[str, Any]:
    """Return the SubmitJob of a group; its definition is registered under that ARN.

    `root` is the place's folder. The list of an array is to be there before it is submitted.
    """
    first = group[0]
    ids = [each.order.id for each in group]
    name = name_of(ids)
    which = {ONE if len(ids) == 1 else MANY: f"{root}/jobs/{name}"}
    made: dict[str, Any] = {
        "jobName": name,
        "jobQueue": first.queue.name,
        "jobDefinition": definition,
        "containerOverrides": {"environment": _variables(first.order, which)},
        "propagateTags": True,
        "tags": {
            ENVIRONMENT_TAG: submitter.environment,
            "ems-name": _TAG.sub("-", first.order.name)[:256],
            "ems-user": _TAG.sub("-", submitter.user)[:256],
        },
        "retryStrategy": retries(first.attempts),
    }
    if len(ids) > 1:
        made["arrayProperties"] = {"size": len(ids)}
    if (limit := _limit(first.order)) is not None:
        made["timeout"] = {"attemptDurationSeconds": limit}
    if first.queue.fair_share:
        made["shareIdentifier"] = submitter.share
        made["schedulingPriorityOverride"] = submitter.priority
    return made


def name_of(ids: Sequence[str]) -> str:
    """Return the name of a job or of an array: the same for the same jobs in the same order."""
    if len(ids) == 1:
        return ids[0]
    return ARRAY + digest_bytes(",".join(ids).encode())[:32]


def list_path(array: str) -> str:
    """Return where the ids of an array's jobs stand at the place, one a line."""
    return f"jobs/{array}/list"


def retries(attempts: int) -> dict[str, Any]:
    """Return when Batch starts a job anew by itself: if its machine was taken back.

    The last rule counts, since without one that fits Batch tries again whatever the cause
    (docs.aws.amazon.com/batch/latest/userguide/job_retries.html, read 2026-11-21).
    """
    if attempts < 2:
        return {"attempts": 1}
    return {
        "attempts": attempts,
        "evaluateOnExit": [
            {"onStatusReason": "Host EC2*", "action": "RETRY"},
            {"onExitCode": str(PREEMPTED), "action": "RETRY"},
            {"onReason": "*", "action": "EXIT"},
            {"onStatusReason": "*", "action": "EXIT"},
        ],
    }


def _limit(order: Order) -> int | None:
    return None if order.wall_s is None else max(_LEAST_S, math.ceil(order.wall_s))


def _variables(order: Order, which: Mapping[str, str]) -> list[dict[str, str]]:
    every = {**order.variables, **which}
    return [{"name": name, "value": value} for name, value in sorted(every.items())]


def _size(variables: Sequence[Mapping[str, str]]) -> int:
    return len(json.dumps(variables))
