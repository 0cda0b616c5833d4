"""Calls of SageMaker, and what AWS refuses as a scheduler's errors.

Knows operations and their limits. Does not know orders, nor what an answer means. boto3's client is
all that this needs: the package `sagemaker` brings estimators, its own containers and pandas for
jobs that are one request here. A throttled call, a server's error and a network that fails are
Unreachable: the calls of an account are counted together, so whoever asks has to wait longer.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any

from ems.compute import refusals
from ems.compute.remote.order import PlaceError
from ems.stack import aws

_PAGE = 100
"""Jobs in one page of ListTrainingJobs at most (API_ListTrainingJobs, read 2026-11-22)."""
_ABSENT = re.compile(r"not found|could not find|is not there", re.IGNORECASE)


class Rejected(PlaceError):
    """SageMaker says that what was asked can't be, or is not there (ValidationException)."""


class Exists(PlaceError):
    """There is a training job of that name (ResourceInUse); names are never free again."""


class NoQuota(PlaceError):
    """A quota of the account is used up, or zero (ResourceLimitExceeded)."""


_KINDS: Mapping[str, type[PlaceError]] = {
    "ResourceInUse": Exists,
    "ResourceLimitExceeded": NoQuota,
    "ValidationException": Rejected,
    "ValidationError": Rejected,
    "ResourceNotFound": Rejected,
}


class Calls:
    """SageMaker in one region; the client is made when the first call needs it."""

    def __init__(self, region: str, clients: aws.Clients = aws.client) -> None:
        self.region = region
        self._clients = clients
        self._made: Any = None

    def create(self, request: Mapping[str, Any]) -> None:
        """Create a training job; raises Exists, NoQuota or Rejected.

        boto3 may send it again after an answer that was lost: the name is taken then, and Exists
        tells so.
        """
        with asked(f"training job {request['TrainingJobName']}"):
            self._client().create_training_job(**request)

    def describe(self, name: str) -> Mapping[str, Any] | None:
        """Return all that is told of a job; None where there is none of that name.

        SageMaker says ValidationException for that, not ResourceNotFound (aws/aws-sdk#165).
        """
        try:
            with asked(f"training job {name}"):
                return self._client().describe_training_job(TrainingJobName=name)
        except Rejected as error:
            if _ABSENT.search(error.problem):
                return None
            raise

    def named(
        self, prefix: str, *, created: datetime | None = None, changed: datetime | None = None
    ) -> Iterator[Mapping[str, Any]]:
        """Yield jobs with `prefix` in their names, created or changed since then; newest first.

        Not by their status: SageMaker takes that from each page of all jobs, so it saves no call.
        """
        wanted: dict[str, Any] = {
            "NameContains": prefix, "MaxResults": _PAGE, "SortBy": "CreationTime",
            "SortOrder": "Descending",
        }  # fmt: skip
        if created is not None:
            wanted["CreationTimeAfter"] = created
        if changed is not None:
            wanted["LastModifiedTimeAfter"] = changed
        while True:
            with asked(f"training jobs {prefix}*"):
                answer = self._client().list_training_jobs(**wanted)
            yield from answer["TrainingJobSummaries"]
            if not answer.get("NextToken"):
                return
            wanted["NextToken"] = answer["NextToken"]

    def stop(self, name: str) -> None:
        """End a job: SIGTERM, and SIGKILL 120 seconds later; raises Rejected for one that ended."""
        with asked(f"training job {name}"):
            self._client().stop_training_job(TrainingJobName=name)

    def _client(self) -> Any:
        if self._made is None:
            self._made = self._clients("sagemaker", self.region)
        return self._made


def asked(subject: str) -> AbstractContextManager[None]:
    """Turn what boto3 raises inside into Unreachable, or a PlaceError of the right kind."""
    return refusals.asked(subject, _KINDS)
