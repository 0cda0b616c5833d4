"""What a site of the stack gives to its training jobs, and what a target says of them.

Pure. Knows the stack's outputs. Does not ask AWS.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ems.compute.batch.ground import image_of
from ems.compute.job import Reason
from ems.compute.remote.order import Refused
from ems.errors import UsageError, did_you_mean
from ems.stack.outputs import SageMaker, Site, StackOutputs

Spot = Literal["auto", "always", "never"]
Vpc = Literal["auto", "always", "never"]


@dataclass(frozen=True)
class Ground:
    """One site as its training jobs see it."""

    environment: str
    account: str
    name: str
    site: Site
    sagemaker: SageMaker

    @property
    def prefix(self) -> str:
        """What the names of its jobs begin with: the stack's submit policy allows no other."""
        return f"ems-{self.environment}--"


@dataclass(frozen=True)
class Choices:
    """What a target's settings say of its jobs."""

    image: str = ""
    instance: str = ""
    spot: Spot = "auto"
    vpc: Vpc = "auto"
    volume_gib: int = 30
    attempts: int = 2
    longest_hours: float = 24
    """For jobs that have no limit of time: SageMaker itself asks for one."""
    spot_wait_hours: float = 24
    """How long a job waits for spot capacity beside the time that it runs."""
    metrics: Sequence[Mapping[str, str]] = ()
    """SageMaker's MetricDefinitions: `Name` and `Regex`."""


def ground(outputs: StackOutputs, name: str) -> Ground:
    """Return the site that a target names; raises UsageError."""
    subject = f"sagemaker: {name}"
    site = outputs.sites.get(name)
    if site is None:
        near = did_you_mean(name, list(outputs.sites))
        there = ", ".join(sorted(outputs.sites)) or "none"
        problem = f"environment {outputs.environment} has no site {name!r}{near} (there: {there})"
        raise UsageError(subject, problem, "emsctl stack show")
    if site.sagemaker is None:
        others = ", ".join(each for each, other in outputs.sites.items() if other.sagemaker)
        problem = f"site {name} has no role for SageMaker (with one: {others or 'none'})"
        raise UsageError(subject, problem, "sagemaker: true at the site, then make up")
    return Ground(outputs.environment, outputs.account, name, site, site.sagemaker)


def vpc_config(ground: Ground, vpc: Vpc) -> dict[str, Any] | None:
    """Return the VpcConfig of jobs, or None for SageMaker's own network.

    SageMaker's interfaces in a VPC have no public address. So where the site's jobs live by theirs
    (no NAT), a job there would reach S3 by the gateway endpoint and nothing else; `auto` leaves it
    outside (docs.aws.amazon.com/sagemaker/latest/dg/train-vpc.html, read 2026-11-22).
    """
    jobs = ground.site.network.jobs
    if vpc == "never" or (vpc == "auto" and jobs.public):
        return None
    return {"Subnets": list(jobs.subnets), "SecurityGroupIds": list(jobs.security_groups)}


def image(ground: Ground, order_image: str, own: str) -> str | Refused:
    """Return the image of a job, which must lie in an ECR of the site's region."""
    there = ", ".join(f"{each}:TAG" for each in sorted(ground.site.images.repositories)) or "none"
    if not order_image and not own:
        problem = (
            "no image is named, by the job or by its target: `image:` of the target in .ems.yaml"
        )
        said = "or `defaults: {sagemaker: {image: …}}` for the stack's own"
        return Refused(Reason.IMPOSSIBLE, f"{problem}, {said} (at the site: {there})")
    address = image_of(order_image, own, ground.site)
    if isinstance(address, Refused):
        return address
    registry = address.partition("/")[0]
    if f".dkr.ecr.{ground.site.region}.amazonaws.com" not in registry:
        problem = f"image {address!r}: SageMaker pulls from ECR of {ground.site.region} alone"
        return Refused(Reason.BAD_IMAGE, f"{problem} (allowed: {there}, or an address)")
    return address
