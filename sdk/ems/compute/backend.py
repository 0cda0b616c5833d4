"""What every place that runs jobs offers; data about it in `Capabilities`.

Knows jobs and handles. A backend submits, asks, cancels and reads; polling, throttling, retries
and placement stand above it, once for all backends.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from ems.compute.job import Handle, Job, JobStatus


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a backend can do, as data, so that nobody asks for its type.

    `push`: `wait` returns as soon as something changed. `warm`: workers are reused between
    parcels. `durable`: jobs outlive this process, so a `Handle` means something to the next one.
    """

    push: bool = False
    warm: bool = False
    durable: bool = True
    gpus: bool = False
    most_jobs: int = 1


class Backend(Protocol):
    """Runs jobs somewhere. No method but `wait` blocks, and none retries."""

    @property
    def name(self) -> str:
        """The word that `on=` and handles name it by."""
        ...

    @property
    def capabilities(self) -> Capabilities:
        """What it can do."""
        ...

    def submit(self, jobs: Sequence[Job]) -> list[Handle]:
        """Take jobs over; one that can never run is FAILED with reason `impossible` at once."""
        ...

    def poll(self, handles: Sequence[Handle]) -> list[JobStatus]:
        """Return the status of each handle, in order; an unknown one is FAILED, `lost`."""
        ...

    def events(self, handle: Handle, since: int) -> tuple[list[bytes], int]:
        """Return raw worker messages (JSON lines) from cursor `since`, and the next cursor."""
        ...

    def cancel(self, handles: Sequence[Handle], grace_s: float) -> None:
        """End jobs: queued ones at once, running ones after at most `grace_s`; ended ones stay."""
        ...

    def logs(self, handle: Handle, since: int, until: int | None = None) -> tuple[bytes, int]:
        """Return output of the job from offset `since` (to `until`), and the next offset."""
        ...

    def forget(self, handles: Sequence[Handle]) -> None:
        """Let go of what is kept for ended jobs (messages, output); unknown ones are ignored."""
        ...

    def wait(self, timeout_s: float) -> None:
        """Return when something may have changed, at the latest after `timeout_s`."""
        ...

    def close(self) -> None:
        """End everything still running (with what it started) and free what is held."""
        ...
