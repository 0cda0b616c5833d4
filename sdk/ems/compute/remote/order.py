"""What a scheduler is given and what it answers; frozen, JSON-safe, without behaviour.

Knows jobs' words (`ems.compute.job`). Does not know any one scheduler, nor files.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import NamedTuple

from ems.compute.job import JobState, Member, Reason, Resources
from ems.errors import EmsError

_NO_TEXT: Mapping[str, str] = {}


class Order(NamedTuple):
    """One job as a scheduler starts it: a command line in a folder at the place.

    `id` names the job for EMS and for the scheduler: the same parcel has the same id wherever and
    by whomever it is submitted, so that nothing is started twice. It is a DNS label of at most 40
    characters (`ems-…`). `name` is for people. `folder` is the job's folder as the place sees it;
    standard output and error go to `<folder>/output`. `wall_s` is the limit that must hold with
    nobody watching, of the whole job; `grace_s` is what a job gets between SIGTERM and SIGKILL.
    `limits` is the most it may take, where that is not what it asks for.
    `secrets` are references; the place resolves them. `environment` is what the job's environment
    declares that whoever starts it must provide: `image` (a reference) and `modules`. Orders of one
    gang (`member.gang`) come in one call of `start`, those for this place.
    """

    id: str
    name: str
    argv: tuple[str, ...]
    folder: str
    resources: Resources = Resources()
    variables: Mapping[str, str] = _NO_TEXT
    secrets: Mapping[str, str] = _NO_TEXT
    wall_s: float | None = None
    grace_s: float = 30.0
    image: str = ""
    modules: tuple[str, ...] = ()
    spot: bool = False
    member: Member | None = None
    limits: Resources | None = None

    def shell(self) -> str:
        """Return the line for `sh` that becomes the job: in its folder, output appended there."""
        words = " ".join(map(shlex.quote, self.argv))
        return f"cd {shlex.quote(self.folder)} && exec {words} >>output 2>&1 </dev/null"


class Refused(NamedTuple):
    """A scheduler's word for an order that it will never start, in place of a native id."""

    reason: Reason
    detail: str


class Native(NamedTuple):
    """What a scheduler says of one job, in EMS's words.

    `reason`, `exit_code` and `signal` are for FAILED and CANCELED. `waiting` says why a job that is
    SUBMITTED does not run yet, where the scheduler tells. `place` is the host or node it ran on.
    """

    state: JobState
    reason: Reason | None = None
    detail: str = ""
    exit_code: int | None = None
    signal: int | None = None
    waiting: str = ""
    place: str = ""


class Unreachable(EmsError):
    """The place does not answer now: nothing is known of its jobs, and nothing is decided."""


class PlaceError(EmsError):
    """The place answers and can't do what is asked (no room on its disk, no such command)."""
