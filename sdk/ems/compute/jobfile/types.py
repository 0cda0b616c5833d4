"""The keys of job.json, as types: the reader, the JSON schema and the reference are made of these.

Knows forms of values. Rules between keys stand in `rules`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

_AMOUNT = r"^\s*[0-9]+(\.[0-9]+)?\s*"
_UNIT = r"([kKmMgGtT][iI]?[bB])?\s*"

Count = Annotated[
    Annotated[int, Meta(ge=0)]
    | Annotated[float, Meta(ge=0)]
    | Annotated[str, Meta(pattern=rf"{_AMOUNT}\+?\s*$")],
    Meta(description='a number, or text such as "4+": at least 4'),
]
Whole = Annotated[
    Annotated[int, Meta(ge=0)] | Annotated[str, Meta(pattern=r"^\s*[0-9]+\s*\+?\s*$")],
    Meta(description='a whole number, or text such as "2+": at least 2'),
]
Size = Annotated[
    Annotated[int, Meta(ge=0, le=2048)]
    | Annotated[float, Meta(ge=0, le=2048)]
    | Annotated[str, Meta(pattern=rf"{_AMOUNT}{_UNIT}\+?\s*$")],
    Meta(description='GiB up to 2048, or text such as "512MiB" or "16+": at least 16 GiB'),
]
Duration = Annotated[
    Annotated[int, Meta(gt=0)]
    | Annotated[float, Meta(gt=0)]
    | Annotated[
        str,
        Meta(pattern=r"^\s*([0-9]+(\.[0-9]+)?|([0-9]+(\.[0-9]+)?\s*(ms|s|m|h|d|w)\s*)+)\s*$"),
    ],
    Meta(description='seconds above 0, or text such as "90s", "10m", "1h30m", "2d"'),
]
Name = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$",
        description="up to 63 letters, digits, `.`, `_` and `-`, a letter or digit first",
    ),
]
Variable = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z_][A-Za-z0-9_]*$",
        description="a name of letters, digits and `_`, no digit first",
    ),
]
Words = Annotated[
    Annotated[str, Meta(min_length=1)] | Annotated[tuple[str, ...], Meta(min_length=1)],
    Meta(description="a list of words, or one line of text"),
]
Inside = Annotated[
    str,
    Meta(
        pattern=r"^(?!/)(?!(.*/)?\.\.(/|$)).+$",
        description="a relative path without `..`",
    ),
]
Secret = Annotated[
    str,
    Meta(
        pattern=r"^(env:[A-Za-z_][A-Za-z0-9_]*|file:.+|k8s:[^/]+/.+|asm:.+)$",
        description="a reference: env:NAME, file:PATH, k8s:NAME/KEY or asm:NAME",
    ),
]
Value = Annotated[str | int | float, Meta(description="text or a number; true and false in quotes")]
Targets = Annotated[
    Annotated[str, Meta(min_length=1)]
    | Annotated[tuple[Annotated[str, Meta(min_length=1)], ...], Meta(min_length=1)],
    Meta(description="`auto`, a target's name, or a list of names in the order of preference"),
]
Text = Annotated[str, Meta(min_length=1, description="text that is not empty")]
Image = Annotated[
    str,
    Meta(
        pattern=r"^\S+@sha256:[0-9a-f]{64}$",
        description="an image by digest: name@sha256:…, as what a tag means can change",
    ),
]
Module = Annotated[
    str, Meta(pattern=r"^[^/\s]+/\S+$", description="a module with its version: gcc/12.2")
]
Minor = Annotated[
    str, Meta(pattern=r"^3\.[0-9]+$", description='a minor version in quotes: "3.11"')
]
Retried = Literal[
    "exception", "exit", "signal", "timed_out", "out_of_memory", "input_missing",
    "output_missing", "environment", "no_capacity", "preempted", "bad_image", "lost", "worker",
]  # fmt: skip
"""The reasons of a failure that may go away by themselves."""
RETRIED: tuple[Retried, ...] = (
    "exception", "exit", "signal", "timed_out", "out_of_memory", "lost", "preempted", "worker",
)  # fmt: skip
"""Those that are tried again where only a number of retries is given, as for tasks."""


class _Keys(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Keys of a mapping, in which no others may stand."""


class Limits(_Keys, frozen=True):
    """The most that a job may take, where that is not what it asks for."""

    cpus: Count | None = None
    """CPUs that it may use where they are free."""
    memory: Size | None = None
    """Memory above which it is ended, `out_of_memory`."""


class Asked(_Keys, frozen=True):
    """What a job asks for; amounts are the least that it needs."""

    cpus: Count = 1
    """CPUs, or parts of one."""
    memory: Size = 0
    """Memory in GiB; without it memory is neither counted nor limited."""
    gpus: Whole = 0
    """GPUs."""
    gpu_kind: str = ""
    """The kind of GPU, as the place calls it."""
    disk: Size = 0
    """Disk in GiB."""
    limits: Limits = Limits()
    """The most that it may take, where that differs."""


class Environment(_Keys, frozen=True):
    """What a job runs in: a place without it refuses the job before the command starts."""

    lock: Text | None = None
    """A lock file: `uv.lock`, `poetry.lock`, `pylock.toml`. Its packages must be there."""
    requirements: Text | None = None
    """A requirements file. What it pins must be there."""
    conda: Text | None = None
    """A conda environment file. What it pins must be there."""
    image: Image | None = None
    """A container image by digest, for places that start containers."""
    modules: tuple[Module, ...] = ()
    """Environment modules, for places that load them."""
    python: Minor | None = None
    """The minor version of Python."""


class Retries(_Keys, frozen=True):
    """How often a job is tried again, and after which failures."""

    count: Annotated[int, Meta(ge=0, le=100, description="a whole number from 0 to 100")]
    """Tries after the first."""
    reasons: tuple[Retried, ...] = RETRIED
    """The reasons of a failure after which it is tried again."""


class Role(_Keys, frozen=True):
    """One part of a gang: members that start together with those of the other roles, or not at
    all."""

    name: Name
    """The role's name."""
    count: Annotated[int, Meta(ge=1, le=100_000, description="a whole number from 1")] = 1
    """How many of it there are."""
    resources: Asked = Asked()
    """What each of it asks for."""
    on: Targets | None = None
    """Where it runs; where the job does, if not set. All of a role may be at one place, or not."""
    command: Words | None = None
    """What it runs; the job's command where it has none."""
    variables: dict[Variable, Value] = {}
    """Environment variables, which go before the job's."""
    outputs: dict[Variable, Inside] = {}
    """Files and folders that each of it writes, by name. The job keeps them as `ROLE-0.NAME`."""
    ends: bool = False
    """Whether its end ends the gang: once all of the roles with `ends: true` have ended well, the
    others get SIGTERM and count as succeeded. If no role has it, each member ends by itself."""


class JobSpec(_Keys, frozen=True):
    """One job, as a person writes it down; a file holds one or a list of them."""

    name: Name
    """What people call it; ids of submitted jobs begin with it."""
    command: Words | None = None
    """What it runs, in a folder that holds the inputs. A list is taken as it stands. Text is split
    into words as a shell would, without one, and a shell runs it only where it uses a shell's
    signs (`|`, `>`, `*`, `$`, …); in it `{out.NAME}` is the path of an output."""
    resources: Asked = Asked()
    """What it asks for."""
    environment: Environment = Environment()
    """What it runs in."""
    variables: dict[Variable, Value] = {}
    """Environment variables."""
    secrets: dict[Variable, Secret] = {}
    """Environment variables whose value is read where the job runs, and is kept nowhere: `env:NAME`
    and `file:PATH` of that machine, `k8s:NAME/KEY` of a Kubernetes secret, `asm:NAME` of AWS
    Secrets Manager."""
    inputs: dict[Inside, Text] = {}
    """Files and folders that it is given, by the path where it finds them: a path here, relative to
    the job's file, or the digest of a file that the store holds."""
    outputs: dict[Variable, Inside] = {}
    """Files and folders that it writes, by name: each is kept, and must be there at the end."""
    on: Targets = "auto"
    """Where it runs: `auto`, a target, or targets in the order of preference."""
    timeout: Duration | None = None
    """How long it may run."""
    retries: (
        Annotated[int, Meta(ge=0, le=100, description="a whole number from 0 to 100")] | Retries
    ) = 0
    """How often it is tried again after a failure, or that with the reasons."""
    spot: bool = False
    """Whether it may run on what can be taken away, which costs less."""
    roles: tuple[Role, ...] = ()
    """The parts of a gang, whose members run at once and are told where the others are."""
    meet: Duration = 600
    """How long the members of a gang wait for the last of them."""
