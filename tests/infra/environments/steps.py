"""What a change of settings makes the engine do, in a form in which a test can say all of it.

    create ec2.Route: oregon-public-out oregon-private-usw2-az1-out
    update ssm.Parameter: outputs-stack

A line names an operation, a type, and the resources by their names without the environment's.
Knows no resource.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.rigs.sky.cloud import Cloud
from tests.rigs.sky.engine import Engine
from tests.rigs.sky.results import Result

Steps = dict[str, list[str]]
"""`create ec2.Route` → names, sorted."""
Held = frozenset[tuple[str, str]]
"""What holds data in a cloud: region and id."""


def meant(text: str) -> Steps:
    """Return the steps that a text names; a line that begins with spaces goes on with the last."""
    found: Steps = {}
    head = ""
    for line in filter(str.strip, text.splitlines()):
        names = line
        if ":" in line:
            head, _, names = line.partition(":")
            head = head.strip()
        found[head] = sorted([*found.get(head, []), *names.split()])
    return found


def told(result: Result, environment: str) -> Steps:
    """Return what a command of the engine did to resources in the cloud."""
    found: Steps = {}
    for step in result.changes:
        head = f"{step.op} {short(step.type)}"
        found.setdefault(head, []).append(step.name.removeprefix(f"{environment}-"))
    return {head: sorted(names) for head, names in found.items()}


def short(token: str) -> str:
    """Return a type as `ec2.Route`."""
    _, place, name = token.split(":")
    return f"{place.partition('/')[0]}.{name}"


def change(sky: Engine, values: Mapping[str, Any]) -> None:
    """Set settings by dotted path (`sites.oregon.nat`); None takes one away."""
    with sky.settings() as settings:
        for path, value in values.items():
            first, *steps = path.split(".")
            inside, last = settings, f"ems:{first}"
            for step in steps:
                inside, last = inside.setdefault(last, {}), step
            if value is None:
                inside.pop(last, None)
            else:
                inside[last] = value


def held(cloud: Cloud, *regions: str) -> Held:
    """Return what holds data: buckets, file systems, repositories. Another id is another, empty."""
    found = {("", bucket["Name"]) for bucket in cloud.client("s3").list_buckets()["Buckets"]}
    for region in regions:
        systems = cloud.client("efs", region).describe_file_systems()["FileSystems"]
        images = cloud.client("ecr", region).describe_repositories()["repositories"]
        found |= {(region, each["FileSystemId"]) for each in systems}
        found |= {(region, each["repositoryName"]) for each in images}
    return frozenset(found)
