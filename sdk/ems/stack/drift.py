"""Whether a site is still as its outputs describe it: what AWS says, compared, value by value.

Pure. Knows the answers of AWS's describe calls by their keys. Does not know who asks
(`looking.py`), and nothing of what the outputs do not name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ems.stack.outputs import Batch, FileSystem, Images, Kubernetes, Queue

Described = Mapping[str, Any]
"""One thing in an answer of AWS."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A value that is another one than the outputs say, or a thing that is gone."""

    where: str
    """`oregon queue general`."""
    what: str
    """`max vCPUs`; what is gone if nothing was found."""
    meant: str
    found: str
    """Empty if there is nothing by that name."""

    def __str__(self) -> str:
        """Return it as a sentence's end."""
        if not self.found:
            return f"{self.what} {self.meant} is gone"
        return f"{self.what} {self.found} (in the outputs: {self.meant})"


def batch(
    site: str, meant: Batch, queues: Iterable[Described], environments: Iterable[Described]
) -> list[Difference]:
    """Compare Batch's queues and their compute environments."""
    by_name = {each["jobQueueName"]: each for each in queues}
    by_name |= {each["jobQueueArn"]: each for each in by_name.values()}
    by_arn = {each["computeEnvironmentArn"]: each for each in environments}
    found: list[Difference] = []
    for key, queue in meant.queues.items():
        where = f"{site} queue {key}"
        there = by_name.get(queue.name)
        if there is None:
            found.append(Difference(where, "queue", queue.name, ""))
            continue
        orders = [each["computeEnvironment"] for each in there.get("computeEnvironmentOrder", [])]
        found += _queue(where, queue, there)
        found += _environments(where, queue, [by_arn[arn] for arn in orders if arn in by_arn])
    return found


def _queue(where: str, meant: Queue, there: Described) -> list[Difference]:
    shared = "fair-share" if meant.fair_share else "first come, first served"
    is_shared = "fair-share" if there.get("schedulingPolicyArn") else "first come, first served"
    return _compared(
        where,
        ("state", "ENABLED", there.get("state")),
        ("status", "VALID", there.get("status")),
        ("scheduling", shared, is_shared),
    )


def _environments(where: str, meant: Queue, environments: Sequence[Described]) -> list[Difference]:
    if not environments:
        return [Difference(where, "compute environment of", meant.name, "")]
    found: list[Difference] = []
    for each in environments:
        name = f"compute environment {each['computeEnvironmentName']}'s "
        found += _compared(
            where,
            (f"{name}state", "ENABLED", each.get("state")),
            (f"{name}status", "VALID", each.get("status")),
        )
    resources: list[Mapping[str, Any]] = [each.get("computeResources", {}) for each in environments]
    types = sorted({name for each in resources for name in each.get("instanceTypes", ())})
    markets = {"spot" if each.get("type") == "SPOT" else "on-demand" for each in resources}
    return found + _compared(
        where,
        ("max vCPUs", meant.max_vcpus, sum(each.get("maxvCpus", 0) for each in resources)),
        ("instance types", ", ".join(sorted(meant.instance_types)), ", ".join(types)),
        ("market", meant.market, ", ".join(sorted(markets))),
    )


def file_system(
    site: str,
    meant: FileSystem,
    there: Described | None,
    targets: Iterable[Described],
    points: Iterable[Described],
) -> list[Difference]:
    """Compare an EFS file system, its mount targets' addresses and its access points."""
    where = f"{site} file system"
    if there is None:
        return [Difference(where, "file system", meant.id, "")]
    addresses = {each.get("AvailabilityZoneId", ""): each.get("IpAddress", "") for each in targets}
    ids = {each["AccessPointId"] for each in points}
    found = _compared(where, ("state", "available", there.get("LifeCycleState")))
    for zone, address in meant.addresses.items():
        if zone not in addresses:
            found.append(Difference(where, f"mount target in {zone} at", address, ""))
        else:
            found += _compared(where, (f"address in {zone}", address, addresses[zone]))
    return found + [
        Difference(where, f"access point {purpose}", id_, "")
        for purpose, id_ in meant.access_points.items()
        if id_ not in ids
    ]


def images(site: str, meant: Images, there: Iterable[Described]) -> list[Difference]:
    """Compare the repositories by their addresses."""
    addresses = {each["repositoryUri"] for each in there}
    return [
        Difference(f"{site} registry", f"repository {name}", address, "")
        for name, address in meant.repositories.items()
        if address not in addresses
    ]


def cluster(site: str, meant: Kubernetes, there: Described | None) -> list[Difference]:
    """Compare an EKS cluster."""
    where = f"{site} cluster"
    if there is None:
        return [Difference(where, "cluster", meant.cluster, "")]
    return _compared(
        where,
        ("status", "ACTIVE", there.get("status")),
        ("ARN", meant.arn, there.get("arn")),
        ("endpoint", meant.endpoint, there.get("endpoint")),
    )


def log_group(site: str, meant: str, there: Iterable[Described]) -> list[Difference]:
    """Compare Batch's log group by name."""
    if any(each["logGroupName"] == meant for each in there):
        return []
    return [Difference(f"{site} logs", "log group", meant, "")]


def bucket(site: str, meant: str, there: bool) -> list[Difference]:
    """Compare a bucket."""
    return [] if there else [Difference(f"{site} storage", "bucket", meant, "")]


def _compared(where: str, *rows: tuple[str, object, object]) -> list[Difference]:
    """Return a difference for each row of what, meant and found whose values are not the same."""
    return [
        Difference(where, what, str(meant), "unknown" if found is None else str(found) or "none")
        for what, meant, found in rows
        if meant != found
    ]
