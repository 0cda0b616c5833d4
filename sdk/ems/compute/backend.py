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
    `images` and `modules`: jobs may declare a container image, or environment modules. `requeues`:
    the place itself starts a job again that it took its machine from. `gangs`: it starts the
    members of one all at once or not at all, in its own queue. `targets` are the words of `on=`
    that lead here.
    """

    push: bool = False
    warm: bool = False
    durable: bool = True
    gpus: bool = False
    most_jobs: int = 1
    images: bool = False
    modules: bool = False
    requeues: bool = False
    targets: tuple[str, ...] = ()
    gangs: bool = False

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
LOCAL = "local"
"""The word of `on=` for this machine, as part of the run that asks."""


def _unprovided(what: str, done: str, key: str) -> Lack:
    return Lack(
        f"{what} can't be {done} here",
        "what is installed, by lock, requirements, conda or python",
        f"an environment without {key}",
    )


class Room(NamedTuple):
    """How much a place could start now: of `total` CPUs `free` are; None where nobody knows.

    `gpus` counts free GPUs. `why` says why nothing can start: down, drained, a quota. `asked` is
    False until the place has answered for the first time.
    """

    free: float | None = None
    total: float | None = None
    gpus: int | None = None
    why: str = ""
    asked: bool = True


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

    def handle_of(self, job: Job) -> Handle:
        """Return what `submit` will return for a job with a `key`, where jobs outlive a process."""
        ...

    def fits(self, job: Job) -> str:
        """Return nothing where such a job could start now, else why it can't; asks nobody."""
        ...

    def room(self) -> Room:
        """Return how much the place could start, as far as it is known; asks nobody."""
        ...

    def poll(self, handles: Sequence[Handle]) -> list[JobStatus]:
        """Return the status of each handle, in order; an unknown one is FAILED, `lost`."""
        ...

    def handed(self, handles: Sequence[Handle]) -> list[bool]:
        """Return whether the place has each job, as far as it has answered by now.

        What it does not have yet needs this process; then any other can go on watching.
        """
        ...

    def waiting(self, handle: Handle) -> str:
        """Return why a job does not run yet, or why nothing is known of it; "" if nobody tells."""
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

    def brief(self, handles: Sequence[Handle], data: bytes) -> None:
        """Tell members of a gang of each other: `data` is the list that their workers wait for.

        May be said again; those that have ended are passed by.
        """
        ...

    def forget(self, handles: Sequence[Handle]) -> None:
        """Let go of what is kept for ended jobs (messages, output); unknown ones are ignored."""
        ...

    def wait(self, timeout_s: float) -> None:
        """Return when something may have changed, at the latest after `timeout_s`."""
        ...

    def close(self) -> None:
        """Free what is held; jobs that don't outlive this process end, with what they started."""
        ...
