"""Calls of AWS Batch: in hundreds, page by page, and what AWS refuses as a scheduler's errors.

Knows operations and their limits. Does not know orders, nor what an answer means. A throttled call,
a server's error and a network that fails are Unreachable: Batch takes 50 calls a second from all of
an account together, so whoever asks has to wait longer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from ems.compute import refusals
from ems.compute.remote.order import PlaceError
from ems.stack import aws

AT_A_TIME = 100
"""Jobs that DescribeJobs takes in one call (API_DescribeJobs, read 2026-11-21)."""


class Rejected(PlaceError):
    """Batch says that what was asked can never be (ClientException)."""


_KINDS = {"ClientException": Rejected}


class BatchCalls:
    """Batch in one region; clients are made when the first call needs them."""

    def __init__(self, region: str, clients: aws.Clients = aws.client) -> None:
        self.region = region
        self._clients = clients
        self._asking: Any = None
        self._submitting: Any = None

    # -- what is asked ----------------------------------------------------------------------------

    def jobs(self, ids: Sequence[str]) -> dict[str, Mapping[str, Any]]:
        """Return what Batch tells of each job, by id; those that it forgot are left out."""
        found: dict[str, Mapping[str, Any]] = {}
        for some in portions(ids):
            with asked("jobs in AWS Batch"):
                answer = self._client().describe_jobs(jobs=list(some))
            found |= {each["jobId"]: each for each in answer["jobs"]}
        return found

    def jobs_named(self, queue: str, name: str) -> Iterator[Mapping[str, Any]]:
        """Yield jobs of a queue by name, whatever their state; `x*` are names that begin with x.

        The children of an array are not among them.
        """
        asked_for = {"jobQueue": queue, "filters": [{"name": "JOB_NAME", "values": [name]}]}
        for each in self._pages("list_jobs", "jobSummaryList", asked_for, f"queue {queue}"):
            if ":" not in each["jobId"]:
                yield each

    def children(self, array: str, status: str) -> Iterator[Mapping[str, Any]]:
        """Yield the jobs of an array that are in one state, a thousand in one call."""
        asked_for = {"arrayJobId": array, "jobStatus": status}
        return self._pages("list_jobs", "jobSummaryList", asked_for, f"array {array}")

    def definition(self, name: str) -> str | None:
        """Return the ARN of the newest active revision of a job definition; None where none is."""
        asked_for = {"jobDefinitionName": name, "status": "ACTIVE"}
        found = self._pages(
            "describe_job_definitions", "jobDefinitions", asked_for, f"job definition {name}"
        )
        newest = max(found, key=lambda each: each["revision"], default=None)
        return newest["jobDefinitionArn"] if newest is not None else None

    def queues(self, names: Sequence[str]) -> list[Mapping[str, Any]]:
        """Return what Batch tells of queues; one that is not there is left out."""
        with asked("queues of AWS Batch"):
            return self._client().describe_job_queues(jobQueues=list(names))["jobQueues"]

    def environments(self, arns: Iterable[str]) -> list[Mapping[str, Any]]:
        """Return what Batch tells of compute environments."""
        wanted = list(dict.fromkeys(arns))
        if not wanted:
            return []
        with asked("compute environments of AWS Batch"):
            answer = self._client().describe_compute_environments(computeEnvironments=wanted)
        return answer["computeEnvironments"]

    def _pages(
        self, operation: str, key: str, asked_for: Mapping[str, Any], subject: str
    ) -> Iterator[Mapping[str, Any]]:
        more: dict[str, str] = {}
        while True:
            with asked(subject):
                answer = getattr(self._client(), operation)(**asked_for, **more)
            yield from answer[key]
            if not answer.get("nextToken"):
                return
            more = {"nextToken": answer["nextToken"]}

    # -- what is changed --------------------------------------------------------------------------

    def register(self, request: Mapping[str, Any]) -> str:
        """Register a job definition and return its ARN."""
        with asked(f"job definition {request['jobDefinitionName']}"):
            return self._client().register_job_definition(**request)["jobDefinitionArn"]

    def submit(self, request: Mapping[str, Any]) -> str:
        """Submit a job and return its id.

        Sent once: SubmitJob has no token, so sending it again after an answer that was lost would
        start the job twice.
        """
        with asked(f"job {request['jobName']}"):
            return self._once().submit_job(**request)["jobId"]

    def terminate(self, id: str, reason: str) -> None:
        """End a job, in whatever state; one that has ended stays as it is."""
        with asked(f"job {id}"):
            self._client().terminate_job(jobId=id, reason=reason)

    def _client(self) -> Any:
        if self._asking is None:
            self._asking = self._clients("batch", self.region)
        return self._asking

    def _once(self) -> Any:
        """Return a client that sends each request once, whatever comes back."""
        if self._submitting is None:
            client = self._clients("batch", self.region)
            client.meta.events.unregister("needs-retry.batch", unique_id="retry-config-batch")
            self._submitting = client
        return self._submitting


def portions(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    """Yield ids in portions that one call takes."""
    return (ids[at : at + AT_A_TIME] for at in range(0, len(ids), AT_A_TIME))


def asked(subject: str) -> AbstractContextManager[None]:
    """Turn what boto3 raises inside into Unreachable, or a PlaceError of the right kind."""
    return refusals.asked(subject, _KINDS)
