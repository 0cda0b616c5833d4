"""Turn what was read of a job into a job for backends.

Pure. Does not know how inputs come into a store, nor how an environment's files are read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256

from ems import units
from ems.compute.job import Job, Member, Resources, Role
from ems.compute.jobfile import rules
from ems.compute.jobfile.types import RETRIED, Asked, JobSpec, Retries


def job_of(spec: JobSpec, inputs: Mapping[str, str], declared: Mapping[str, str]) -> Job:
    """Return the job; `inputs` by digest, `declared` as the environment's parts."""
    command: tuple[str, ...] = ()
    if spec.command is not None and not spec.roles:
        command = rules.words(spec.command, dict(spec.outputs))
    count, reasons = retries_of(spec)
    return Job(
        spec.name,
        command=command,
        resources=resources_of(spec.resources),
        variables={name: str(value) for name, value in spec.variables.items()},
        secrets=dict(spec.secrets),
        inputs=dict(inputs),
        outputs=dict(spec.outputs),
        timeout_s=units.seconds(spec.timeout) if spec.timeout is not None else None,
        retries=count,
        spot=spec.spot,
        on=targets_of(spec.on),
        roles=tuple(
            Role(
                role.name, role.count, resources_of(role.resources),
                targets_of(spec.on if role.on is None else role.on),
                rules.words(role.command or spec.command or (), dict(role.outputs)),
                {name: str(value) for name, value in role.variables.items()},
                dict(role.outputs), role.ends, limits_of(role.resources),
            )
            for role in spec.roles
        ),
        image=spec.environment.image or "",
        limits=limits_of(spec.resources),
        retry_on=reasons,
        declared=dict(declared),
    )  # fmt: skip


def members_of(job: Job, line: str, gang: str, meet_s: float) -> list[Job]:
    """Return the members of a gang as jobs, by rank.

    `line` names the gang whatever the try (hexadecimal), `gang` this try of it; keys of members
    are made of them.
    """
    size = sum(role.times for role in job.roles)
    made: list[Job] = []
    for role in job.roles:
        for nth in range(role.times):
            member = Member(
                gang, role.name, nth, role.times, len(made), size, meet_s,
                _hex(f"{line} {role.name} {nth}"),
            )  # fmt: skip
            made.append(
                job._replace(
                    name=f"{job.name}-{member.name}", roles=(), member=member,
                    key=_hex(f"{gang} {role.name} {nth}"), command=role.command,
                    resources=role.resources, on=role.on, outputs=role.outputs,
                    variables={**job.variables, **role.variables}, limits=role.limits,
                )
            )  # fmt: skip
    return made


def meet_s_of(spec: JobSpec) -> float:
    """Return how long the members of a gang wait for each other."""
    return units.seconds(spec.meet)


def _hex(text: str) -> str:
    return sha256(f"ems member {text}".encode()).hexdigest()[:32]


def resources_of(asked: Asked) -> Resources:
    """Return what a job asks for."""
    return Resources.of(asked.cpus, asked.memory, asked.gpus, asked.gpu_kind, asked.disk)


def limits_of(asked: Asked) -> Resources | None:
    """Return the most that it may take; None where that is what it asks for."""
    limits = asked.limits
    if limits.cpus is None and limits.memory is None:
        return None
    cpus = asked.cpus if limits.cpus is None else limits.cpus
    memory = asked.memory if limits.memory is None else limits.memory
    return resources_of(asked)._replace(
        cpus=units.count(cpus)[0], memory_gib=units.gib(memory)[0], at_least=frozenset()
    )


def retries_of(spec: JobSpec) -> tuple[int, frozenset[str]]:
    """Return how often a job is tried again, and after which reasons."""
    if isinstance(spec.retries, Retries):
        return spec.retries.count, frozenset(spec.retries.reasons)
    return spec.retries, frozenset(RETRIED) if spec.retries else frozenset()


def targets_of(on: str | Sequence[str]) -> tuple[str, ...]:
    """Return the words of `on`."""
    return (on,) if isinstance(on, str) else tuple(on)
