"""Whether a site is ready for Batch jobs: its queues, what they start, its log group, its bucket.

Asks only what the stack's submit policy allows, so roles are not looked at. Changes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from ems.compute.batch.calls import BatchCalls, asked
from ems.compute.batch.ground import Ground, image_of
from ems.compute.batch.scheduler import why_unfit
from ems.compute.remote.order import Refused
from ems.errors import EmsError
from ems.stack import aws

_UP = "make up, by who runs the environment"


class Problem(NamedTuple):
    """What is not ready, and what would mend it."""

    what: str
    next_step: str = ""


def problems(
    ground: Ground, calls: BatchCalls, image: str, folder: str, clients: aws.Clients
) -> list[Problem]:
    """Return what keeps jobs from running at a site; nothing where they can."""
    looks: tuple[Callable[[], Iterator[Problem]], ...] = (
        lambda: _queues(ground, calls),
        lambda: _log(ground, clients),
        lambda: _folder(ground, folder, clients),
        lambda: _image(ground, image, clients),
    )
    found: list[Problem] = []
    for look in looks:
        try:
            found += look()
        except EmsError as error:
            found.append(Problem(f"{error.subject}: {error.problem}", error.next_step))
    return found


def _queues(ground: Ground, calls: BatchCalls) -> Iterator[Problem]:
    names = [queue.name for queue in ground.queues.values()]
    there = {each["jobQueueName"]: each for each in calls.queues(names)}
    arns: list[str] = []
    for name in names:
        if name not in there:
            yield Problem(f"queue {name} is not there", "emsctl stack show")
        elif why := why_unfit(there[name]):
            yield Problem(f"queue {name} {why}", _UP)
        else:
            orders = there[name].get("computeEnvironmentOrder") or ()
            arns += [order["computeEnvironment"] for order in orders]
    for each in calls.environments(arns):
        if why := why_unfit(each):
            yield Problem(f"compute environment {each['computeEnvironmentName']} {why}", _UP)


def _log(ground: Ground, clients: aws.Clients) -> Iterator[Problem]:
    name = ground.batch.log_group
    with asked(f"log group {name}"):
        client = clients("logs", ground.site.region)
        found = client.describe_log_groups(logGroupNamePrefix=name)["logGroups"]
    if not any(each["logGroupName"] == name for each in found):
        yield Problem(f"log group {name} is not there, and no job starts without it", _UP)


def _folder(ground: Ground, folder: str, clients: aws.Clients) -> Iterator[Problem]:
    bucket = folder.removeprefix("s3://").partition("/")[0]
    with asked(f"bucket {bucket}"):
        clients("s3", ground.site.region).head_bucket(Bucket=bucket)
    yield from ()


def _image(ground: Ground, image: str, clients: aws.Clients) -> Iterator[Problem]:
    """Look for the target's image, where it is one of the site's own repositories."""
    if not image:
        return
    address = image_of("", image, ground.site)
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
