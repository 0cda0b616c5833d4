"""The types that backends and what stands above them exchange; frozen and JSON-safe.

Knows jobs, states and reasons. Does not know tasks, pipelines or any one backend.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import NamedTuple

from ems import units


class JobState(enum.Enum):
    """The five states; why a job ended is `JobStatus.reason`."""

    SUBMITTED = "submitted"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"

    @property
    def ended(self) -> bool:
        """Whether nothing follows this state."""
        return self in _ENDED


_ENDED = frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELED})


class Reason(enum.StrEnum):
    """Why a job or a version ended as it did; the same words stand in worker messages."""

    EXCEPTION = "exception"
    EXIT = "exit"
    SIGNAL = "signal"
    TIMED_OUT = "timed_out"
    OUT_OF_MEMORY = "out_of_memory"
    CANCELED = "canceled"
    UNKEPT = "unkept"
    INPUT_CHANGED = "input_changed"
    INPUT_MISSING = "input_missing"
    OUTPUT_MISSING = "output_missing"
    OUTSIDE_SCRATCH = "outside_scratch"
    ENVIRONMENT = "environment"
    IMPORT = "import"
    IMPOSSIBLE = "impossible"
    NO_CAPACITY = "no_capacity"
    PREEMPTED = "preempted"
    BAD_IMAGE = "bad_image"
    LOST = "lost"
    WORKER = "worker"


class Resources(NamedTuple):
    """What a job asks for; amounts are the least it needs.

    `at_least` names the fields written with a plus (`4+`): an offer with more is welcome.
    `memory_gib` 0 means: not declared, neither counted nor limited.
    """

    cpus: float = 1.0
    memory_gib: float = 0.0
    gpus: int = 0
    gpu_kind: str = ""
    disk_gib: float = 0.0
    at_least: frozenset[str] = frozenset()

    @classmethod
    def of(
        cls,
        cpus: float | str = 1,
        memory: float | str = 0,
        gpus: float | str = 0,
        gpu_kind: str = "",
        disk: float | str = 0,
    ) -> Resources:
        """Read amounts as people write them (`cpus="4+"`, `memory="512MiB"`, `gpus=1`)."""
        cpu, more_cpu = units.count(cpus, "cpus")
        mem, more_mem = units.gib(memory, "memory")
        gpu, more_gpu = units.whole(gpus, "gpus")
        disk_gib, more_disk = units.gib(disk, "disk")
        flags = (("cpus", more_cpu), ("memory", more_mem), ("gpus", more_gpu), ("disk", more_disk))
        more = frozenset(name for name, flag in flags if flag)
        return cls(cpu, mem, gpu, gpu_kind, disk_gib, more)


_NO_TEXT: Mapping[str, str] = {}


class Role(NamedTuple):
    """One part of a gang: `times` jobs alike, which start with those of the other roles or not.

    `variables` go before the job's, `outputs` are what each of them writes. `ends`: once all of
    the roles that say so have ended well, the gang has, and the others are told to stop.
    """

    name: str
    times: int = 1
    resources: Resources = Resources()
    on: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    variables: Mapping[str, str] = _NO_TEXT
    outputs: Mapping[str, str] = _NO_TEXT
    ends: bool = False
    limits: Resources | None = None


class Member(NamedTuple):
    """Which part of a gang a job is: the `rank`-th of `size`, the `nth` of `times` of its role.

    Both count from 0. `gang` is the same for all members of one try (hexadecimal). Those that go
    to one place are handed over together, so that a scheduler which can starts them as one. They
    wait `meet_s` for each other. `line` is the same for all tries of this member (hexadecimal):
    checkpoints go by it.
    """

    gang: str
    role: str
    nth: int
    times: int
    rank: int
    size: int
    meet_s: float = 600.0
    line: str = ""

    @property
    def name(self) -> str:
        """Return what people call it: `robot-0`."""
        return f"{self.role}-{self.nth}"


class Recipe(NamedTuple):
    """How a declared environment is made where it is not there: all that decides the outcome.

    `text` is a JSON document (`ems.pipeline.environment.recipes` writes it, `ems.worker.making`
    reads it); where it is empty, it is the object `digest` of the store. Equal digests are equal
    environments.
    """

    digest: str
    text: str = ""


class Job(NamedTuple):
    """A plain job: either a parcel of versions (`payload`) or a command (`command`).

    `name` is for people: two jobs may share it, and nothing is looked up by it. `key` (hexadecimal)
    is the same for the same work: a place that outlives this process starts one job for a key.
    `payload` is the parcel of the worker protocol (`ems.worker.protocol`); its versions run in
    order in one worker. `code` and `environment` only name what a warm worker may be shared by;
    equal names mean equal code and environment. `inputs` (relative path -> object digest) and
    `outputs` (name -> relative path) are for commands; a parcel carries its own.
    `objects` are folders to look digests up in, `outbox` the one where outputs are put.
    `timeout_s` limits one version (of a parcel) or the command. `limits` is the most it may take,
    where that is not what it asks for; `retry_on` are the reasons after which it is tried again.
    `declared` are the parts of the environment that a command needs (contract 3); a parcel carries
    its own. `recipe` is how a place makes that environment, if it does. `roles` make it a gang;
    `member` says which part of one it is.
    """

    name: str
    payload: Mapping[str, object] | None = None
    command: tuple[str, ...] = ()
    resources: Resources = Resources()
    code: str = ""
    environment: str = ""
    python: str = ""
    variables: Mapping[str, str] = _NO_TEXT
    secrets: Mapping[str, str] = _NO_TEXT
    inputs: Mapping[str, str] = _NO_TEXT
    outputs: Mapping[str, str] = _NO_TEXT
    objects: tuple[str, ...] = ()
    outbox: str = ""
    attempts: str = ""
    timeout_s: float | None = None
    retries: int = 0
    spot: bool = False
    on: tuple[str, ...] = ()
    roles: tuple[Role, ...] = ()
    key: str = ""
    image: str = ""
    limits: Resources | None = None
    retry_on: frozenset[str] = frozenset()
    declared: Mapping[str, str] = _NO_TEXT
    member: Member | None = None
    recipe: Recipe | None = None


class Handle(NamedTuple):
    """Names a submitted job for as long as anything can be asked about it; JSON-safe."""

    backend: str
    native: str
    region: str = ""
    submitted: float = 0.0

    def to_json(self) -> dict[str, str | float]:
        """Return what `from_json` reads, so that another process can go on watching."""
        return {
            "backend": self.backend,
            "native": self.native,
            "region": self.region,
            "submitted": self.submitted,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, object]) -> Handle:
        """Return the handle that `to_json` wrote."""
        submitted = data.get("submitted", 0.0)
        return cls(
            str(data["backend"]),
            str(data["native"]),
            str(data.get("region", "")),
            float(submitted) if isinstance(submitted, (int, float)) else 0.0,
        )


class JobStatus(NamedTuple):
    """State of one job and why; `detail` is a sentence for a person.

    A parcel SUCCEEDED when each of its versions ended well, and FAILED with the reason of the
    first that did not; the others ran all the same. By the time the state is an ended one, each
    version has exactly one `end` message in `events`.
    """

    handle: Handle
    state: JobState
    reason: Reason | None = None
    exit_code: int | None = None
    signal: int | None = None
    detail: str = ""
