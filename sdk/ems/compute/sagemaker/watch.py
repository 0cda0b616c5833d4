"""What SageMaker says of many jobs with few calls: one page of a list tells of a hundred.

Knows names and answers. Does not know orders. A few jobs are described one by one. Of more, those
are listed that changed since the last look, all of them once in a while, and what a list does not
tell is described: each job once, when it has ended. A job that has ended is not asked for again.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from ems.compute.remote.order import Native
from ems.compute.sagemaker.calls import Calls
from ems.compute.sagemaker.states import native, says_all

FEW = 4
"""So many are described; for more a list is asked."""
_OVERLAP = timedelta(seconds=60)
"""A list may be behind by so much."""
_LONGEST = timedelta(days=31)
"""No job is older: 28 days of running, 30 in all (API_StoppingCondition, read 2026-11-22)."""
_WHOLE_S = 300.0


class Watch:
    """The last word on each job; for one thread."""

    def __init__(self, calls: Calls, prefix: str) -> None:
        self._calls, self._prefix = calls, prefix
        self._said: dict[str, Native] = {}
        self._since: datetime | None = None
        self._whole = 0.0

    def look(self, names: Sequence[str]) -> dict[str, Native]:
        """Return what SageMaker knows of each; those that it does not know are left out."""
        live = [name for name in names if not self.ended(name)]
        if len(live) <= FEW:
            self._since = None  # what is listed next begins anew
            for name in live:
                self._describe(name)
        else:
            self._list(live)
        return {name: self._said[name] for name in names if name in self._said}

    def ended(self, name: str) -> bool:
        """Whether SageMaker said that the job has ended."""
        said = self._said.get(name)
        return said is not None and said.state.ended

    def take(self, name: str, job: Mapping[str, Any]) -> Native:
        """Take in what was told of a job, and return it in EMS's words."""
        self._said[name] = found = native(job)
        return found

    def forget(self, names: Sequence[str]) -> None:
        """Let go of what was said of these jobs."""
        for name in names:
            self._said.pop(name, None)

    def _list(self, live: Sequence[str]) -> None:
        wanted, now = set(live), time.monotonic()
        whole = self._since is None or now - self._whole > _WHOLE_S
        told: dict[str, Mapping[str, Any]] = {}
        for job in self._listed(whole):
            changed = job.get("LastModifiedTime") or job["CreationTime"]
            self._since = max(self._since or changed, changed)
            if job["TrainingJobName"] in wanted:
                told[job["TrainingJobName"]] = job
        if whole:
            self._whole = now
        for name in live:
            if name in told and says_all(told[name]):
                self.take(name, told[name])
            elif name in told or name not in self._said:
                self._describe(name)

    def _listed(self, whole: bool) -> list[Mapping[str, Any]]:
        if whole or self._since is None:
            oldest = datetime.now(UTC) - _LONGEST
            return list(self._calls.named(self._prefix, created=oldest))
        return list(self._calls.named(self._prefix, changed=self._since - _OVERLAP))

    def _describe(self, name: str) -> None:
        job = self._calls.describe(name)
        if job is None:
            self._said.pop(name, None)
        else:
            self.take(name, job)
