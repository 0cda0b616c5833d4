"""What every place that runs jobs offers; data about it in `Capabilities`.

Knows jobs and handles. A backend submits, asks, cancels and reads; polling, throttling, retries
and placement stand above it, once for all backends.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from ems.compute.job import Handle, Job, JobStatus


class Capabilities(NamedTuple):
    """What a backend can do, as data, so that nobody asks for its type.

    `push`: `wait` returns as soon as something changed. `warm`: workers are reused between
    parcels. `durable`: jobs outlive this process, so a `Handle` means something to the next one.
    `images` and `modules`: jobs may declare a container image, or environment modules. `targets`
    are the words of `on=` that lead here.
    """

    push: bool = False
    warm: bool = False
    durable: bool = True
    gpus: bool = False
    most_jobs: int = 1
    images: bool = False
    modules: bool = False
    targets: tuple[str, ...] = ()

    def lack(self, on: Sequence[str], environment: Mapping[str, str]) -> Lack | None:
        """Return what this place can't give to a job, or None.

        `on` are targets in the order of preference, `environment` the parts that are declared
        (contract 3): those called `image:…` and `module:…` are up to whoever starts workers.
        """
        words = [word for word in on if word]
        if words and not {ANYWHERE, *self.targets}.intersection(words):
            there = " or ".join(map(repr, self.targets))
            asked = " or ".join(map(repr, words))
            return Lack(f"on={asked} names no place that is there", there, f"on={there}, or no on=")
        for part, version in environment.items():
            kind, _, name = part.partition(":")
            if kind == "image" and not self.images:
                return _unprovided(f"image {version}", "started", "image")
            if kind == "module" and not self.modules:
                return _unprovided(f"environment module {name}/{version}", "loaded", "modules")
        return None


class Lack(NamedTuple):
    """What a place does not have: a phrase, what is allowed there, what a person can do."""

    problem: str
    allowed: str
    next_step: str


ANYWHERE = "auto"
"""The word of `on=` for any place that fits."""


def _unprovided(what: str, done: str, key: str) -> Lack:
    return Lack(
        f"{what} can't be {done} here",
        "what is installed, by lock, requirements, conda or python",
        f"an environment without {key}",
    )


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
