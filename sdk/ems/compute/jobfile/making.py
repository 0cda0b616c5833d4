"""Turn what was read of a job into a job for backends.

Pure. Does not know how inputs come into a store, nor how an environment's files are read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ems import units
from ems.compute.job import Job, Resources, Role
from ems.compute.jobfile import rules
from ems.compute.jobfile.types import RETRIED, Asked, JobSpec, Retries


def job_of(spec: JobSpec, inputs: Mapping[str, str], declared: Mapping[str, str]) -> Job:
    """Return the job; `inputs` by digest, `declared` as the environment's parts."""
    command = rules.words(spec.command, dict(spec.outputs)) if spec.command is not None else ()
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
                role.name, role.count, resources_of(role.resources), targets_of(role.on),
                rules.words(role.command, dict(spec.outputs)) if role.command else command,
            )
            for role in spec.roles
        ),
        image=spec.environment.image or "",
        limits=limits_of(spec.resources),
        retry_on=reasons,
        declared=dict(declared),
    )  # fmt: skip


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
