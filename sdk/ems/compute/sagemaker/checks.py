"""Whether a site is ready for training jobs: SageMaker, the role, the buckets, the image, quotas.

Asks only what the stack's submit policy allows, so of the role no more than its name is looked at.
Changes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from ems.compute.remote.order import Refused
from ems.compute.sagemaker import ground as g
from ems.compute.sagemaker.calls import Calls, asked
from ems.errors import EmsError
from ems.stack import aws

_ROLE = re.compile(r"arn:aws[a-z-]*:iam::(\d{12}):role/.+")
_USES = {"training": "training job usage", "spot": "spot training job usage"}


class Problem(NamedTuple):
    """What is not ready, and what would mend it."""

    what: str
    next_step: str = ""


def problems(
    ground: g.Ground, calls: Calls, choices: g.Choices, folder: str, clients: aws.Clients
) -> list[Problem]:
    """Return what keeps jobs from running at a site; nothing where they can."""
    looks: tuple[Callable[[], Iterator[Problem]], ...] = (
        lambda: _service(ground, calls),
        lambda: _role(ground),
        lambda: _buckets(ground, folder, clients),
        lambda: _image(ground, choices.image, clients),
    )
    found: list[Problem] = []
    for look in looks:
        try:
            found += look()
        except EmsError as error:
            found.append(Problem(f"{error.subject}: {error.problem}", error.next_step))
    return found


def _service(ground: g.Ground, calls: Calls) -> Iterator[Problem]:
    next(iter(calls.named(ground.prefix)), None)
    yield from ()


def _role(ground: g.Ground) -> Iterator[Problem]:
    found = _ROLE.fullmatch(ground.sagemaker.role)
    if found is None or found[1] != ground.account:
        problem = f"{ground.sagemaker.role!r} is no role of account {ground.account}"
        yield Problem(problem, "emsctl stack show")


def _buckets(ground: g.Ground, folder: str, clients: aws.Clients) -> Iterator[Problem]:
    places = (folder, ground.sagemaker.output)
    for bucket in dict.fromkeys(each.removeprefix("s3://").partition("/")[0] for each in places):
        with asked(f"bucket {bucket}"):
            clients("s3", ground.site.region).head_bucket(Bucket=bucket)
    yield from ()


def _image(ground: g.Ground, image: str, clients: aws.Clients) -> Iterator[Problem]:
    """Look for the target's image, where it is one of the site's own repositories."""
    if not image:
        return
    address = g.image(ground, "", image)
    if isinstance(address, Refused):
        yield Problem(address.detail)
        return
    found = re.fullmatch(r"([^/]+)/([^:@]+)(?::([^@]+)|@(.+))", address)
    if found is None or found[1] != ground.site.images.registry:
        return
    which = {"imageTag": found[3]} if found[3] else {"imageDigest": found[4]}
    with asked(f"image {image}"):
        client = clients("ecr", ground.site.region)
        client.describe_images(repositoryName=found[2], imageIds=[which])


def quotas(ground: g.Ground, instance: str, clients: aws.Clients) -> dict[str, float]:
    """Return how many instances of a type may run at once: `training`, `spot`; {} if unknown.

    New accounts have none of most types with GPUs. The quotas' codes differ from type to type, so
    their names are looked for.
    """
    if not instance:
        return {}
    wanted = {f"{instance} for {text}": use for use, text in _USES.items()}
    found: dict[str, float] = {}
    try:
        with asked("quotas of SageMaker"):
            client = clients("service-quotas", ground.site.region)
            for page in client.get_paginator("list_service_quotas").paginate(
                ServiceCode="sagemaker"
            ):
                for each in page["Quotas"]:
                    if use := wanted.get(each["QuotaName"]):
                        found[use] = each["Value"]
    except EmsError:
        return {}  # a hint, not a condition: a job's own refusal names its quota
    return found


def lacking(found: dict[str, float], spot: g.Spot, instance: str) -> Sequence[Problem]:
    """Return the problem that a quota of zero is."""
    need = {"always": ("spot",), "never": ("training",)}.get(spot, ("training", "spot"))
    if not found or any(found.get(use, 1) for use in need):
        return ()
    what = " and ".join(f"{instance} for {_USES[use]}" for use in need)
    return (Problem(f"quota {what} is 0", "Service Quotas, Amazon SageMaker: request an increase"),)
