"""Which Python starts a job at a place: the one that the place has, or one made for the job.

Does not know how environments are made; a kind of place that makes them brings its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from ems.compute.job import Job
from ems.compute.remote.order import Refused


class Environments(Protocol):
    """The environments of one place. May block, and raises Unreachable or PlaceError."""

    def pythons(self, jobs: Sequence[Job]) -> list[str | Refused | None]:
        """Return, in order, the Python that starts each job; one request for all.

        None: what the job declares is still being made there, and is asked for again soon.
        """
        ...


class Given(NamedTuple):
    """The Python that a place has, for every job."""

    python: str

    def pythons(self, jobs: Sequence[Job]) -> list[str | Refused | None]:
        """Return the same for each; see `Environments`."""
        return [self.python for _ in jobs]


PLAIN = Given("python3")
